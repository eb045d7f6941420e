//! The machine's own settings: host name, swap, kernel modules and parameters.

use std::collections::BTreeMap;

use super::{Change, Drift, Resource};
use crate::command::{Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// The host name is the node's name.
pub struct Hostname(pub String);

impl Resource for Hostname {
    fn id(&self) -> String {
        "hostname".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::hostname()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = seen.text();
        let same = !text.is_empty() && text.lines().all(|line| line == self.0);
        let now = text.lines().next().unwrap_or_default();
        Ok(Drift::unless(same, format!("{now} → {}", self.0)))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        const SET: &str =
            r#"printf '%s\n' "$1" >/etc/hostname && printf '%s' "$1" >/proc/sys/kernel/hostname"#;
        vec![Change::new(format!("set the host name {}", self.0), Cmd::shell(SET).arg(&self.0))]
    }
}

/// No swap, now and after a reboot: the kubelet refuses to start with it.
pub struct NoSwap;

impl Resource for NoSwap {
    fn id(&self) -> String {
        "swap".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::swap()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(seen.stdout.is_empty(), "turn off, comment out in /etc/fstab"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        const OFF: &str = r"swapoff -a && { [ ! -f /etc/fstab ] || sed -E -i.slipway \
          's/^([^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]])/# \1/' /etc/fstab; }";
        vec![Change::new("turn swap off", Cmd::shell(OFF))]
    }
}

/// The kernel features that containers and pod networks need. A feature that is built in needs no
/// module, so what counts is what a module gives, not that it is loaded.
pub struct Modules;

impl Resource for Modules {
    fn id(&self) -> String {
        "kernel modules".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::missing_modules()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = seen.text();
        let missing: Vec<&str> = text.lines().collect();
        Ok(Drift::unless(missing.is_empty(), format!("load {}", missing.join(", "))))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let names: Vec<String> = seen.text().lines().map(str::to_owned).collect();
        let what = format!("load {}", names.join(", "));
        vec![Change::new(what, Cmd::new("modprobe").arg("-a").args(names))]
    }
}

/// Kernel parameters as they are now; that they stay so after a reboot is a file's part. One that
/// this kernel lacks, or lets nobody set, is left alone.
pub struct Sysctls(pub BTreeMap<&'static str, &'static str>);

impl Sysctls {
    fn differing(&self, seen: &Output) -> Vec<(&'static str, &'static str)> {
        let text = seen.text();
        let now: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
        self.0
            .iter()
            .filter(|(key, value)| now.get(*key).is_some_and(|now| now != *value))
            .map(|(key, value)| (*key, *value))
            .collect()
    }
}

impl Resource for Sysctls {
    fn id(&self) -> String {
        "kernel parameters".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::sysctls(&self.0.keys().copied().collect::<Vec<_>>())
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let differing: Vec<String> =
            self.differing(seen).iter().map(|(key, value)| format!("{key}={value}")).collect();
        Ok(Drift::unless(differing.is_empty(), differing.join(", ")))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let words = self.differing(seen).into_iter().map(|(key, value)| format!("{key}={value}"));
        vec![Change::new("set kernel parameters", Cmd::new("sysctl").arg("-qw").args(words))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Output {
        Output { stdout: text.into(), ..Output::default() }
    }

    #[test]
    fn hostname_needs_kernel_and_file() {
        let name = Hostname("cp-1".into());
        assert_eq!(name.compare(&seen("cp-1\ncp-1\n")).unwrap(), Drift::None);
        assert_ne!(name.compare(&seen("cp-1\nold\n")).unwrap(), Drift::None);
        assert_ne!(name.compare(&seen("")).unwrap(), Drift::None);
    }

    #[test]
    fn read_only_and_absent_parameters_are_left_alone() {
        let want = BTreeMap::from([("a.b", "1"), ("c.d", "1"), ("e.f", "1"), ("g.h", "1")]);
        let drift = Sysctls(want).compare(&seen("a.b=1\nc.d=0\ne.f (read-only)\n")).unwrap();
        assert_eq!(drift, Drift::differs("c.d=1"));
    }
}
