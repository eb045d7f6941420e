//! Waiting for conditions.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::diagnostic::{Error, Kind, Result};

/// Waits until `done`, looking often.
///
/// # Errors
/// [`Kind::Timeout`] when it takes longer than `timeout`.
pub(super) async fn until(
    what: &str,
    timeout: Duration,
    done: impl AsyncFn() -> bool,
) -> Result<()> {
    let end = Instant::now() + timeout;
    while !done().await {
        if Instant::now() > end {
            let waited = format!("timed out after {} s waiting until {what}", timeout.as_secs());
            return Err(Error::new(Kind::Timeout, waited));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
