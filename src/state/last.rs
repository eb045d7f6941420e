//! How long the last apply took, in `last-apply.json`: for the next plan to say, nothing depends
//! on it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{State, write};
use crate::bounded;
use crate::diagnostic::{Error, Kind, Result};

/// The version of the file's form.
const SCHEMA: u32 = 1;

/// A larger file is not ours.
const SIZE_LIMIT: u64 = 1 << 16;

const NAME: &str = "last-apply.json";

/// The last apply that changed something and came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastApply {
    schema: u32,
    /// When it ended (RFC 3339, UTC).
    pub finished: String,
    /// Resources that it changed.
    pub changed: usize,
    /// Milliseconds from the first step's beginning to the last one's end.
    pub millis: u64,
    /// Its steps, in the order in which they began.
    pub steps: Vec<StepTime>,
}

/// A step's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepTime {
    /// Its name.
    pub step: String,
    /// Milliseconds that it took on the node where it took longest.
    pub millis: u64,
}

impl LastApply {
    /// An apply that ends now.
    #[must_use]
    pub fn now(changed: usize, took: Duration, steps: &[(&str, Duration)]) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let step = |(step, took): &(&str, Duration)| StepTime {
            step: (*step).to_owned(),
            millis: millis(*took),
        };
        Self {
            schema: SCHEMA,
            finished: format!("{:.0}", Timestamp::now()),
            changed,
            millis: millis(took),
            steps: steps.iter().map(step).collect(),
        }
    }

    /// The day on which it ended, in UTC: `2026-11-21`.
    #[must_use]
    pub fn day(&self) -> Option<String> {
        let finished: Timestamp = self.finished.parse().ok()?;
        Some(finished.to_zoned(TimeZone::UTC).date().to_string())
    }

    /// `None` for whatever this slipway does not understand.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let last: Self = serde_json::from_slice(bytes).ok()?;
        (last.schema == SCHEMA && last.day().is_some()).then_some(last)
    }
}

impl State {
    /// The last apply, if it is known: what is missing or damaged is no information.
    #[must_use]
    pub fn last_apply(&self) -> Option<LastApply> {
        LastApply::parse(&bounded::read(&self.dir.join(NAME), SIZE_LIMIT).ok()?)
    }

    /// Remembers the last apply, instead of the one before it.
    ///
    /// # Errors
    /// [`Kind::Machine`] when it cannot be written.
    pub fn note_apply(&self, last: &LastApply) -> Result<()> {
        let text = serde_json::to_string_pretty(last)
            .map_err(|e| Error::new(Kind::Bug, format!("cannot write `{NAME}`: {e}")))?;
        write(&self.dir.join(NAME), format!("{text}\n").as_bytes(), 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path().to_owned());
        (dir, state)
    }

    #[test]
    fn the_last_apply_is_remembered() {
        let (_dir, state) = state();
        assert_eq!(state.last_apply(), None);
        let steps = [("os", Duration::from_secs(9)), ("workers", Duration::from_millis(1500))];
        let mut last = LastApply::now(7, Duration::from_secs(12), &steps);
        state.note_apply(&last).unwrap();
        assert_eq!(state.last_apply().unwrap(), last);
        assert_eq!((last.millis, last.steps[1].millis), (12_000, 1500));
        last.finished = "2026-11-21T23:59:59Z".to_owned();
        assert_eq!(last.day().unwrap(), "2026-11-21");
    }

    #[test]
    fn what_is_not_understood_is_no_information() {
        let (_dir, state) = state();
        let last = LastApply::now(7, Duration::ZERO, &[]);
        let newer = LastApply { schema: SCHEMA + 1, ..last.clone() };
        let timeless = LastApply { finished: "yesterday".to_owned(), ..last };
        for last in [newer, timeless] {
            state.note_apply(&last).unwrap();
            assert_eq!(state.last_apply(), None);
        }
        for text in ["", "{}", "[1]", "{\"schema\": 1}"] {
            std::fs::write(state.dir.join(NAME), text).unwrap();
            assert_eq!(state.last_apply(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn damaged_bytes_do_not_panic(bytes: Vec<u8>, at in 0_usize..200, byte: u8) {
            let _ = LastApply::parse(&bytes);
            let last = LastApply::now(7, Duration::ZERO, &[("os", Duration::ZERO)]);
            let mut text = serde_json::to_vec(&last).unwrap();
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            let _ = LastApply::parse(&text);
        }
    }
}
