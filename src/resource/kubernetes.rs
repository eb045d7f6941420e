//! Membership: the results of `kubeadm init`, `join` and `reset`, and what follows from them.

use std::time::Duration;

use super::{Absent, Change, Disruption, Drift, Resource};
use crate::command::{Cmd, Input, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::secret::Secret;

/// kubeadm's own limits add up to less: five minutes each for discovery and TLS bootstrap, four for
/// the control plane (`cmd/kubeadm/app/constants/constants.go`).
const KUBEADM: Duration = Duration::from_secs(900);

/// Runs kubeadm with the configuration from standard input, if there is one. It holds a token: it
/// lies in memory (`/run`), readable by root, for as long as kubeadm runs. kubeadm is a unit of its
/// own, so that it comes to its end when the connection does not last that long; whoever comes next
/// waits for it (`slipway-run-*` in the survey). A proxy that systemd gives its units is kept from it:
/// kubeadm would write it into the static pods. Nothing is done where `$1` is a valid certificate.
/// [`SUPER_ADMIN`] is gone with the end of the `init` that made it. systemd keeps a unit that was killed
/// for as long as a process of its is slow to die, and longer, until it is told to forget it.
const RUN: &str = include_str!("kubeadm.sh");

/// `kubeadm`, with these words, and the configuration that it reads.
pub(super) fn kubeadm(words: &[&str], config: Option<&Secret<Vec<u8>>>) -> Cmd {
    kubeadm_unless("-", words, config)
}

/// [`kubeadm`], unless there is a valid `certificate`.
pub(super) fn kubeadm_unless(
    certificate: &str,
    words: &[&str],
    config: Option<&Secret<Vec<u8>>>,
) -> Cmd {
    let input = config.map_or(Input::Nothing, |config| Input::Secret(config.clone()));
    Cmd::shell(RUN).arg(certificate).args(words.iter().copied()).stdin(input).within(KUBEADM)
}

/// What `kubeadm init` leaves for the administrator: it outranks every access rule and is needed no
/// more.
pub const SUPER_ADMIN: Absent = Absent("/etc/kubernetes/super-admin.conf");

/// The first control plane, by `kubeadm init`. Only ever desired when every control plane answered
/// and none is a member.
pub struct Init {
    /// `InitConfiguration` and all that goes with it, as kubeadm reads them.
    pub config: Secret<Vec<u8>>,
}

impl Resource for Init {
    fn id(&self) -> String {
        "kubeadm init".to_owned()
    }

    fn probe(&self) -> Probe {
        // kubeadm's last phases (`mark-control-plane` to `addon`) make it last.
        Probe::object("/api/v1/namespaces/kube-system/configmaps/kube-proxy")
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(seen.ok(), "start a new cluster"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        vec![Change::new("kubeadm init", kubeadm(&["init"], Some(&self.config)))]
    }

    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        Some(Disruption::Voter)
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// A bootstrap token that joins may use, for an hour at most: [`super::NoTokens`] takes it away. Only
/// desired while a node is to join.
pub struct Token {
    /// The Secret object of type `bootstrap.kubernetes.io/token`, as JSON.
    pub object: Secret<Vec<u8>>,
    /// The nodes that it is for.
    pub nodes: Vec<String>,
}

impl Resource for Token {
    fn id(&self) -> String {
        "bootstrap token".to_owned()
    }

    fn probe(&self) -> Probe {
        // Nothing to look at: a fresh token is made for each run that lets nodes join.
        Probe::exist(&[])
    }

    fn compare(&self, _seen: &Output) -> Result<Drift> {
        Ok(Drift::differs(format!("let {} join", self.nodes.join(", "))))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd =
            Cmd::shell(super::manifest::APPLY_SECRET).stdin(Input::Secret(self.object.clone()));
        vec![Change::new("make a bootstrap token", cmd).repeatable()]
    }

    fn best_effort(&self, _seen: &Output) -> bool {
        true
    }
}

/// This control plane's etcd member is healthy and votes.
pub struct Voter {
    /// The node's name, which is its member's name.
    pub node: String,
}

impl Resource for Voter {
    fn id(&self) -> String {
        "etcd member".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::etcd_members()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let members = seen.json();
        let votes = members.get("members").and_then(|m| m.as_array()).is_some_and(|members| {
            members.iter().any(|member| {
                member.get("name").and_then(|n| n.as_str()) == Some(&self.node)
                    && member.get("isLearner").and_then(serde_json::Value::as_bool) != Some(true)
            })
        });
        Ok(Drift::unless(seen.ok() && votes, "a healthy voter"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        Vec::new()
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(120)
    }
}

/// The kubelet serves with a certificate that the cluster signed. It asks for one by itself; the
/// approver on the control planes answers.
pub struct ServingCertificate;

impl Resource for ServingCertificate {
    fn id(&self) -> String {
        "kubelet serving certificate".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::serving_certificate()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(seen.ok(), "signed by the cluster"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        Vec::new()
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(180)
    }

    fn explain(&self, _seen: &Output) -> Option<String> {
        Some(
            "`kubectl get csr` and `journalctl -u slipway-approver` on a control plane say more"
                .into(),
        )
    }
}

/// chrony has set the clock, or no server answers it. Certificates need the right time.
pub struct Synchronised;

impl Resource for Synchronised {
    fn id(&self) -> String {
        "clock".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::clock()
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = seen.text();
        let mut lines = text.lines();
        // `chronyc -c tracking`: the last of 14 fields is the leap status.
        let leap = lines.next().and_then(|line| line.rsplit(',').next()).unwrap_or_default();
        let synchronised = seen.ok() && !matches!(leap, "" | "Not synchronised");
        Ok(Drift::unless(synchronised, "synchronise"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        // Waits for one of two: synchronised; or all sources tried (`reach` still 0) for 15 s. After
        // a failure chrony takes its time, a minute and more: a burst asks at once.
        const WAIT: &str = r"i=0
        while ! chronyc waitsync 2 0.5 0 0.1 >/dev/null 2>&1; do
          [ $((i % 50)) != 49 ] || chronyc burst 4/4 >/dev/null 2>&1
          i=$((i + 1)); [ $i -lt 1200 ] || { echo 'a time server answers, yet the clock is not set after 2 minutes' >&2; exit 1; }
          if [ $i -ge 150 ] && ! chronyc -c -n sources | awk -F, '$6 > 0 { found = 1 } END { exit !found }'; then
            echo 'no time server answers: the clock stays as it is' >&2; exit 0
          fi
        done";
        let cmd = Cmd::shell(WAIT).within(Duration::from_secs(150));
        vec![Change::wait("wait for the clock", cmd)]
    }

    fn best_effort(&self, seen: &Output) -> bool {
        let text = seen.text();
        seen.ok() && text.lines().skip(1).all(|line| line.split(',').nth(5) == Some("0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Output {
        Output { stdout: text.into(), ..Output::default() }
    }

    #[test]
    fn what_outranks_every_access_rule_goes_as_soon_as_it_is_made() {
        let changes = Init { config: Secret::new(Vec::new()) }.converge(&Output::default());
        let [init] = changes.as_slice() else { panic!("{changes:?}") };
        let unit = init.cmd.line();
        let Absent(path) = SUPER_ADMIN;
        assert!(unit.contains(&format!("|| rm -f {path}; exit")), "{unit}");
    }

    #[test]
    fn a_learner_is_no_voter() {
        let voter = Voter { node: "cp-2".into() };
        let members = |learner: bool| {
            format!(r#"{{"members":[{{"name":"cp-1"}},{{"name":"cp-2","isLearner":{learner}}}]}}"#)
        };
        assert_eq!(voter.compare(&seen(&members(false))).unwrap(), Drift::None);
        assert_ne!(voter.compare(&seen(&members(true))).unwrap(), Drift::None);
        assert_ne!(voter.compare(&seen(r#"{"members":[{"name":"cp-1"}]}"#)).unwrap(), Drift::None);
        assert_ne!(voter.compare(&seen("garbage")).unwrap(), Drift::None);
    }

    #[test]
    fn the_clock_is_read_from_chronys_last_field() {
        let good = "0A4D0001,10.77.0.1,11,1763732000.1,0,0,0,0,0,0,0,0,1.0,Normal\n";
        assert_eq!(Synchronised.compare(&seen(good)).unwrap(), Drift::None);
        let bad = "7F7F0101,,0,0,0,0,0,0,0,0,0,0,0,Not synchronised\n^,?,10.0.0.1,0,6,0,-,0,0,0\n";
        assert_ne!(Synchronised.compare(&seen(bad)).unwrap(), Drift::None);
        assert!(Synchronised.best_effort(&seen(bad)), "no source was ever reached");
    }
}
