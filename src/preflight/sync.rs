//! How fast the disk is that etcd will wait for.

use super::finding::{Check, Finding, JOINING_CONTROL_PLANES, Severity};
use crate::command::Output;

pub(super) const SLOW_DISK: Check = Check {
    name: "slow-disk",
    severity: Severity::Warning,
    of: JOINING_CONTROL_PLANES,
    about: "More than 2 of 20 synced writes of 4 KiB where etcd's data will lie took longer than \
            10 ms. etcd's documentation asks that 99 of 100 be faster: it loses its leader \
            otherwise. Measured by `preflight` only, for 3 s at most, in a file of \
            which nothing is left.",
    todo: "use a faster disk for `/var/lib/etcd`, or expect elections under load",
};

const WRITES: usize = 20;
/// etcd's limit for the 99th percentile, in seconds (etcd.io, FAQ, "What does the etcd warning
/// “failed to send out heartbeat on time” mean?").
const LIMIT: f64 = 0.01;
/// So many of [`WRITES`] may take longer: if one of 100 does, more do once in a thousand times.
const ALLOWED: usize = 2;

/// Judges what [`crate::probe::Probe::synced_writes`] brought from `node`.
#[must_use]
pub fn synced(node: &str, output: &Output) -> Option<Finding> {
    let text = output.text();
    let mut lines = text.lines().skip_while(|line| *line != "began");
    lines.next()?;
    let times: Vec<f64> = lines
        .take(WRITES)
        .filter_map(|line| line.parse().ok())
        .filter(|t: &f64| *t >= 0.0)
        .collect();
    let slow = times.iter().filter(|time| **time > LIMIT).count();
    let slowest = times.iter().copied().fold(0.0, f64::max) * 1000.0;
    let what = if times.len() < WRITES {
        format!("only {} of {WRITES} synced writes were done within 3 s", times.len())
    } else {
        format!("{slow} of {WRITES} synced writes took longer than 10 ms, one {slowest:.0} ms")
    };
    (slow > ALLOWED || times.len() < WRITES).then(|| SLOW_DISK.on(node, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judge(text: &str) -> Option<String> {
        let output = Output { stdout: text.into(), ..Output::default() };
        synced("cp-1", &output).map(|finding| finding.what)
    }

    #[test]
    fn three_slow_writes_are_too_many() {
        let fast = "0.004\n".repeat(18);
        assert_eq!(judge(&format!("began\n{fast}0.2\n0.02\n")), None);
        let slow = judge(&format!("began\n0.011\n{}0.2\n0.02\n", "0.004\n".repeat(17)));
        assert_eq!(slow.unwrap(), "3 of 20 synced writes took longer than 10 ms, one 200 ms");
        let hung = judge("began\n0.9\n1.1\n");
        assert_eq!(hung.unwrap(), "only 2 of 20 synced writes were done within 3 s");
    }

    #[test]
    fn what_could_not_be_measured_is_no_finding() {
        assert_eq!(judge(""), None);
    }

    proptest! {
        #[test]
        fn hostile_answers_do_not_panic(text in "began\n([-0-9.einfaN ]{0,9}\n){0,30}") {
            judge(&text);
        }
    }
}
