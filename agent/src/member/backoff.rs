//! Waiting longer after each failure, and never in step with others.

use std::time::Duration;

use crate::error::Error;

/// The first wait.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(2);

/// Exponential waits with jitter.
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) const fn new() -> Self {
        Self(FIRST)
    }

    /// Says what failed, and waits.
    pub(super) async fn wait(&mut self, error: &Error) {
        let wait = self.next();
        tracing::warn!(%error, ?wait, "will try again");
        tokio::time::sleep(wait).await;
    }

    /// The next wait: between half and all of a time that doubles.
    fn next(&mut self) -> Duration {
        let wait = self.0.mul_f64(rand::random_range(0.5..1.0));
        self.0 = self.0.saturating_mul(2).min(LONGEST);
        wait
    }
}

/// `time`, a tenth more or less.
pub(super) fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits[19] <= LONGEST && waits[19] >= LONGEST / 2);
    }

    #[test]
    fn jitter_is_a_tenth() {
        for _ in 0..1000 {
            let time = jittered(Duration::from_secs(30));
            assert!((27.0..=33.0).contains(&time.as_secs_f64()), "{time:?}");
        }
    }
}
