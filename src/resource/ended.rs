//! A systemd unit that runs no more.

use super::{Change, Diff, Drift, Resource};
use crate::command::{Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// A unit, by its full name, that slipway started has ended, and no boot starts it. One that slipway never
/// started is somebody else's, and stays as it is.
pub struct Ended(pub &'static str);

impl Resource for Ended {
    fn id(&self) -> String {
        format!("end of {}", self.0)
    }

    fn probe(&self) -> Probe {
        Probe::unit(self.0)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = seen.text();
        let says = |line: &str| text.lines().any(|said| said == line);
        let ended = says("ActiveState=inactive") || says("ActiveState=failed");
        let lives = !ended || says("UnitFileState=enabled");
        let ours = text.lines().any(|line| line.len() > STAMP.len() && line.starts_with(STAMP));
        Ok(Drift::unless(!(ours && lives), Diff::delete("end it".to_owned())))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::new("systemctl").args(["disable", "--now", "--quiet", self.0]);
        vec![Change::new(format!("end {}", self.0), cmd).repeatable()]
    }
}

/// What slipway's unit was last started with.
const STAMP: &str = "Stamp=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_slipway_started_is_ended() {
        for (active, file, stamp, ends) in [
            ("active", "enabled", "abc", true),
            ("inactive", "enabled", "abc", true),
            ("activating", "disabled", "abc", true),
            ("failed", "disabled", "abc", false),
            ("inactive", "disabled", "abc", false),
            ("inactive", "", "abc", false),
            ("active", "enabled", "", false),
        ] {
            let text = format!("ActiveState={active}\nUnitFileState={file}\nStamp={stamp}\n");
            let seen = Output { stdout: text.clone().into_bytes(), ..Output::default() };
            let drift = Ended("keepalived.service").compare(&seen).unwrap();
            assert_eq!(drift != Drift::None, ends, "{text}");
        }
    }
}
