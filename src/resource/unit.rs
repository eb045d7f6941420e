//! A systemd unit: enabled, running, and started since its files last changed.

use super::{Change, Disruption, Drift, Resource};
use crate::command::{Cmd, Input, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::resource::file::sha256;

/// A unit, by its full name (`containerd.service`).
///
/// That it runs with its present files is a state, not an event: the node keeps a stamp of what it
/// was last started with, so a crash between a write and a restart heals on the next run.
pub struct Unit {
    name: &'static str,
    stamp: String,
    running: bool,
    reload: bool,
}

impl Unit {
    /// Enabled and running; `parts` are the digests of everything that it must be restarted for.
    pub fn running(name: &'static str, parts: &[String]) -> Self {
        Self { name, stamp: sha256(parts.join("\n").as_bytes()), running: true, reload: false }
    }

    /// Enabled; something else starts it (kubeadm starts the kubelet). Restarted when its parts
    /// change, if it runs.
    pub fn enabled(name: &'static str, parts: &[String]) -> Self {
        Self { running: false, ..Self::running(name, parts) }
    }

    /// Takes changes without a restart: haproxy and keepalived keep connections and addresses.
    #[must_use]
    pub fn reloads(mut self) -> Self {
        self.reload = true;
        self
    }

    fn state(&self, seen: &Output) -> State {
        let text = seen.text();
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("")
        };
        State {
            active: value("ActiveState") == "active",
            // "static" and "alias" have nothing to enable.
            enabled: matches!(value("UnitFileState"), "enabled" | "static" | "alias"),
            current: value("Stamp") == self.stamp,
        }
    }
}

struct State {
    active: bool,
    enabled: bool,
    current: bool,
}

const SETTLE: &str = r#"set -eu
systemctl daemon-reload
[ "$3" = enabled ] || systemctl enable --quiet "$1"
case "$4" in -) ;; *) systemctl "$4" "$1" ;; esac
mkdir -p /var/lib/slipway/stamps
t=$(mktemp /var/lib/slipway/stamps/.new.XXXXXX)
printf '%s\n' "$2" >"$t"; mv -fT "$t" "/var/lib/slipway/stamps/$1""#;

impl Resource for Unit {
    fn id(&self) -> String {
        format!("unit {}", self.name)
    }

    fn probe(&self) -> Probe {
        Probe::unit(self.name)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let state = self.state(seen);
        let mut needs = Vec::new();
        if !state.enabled {
            needs.push("enable");
        }
        if self.running && !state.active {
            needs.push("start");
        }
        if !state.current && state.active {
            needs.push(if self.reload { "reload" } else { "restart" });
        } else if !state.current && needs.is_empty() {
            needs.push("note its files");
        }
        Ok(Drift::unless(needs.is_empty(), needs.join(", ")))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let state = self.state(seen);
        let verb = match (state.active, self.running) {
            (true, _) if state.current => "-",
            (true, _) if self.reload => "reload-or-restart",
            (true, _) => "restart",
            (false, true) => "start",
            (false, false) => "-",
        };
        let enabled = if state.enabled { "enabled" } else { "" };
        let cmd =
            Cmd::shell(SETTLE).args([self.name, &self.stamp, enabled, verb]).stdin(Input::Nothing);
        vec![Change::new(format!("settle {}", self.name), cmd)]
    }

    fn disruption(&self, seen: &Output) -> Option<Disruption> {
        let state = self.state(seen);
        (state.active && !state.current && !self.reload)
            .then(|| Disruption::Restart(self.name.to_owned()))
    }

    fn explain(&self, _seen: &Output) -> Option<String> {
        Some(format!("`journalctl -u {}` on the node says why", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(unit: &Unit, active: &str, file: &str, stamp: &str) -> String {
        let text = format!("ActiveState={active}\nUnitFileState={file}\nStamp={stamp}\n");
        let seen = Output { stdout: text.into_bytes(), ..Output::default() };
        match unit.compare(&seen).unwrap() {
            Drift::None => String::new(),
            Drift::Differs(diff) => diff.summary,
        }
    }

    #[test]
    fn table() {
        let unit = Unit::running("x.service", &["a".to_owned()]);
        let stamp = sha256(b"a");
        for (active, file, stamp, expected) in [
            ("inactive", "", "", "enable, start"),
            ("inactive", "enabled", stamp.as_str(), "start"),
            ("active", "enabled", "old", "restart"),
            ("active", "enabled", stamp.as_str(), ""),
            ("active", "disabled", stamp.as_str(), "enable"),
        ] {
            assert_eq!(summary(&unit, active, file, stamp), expected, "{active} {file} {stamp}");
        }
        let kubelet = Unit::enabled("kubelet.service", &["a".to_owned()]);
        assert_eq!(summary(&kubelet, "inactive", "enabled", ""), "note its files");
        assert_eq!(summary(&kubelet, "inactive", "enabled", &stamp), "");
    }
}
