//! Pauses between attempts, each twice as long as the one before.

use std::time::Duration;

/// The pauses of one work that is retried.
pub struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    /// A first pause of `first`; none is longer than `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// How long the next pause is.
    #[must_use]
    pub fn next(&self) -> Duration {
        self.next
    }

    /// Waits for one pause.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = self.next.saturating_mul(2).min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_to_a_limit() {
        let mut pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(5));
        let mut waited = Vec::new();
        for _ in 0..5 {
            let began = tokio::time::Instant::now();
            pauses.wait().await;
            waited.push(began.elapsed().as_secs());
        }
        assert_eq!(waited, [1, 2, 4, 5, 5]);
    }
}
