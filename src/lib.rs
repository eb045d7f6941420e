//! slipway turns machines reachable by SSH into a highly available Kubernetes cluster.

pub mod approver;
pub mod bundle;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod diagnostic;
pub mod host;
pub mod inventory;
pub mod lab;
pub mod pki;
pub mod process;
pub mod secret;
pub mod state;
