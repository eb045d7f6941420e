//! Whether a cluster lives, from what the hub itself saw and when: no member's clock is asked.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// How many syncs may be missed before nobody can tell.
const MISSED: u32 = 3;

/// What the hub saw of one cluster's Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When the member says it renewed; only compared with what it said before.
    pub renewed: Option<Timestamp>,
    /// When the hub saw that change, or began to look.
    pub at: Instant,
    /// Whether it was seen to change, rather than found.
    pub changed: bool,
    /// What was last made of it.
    pub ready: bool,
}

/// What can be said of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It never renewed its Lease.
    NotJoined,
    /// It lives; look again after this time.
    Ready(Duration),
    /// Three syncs in a row were missed.
    Unknown,
    /// The hub has not looked for long enough; look again after this time.
    Undecided(Duration),
}

impl Seen {
    /// A first look.
    #[must_use]
    pub fn found(renewed: Option<Timestamp>, now: Instant) -> Self {
        Self { renewed, at: now, changed: false, ready: false }
    }

    /// Another look. Returns whether the Lease changed meanwhile.
    pub fn look(&mut self, renewed: Option<Timestamp>, now: Instant) -> bool {
        let changed = self.renewed != renewed;
        if changed {
            *self = Self { renewed, at: now, changed: true, ready: self.ready };
        }
        changed
    }

    /// The hub was blind until now: what it missed says nothing about the member.
    pub fn forgive(&mut self, now: Instant) {
        self.at = now;
        self.changed = false;
    }
}

/// Judges what was seen, by a cluster's interval.
#[must_use]
pub fn life(seen: Option<&Seen>, interval: Duration, now: Instant) -> Life {
    let Some(seen) = seen.filter(|seen| seen.renewed.is_some()) else { return Life::NotJoined };
    let patience = interval.saturating_mul(MISSED);
    let left = patience.saturating_sub(now.saturating_duration_since(seen.at));
    match (left.is_zero(), seen.changed) {
        (true, _) => Life::Unknown,
        (false, true) => Life::Ready(left),
        (false, false) => Life::Undecided(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn at(second: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn three_missed_syncs_are_too_many() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(life(None, INTERVAL, start), Life::NotJoined);
        let mut seen = Seen::found(None, start);
        assert_eq!(life(Some(&seen), INTERVAL, start), Life::NotJoined);
        assert!(seen.look(at(1), start));
        assert_eq!(life(Some(&seen), INTERVAL, after(89)), Life::Ready(Duration::from_secs(1)));
        assert_eq!(life(Some(&seen), INTERVAL, after(90)), Life::Unknown);
        // Its clock may be anything, as long as it changes.
        assert!(seen.look(at(0), after(100)));
        assert_eq!(life(Some(&seen), INTERVAL, after(100)), Life::Ready(INTERVAL * 3));
        assert!(!seen.look(at(0), after(120)));
        assert_eq!(life(Some(&seen), INTERVAL, after(190)), Life::Unknown);
    }

    #[test]
    fn who_was_blind_does_not_judge() {
        let start = Instant::now();
        let mut seen = Seen::found(at(1), start);
        assert_eq!(life(Some(&seen), INTERVAL, start), Life::Undecided(INTERVAL * 3));
        seen.look(at(2), start);
        let back = start + Duration::from_hours(50);
        seen.forgive(back);
        assert_eq!(life(Some(&seen), INTERVAL, back), Life::Undecided(INTERVAL * 3));
        assert_eq!(life(Some(&seen), INTERVAL, back + INTERVAL * 3), Life::Unknown);
    }
}
