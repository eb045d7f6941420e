//! What these tests stand on: real API servers on loopback, a hub's controller, agents.

#![allow(dead_code, clippy::disallowed_methods)]

pub mod bundle;
pub mod keys;
pub mod plane;
pub mod published;
pub mod world;

use std::time::{Duration, Instant};

/// Waits until `look` finds something, and fails with `what` after `limit`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The status code of an answer that must be a refusal.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(what: &str, answer: Result<T, kube::Error>) -> (u16, String) {
    match answer {
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        other => panic!("{what}: {other:?}"),
    }
}
