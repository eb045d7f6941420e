//! Nodes on this machine, for trying and testing slipway without other machines.
