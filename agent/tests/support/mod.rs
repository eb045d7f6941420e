//! What these tests stand on: real API servers on loopback, a hub's controller, agents.

#![allow(dead_code, clippy::disallowed_methods)]

pub mod bundle;
pub mod keys;
pub mod plane;
pub mod published;
mod wait;
pub mod world;

pub use wait::eventually;

/// The status code of an answer that must be a refusal.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(what: &str, answer: Result<T, kube::Error>) -> (u16, String) {
    match answer {
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        other => panic!("{what}: {other:?}"),
    }
}
