//! Registration of clusters at a hub: the objects that both sides share, the hub's controller, and the
//! agent that lives in each member. MCP is the Multi-Cluster Platform here, and nothing else.

pub mod access;
pub mod adapter;
pub mod api;
pub mod apply;
mod backoff;
pub mod command;
pub mod credential;
pub mod error;
pub mod hub;
pub mod install;
pub mod member;
pub mod registration;
pub mod serve;
