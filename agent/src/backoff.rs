//! Pauses between attempts, which never come in step with those of others.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use crate::error::Error;

/// Pauses of which each is about twice as long as the one before.
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    pauses: ExponentialBackoff,
}

impl Backoff {
    /// A first pause of at most `first`, later ones of at most `longest`; each is half as long at least.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, pauses: pauses(first, longest) }
    }

    /// From a second to two minutes: for work that nobody waits for.
    pub(crate) fn slow() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_mins(2))
    }

    /// Begins with the first pause again.
    pub(crate) fn reset(&mut self) {
        self.pauses = pauses(self.first, self.longest);
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.longest)
    }

    /// Logs why another attempt is needed, and waits until then.
    pub(crate) async fn wait(&mut self, error: &Error) {
        let pause = self.pause();
        tracing::warn!(%error, ?pause, "will try again");
        tokio::time::sleep(pause).await;
    }
}

/// The crate's jitter adds up to a whole pause.
fn pauses(first: Duration, longest: Duration) -> ExponentialBackoff {
    let builder = ExponentialBuilder::new().with_jitter().without_max_times();
    builder.with_min_delay(first / 2).with_max_delay(longest / 2).build()
}

/// `time`, up to a tenth more or less.
pub(crate) fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_until_reset() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_mins(2));
        let mut backoff = Backoff::new(first, longest);
        let pauses: Vec<Duration> = (0..1000).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= first && pauses[0] >= first / 2);
        assert!(pauses[1] <= first * 2 && pauses[1] >= first);
        assert!(pauses[999] <= longest && pauses[999] >= longest / 2);
        assert_ne!(pauses[998], pauses[999]);
        backoff.reset();
        assert!(backoff.pause() <= first);
    }

    #[test]
    fn jitter_is_a_tenth() {
        for _ in 0..1000 {
            let time = jittered(Duration::from_secs(30));
            assert!((27.0..=33.0).contains(&time.as_secs_f64()), "{time:?}");
        }
    }
}
