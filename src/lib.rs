//! slipway turns machines reachable by SSH into a highly available Kubernetes cluster.

pub mod bundle;
pub mod cache;
pub mod cli;
pub mod diagnostic;
pub mod lab;
pub mod process;
pub mod secret;
