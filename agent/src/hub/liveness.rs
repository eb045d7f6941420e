//! Whether a cluster is alive, from what the hub itself saw and when: members' clocks do not count.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// After how many missed heartbeats in a row a cluster's state is unknown.
const MISSED: u32 = 3;

/// What the hub saw of one cluster's Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When the member says it renewed its Lease; only compared with what it said before.
    pub renewed: Option<Timestamp>,
    /// When the hub saw `renewed` change, or first looked.
    pub at: Instant,
    /// Whether the hub saw it change, rather than found it.
    pub changed: bool,
    /// Whether the cluster was last judged to be Ready.
    pub ready: bool,
}

/// The state of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It never renewed its Lease.
    NotJoined,
    /// It renewed its Lease in time; look again after this time.
    Ready(Duration),
    /// It missed three heartbeats in a row.
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

    /// The hub could not watch until now: heartbeats that it did not see count as sent.
    pub fn forgive(&mut self, now: Instant) {
        self.at = now;
        self.changed = false;
    }
}

/// Judges what was seen, by the cluster's interval.
#[must_use]
pub fn liveness(seen: Option<&Seen>, interval: Duration, now: Instant) -> Liveness {
    let Some(seen) = seen.filter(|seen| seen.renewed.is_some()) else { return Liveness::NotJoined };
    let limit = interval.saturating_mul(MISSED);
    let left = limit.saturating_sub(now.saturating_duration_since(seen.at));
    match (left.is_zero(), seen.changed) {
        (true, _) => Liveness::Unknown,
        (false, true) => Liveness::Ready(left),
        (false, false) => Liveness::Undecided(left),
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
    fn three_missed_heartbeats_make_a_cluster_unknown() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(liveness(None, INTERVAL, start), Liveness::NotJoined);
        let mut seen = Seen::found(None, start);
        assert_eq!(liveness(Some(&seen), INTERVAL, start), Liveness::NotJoined);
        assert!(seen.look(at(1), start));
        assert_eq!(
            liveness(Some(&seen), INTERVAL, after(89)),
            Liveness::Ready(Duration::from_secs(1))
        );
        assert_eq!(liveness(Some(&seen), INTERVAL, after(90)), Liveness::Unknown);
        // Its clock may be anything, as long as it changes.
        assert!(seen.look(at(0), after(100)));
        assert_eq!(liveness(Some(&seen), INTERVAL, after(100)), Liveness::Ready(INTERVAL * 3));
        assert!(!seen.look(at(0), after(120)));
        assert_eq!(liveness(Some(&seen), INTERVAL, after(190)), Liveness::Unknown);
    }

    #[test]
    fn a_hub_that_could_not_watch_does_not_judge() {
        let start = Instant::now();
        let mut seen = Seen::found(at(1), start);
        assert_eq!(liveness(Some(&seen), INTERVAL, start), Liveness::Undecided(INTERVAL * 3));
        seen.look(at(2), start);
        let back = start + Duration::from_hours(50);
        seen.forgive(back);
        assert_eq!(liveness(Some(&seen), INTERVAL, back), Liveness::Undecided(INTERVAL * 3));
        assert_eq!(liveness(Some(&seen), INTERVAL, back + INTERVAL * 3), Liveness::Unknown);
    }
}
