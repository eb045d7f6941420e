//! A node's clock, as the look at it saw it.

/// How far a clock is ahead of this machine's, at least and at most; in ns.
pub type Ahead = (i64, i64);
/// This machine's own.
pub const THIS_MACHINE: Ahead = (0, 0);

/// When a node showed which time, in ns since the epoch: by its own clock, and by this machine's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clock {
    shown: Option<(i64, i64)>,
    heard: Option<(i64, i64)>,
}

impl Clock {
    /// Takes a time that the node showed; the first and the last count.
    pub(crate) fn shown(&mut self, time: Option<i64>) {
        if let Some(time) = time {
            self.shown = Some((self.shown.map_or(time, |(first, _)| first), time));
        }
    }

    /// Takes when the node was `asked`, and when its answer was `heard`, by this machine's clock.
    pub fn heard(&mut self, asked: i64, heard: i64) {
        self.heard = Some((asked, heard));
    }

    /// The last time that the node showed, in seconds since the epoch.
    pub fn last(&self) -> Option<i64> {
        self.shown.map(|(_, last)| last / 1_000_000_000)
    }

    /// How far it is ahead: it showed its first time after the question, its last one before the answer came.
    #[must_use]
    pub fn ahead(&self) -> Option<Ahead> {
        let ((first, last), (asked, heard)) = (self.shown?, self.heard?);
        let (least, most) = (last.saturating_sub(heard), first.saturating_sub(asked));
        (least <= most).then_some((least, most))
    }
}
