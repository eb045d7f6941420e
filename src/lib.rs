//! slipway turns machines reachable by SSH into a highly available Kubernetes cluster.

pub mod approver;
pub mod bounded;
pub mod bundle;
pub mod cache;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod diagnostic;
pub mod engine;
pub mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod hub;
pub mod inventory;
pub mod kubernetes;
pub mod lab;
pub mod pause;
pub mod pki;
pub mod preflight;
pub mod probe;
pub mod process;
pub mod report;
pub mod resource;
pub mod secret;
pub mod session;
#[cfg(test)]
mod simulation;
pub mod state;
pub mod steps;
pub mod survey;
pub mod template;
pub mod yaml;
