//! A systemd unit: enabled, running, and started since its files last changed.

use std::collections::BTreeMap;

use super::{Change, Diff, Disruption, Drift, File, Resource};
use crate::command::{Cmd, Input, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::resource::file::sha256;

/// A unit, by its full name (`containerd.service`).
///
/// That it runs with its present files is a state, not an event: the node keeps a stamp of what it
/// was last started with, so a crash between a write and a restart heals on the next run. The stamp's
/// first line, one digest of all files, decides. A line for each file follows, as `sha256sum` writes
/// and checks them, for the plan to say which one changed; older stamps have no such lines.
pub struct Unit {
    name: &'static str,
    files: BTreeMap<String, String>,
    digest: String,
    running: bool,
    reload: bool,
}

impl Unit {
    /// Enabled and running; restarted when one of `files` changes.
    pub fn running(name: &'static str, files: &[File]) -> Self {
        let digests: Vec<String> = files.iter().map(File::digest).collect();
        let digest = sha256(digests.join("\n").as_bytes());
        let paths = files.iter().map(|file| file.path().to_owned());
        Self { name, digest, files: paths.zip(digests).collect(), running: true, reload: false }
    }

    /// Enabled; something else starts it (kubeadm starts the kubelet). Restarted when one of `files`
    /// changes, if it runs.
    pub fn enabled(name: &'static str, files: &[File]) -> Self {
        Self { running: false, ..Self::running(name, files) }
    }

    /// Takes changes without a restart: haproxy and keepalived keep connections and addresses.
    #[must_use]
    pub fn reloads(mut self) -> Self {
        self.reload = true;
        self
    }

    fn stamp(&self) -> String {
        let lines = self.files.iter().map(|(path, digest)| format!("\n{digest}  {path}"));
        self.digest.clone() + &lines.collect::<String>()
    }

    /// Which files differ from those that the unit was started with: `/etc/a, /etc/b changed; /etc/c
    /// new`. `None` where the stamp does not list them.
    fn why(&self, seen: &Output) -> Option<String> {
        let text = seen.text();
        let stamp = text.lines().skip_while(|line| !line.starts_with("Stamp=")).skip(1);
        let before: BTreeMap<&str, &str> = stamp
            .filter_map(|line| line.split_once("  "))
            .map(|(digest, path)| (path, digest))
            .collect();
        let (known, new): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|(path, _)| before.contains_key(path.as_str()));
        let same = |path: &str, digest: &str| before.get(path) == Some(&digest);
        let changed = known.iter().filter(|(path, digest)| !same(path, digest));
        let gone = before.keys().filter(|path| !self.files.contains_key(**path));
        let parts: [(Vec<&str>, &str); 3] = [
            (changed.map(|(path, _)| path.as_str()).collect(), "changed"),
            (new.iter().map(|(path, _)| path.as_str()).collect(), "new"),
            (gone.copied().collect(), "no longer meant"),
        ];
        let parts = parts.iter().filter(|(paths, _)| !paths.is_empty());
        let words: Vec<String> =
            parts.map(|(paths, how)| format!("{} {how}", paths.join(", "))).collect();
        (!before.is_empty()).then(|| words.join("; "))
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
            current: value("Stamp") == self.digest,
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
        if needs.is_empty() {
            return Ok(Drift::None);
        }
        let diff = Diff::update(needs.join(", "));
        let why = if state.current { None } else { self.why(seen) };
        Ok(Drift::Differs(Diff { why, ..diff }))
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
        let cmd = Cmd::shell(SETTLE)
            .args([self.name, &self.stamp(), enabled, verb])
            .stdin(Input::Nothing);
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

    fn seen(active: &str, file: &str, stamp: &str) -> Output {
        let text = format!("ActiveState={active}\nUnitFileState={file}\nStamp={stamp}\n");
        Output { stdout: text.into_bytes(), ..Output::default() }
    }

    fn summary(unit: &Unit, active: &str, file: &str, stamp: &str) -> String {
        match unit.compare(&seen(active, file, stamp)).unwrap() {
            Drift::None => String::new(),
            Drift::Differs(diff) => diff.summary,
        }
    }

    #[test]
    fn table() {
        let unit = Unit::running("x.service", &[File::text("/a", "a")]);
        let stamp = unit.stamp();
        for (active, file, stamp, expected) in [
            ("inactive", "", "", "enable, start"),
            ("inactive", "enabled", stamp.as_str(), "start"),
            ("active", "enabled", "old", "restart"),
            ("active", "enabled", stamp.as_str(), ""),
            ("active", "disabled", stamp.as_str(), "enable"),
        ] {
            assert_eq!(summary(&unit, active, file, stamp), expected, "{active} {file} {stamp}");
        }
        let kubelet = Unit::enabled("kubelet.service", &[File::text("/a", "a")]);
        assert_eq!(summary(&kubelet, "inactive", "enabled", ""), "note its files");
        assert_eq!(summary(&kubelet, "inactive", "enabled", &stamp), "");
    }

    /// A stamp that says nothing of its files is the digest of all their digests.
    #[test]
    fn an_older_stamp_restarts_nothing_while_its_files_are_the_same() {
        let digests = [sha256(b"a"), sha256(b"b")];
        let old = sha256(digests.join("\n").as_bytes());
        let unit = |b: &str| Unit::running("x", &[File::text("/a", "a"), File::text("/b", b)]);
        assert_eq!(summary(&unit("b"), "active", "enabled", &old), "");
        assert_eq!(summary(&unit("c"), "active", "enabled", &old), "restart");
        assert_eq!(unit("c").why(&seen("active", "enabled", &old)), None);
        assert_eq!(Unit::running("x", &[]).stamp(), sha256(b""));
    }

    #[test]
    fn a_restart_says_which_files_changed() {
        let unit = |files: &[(&str, &str)]| {
            let files: Vec<File> =
                files.iter().map(|(path, text)| File::text(*path, *text)).collect();
            Unit::running("x", &files)
        };
        let before =
            seen("active", "enabled", &unit(&[("/a", "1"), ("/b", "1"), ("/c", "1")]).stamp());
        for (files, expected) in [
            (&[("/a", "1"), ("/b", "2"), ("/c", "1")][..], "/b changed"),
            (&[("/a", "2"), ("/b", "2"), ("/c", "1")], "/a, /b changed"),
            (&[("/a", "2"), ("/b", "1"), ("/d", "1")], "/a changed; /d new; /c no longer meant"),
        ] {
            let Drift::Differs(diff) = unit(files).compare(&before).unwrap() else { panic!() };
            assert_eq!((diff.summary.as_str(), diff.why.as_deref()), ("restart", Some(expected)));
        }
        let stopped =
            Output { stdout: before.text().replace("=active", "=failed").into(), ..before };
        let same = unit(&[("/a", "1"), ("/b", "1"), ("/c", "1")]);
        let Drift::Differs(diff) = same.compare(&stopped).unwrap() else { panic!() };
        assert_eq!((diff.summary.as_str(), diff.why), ("start", None));
    }
}
