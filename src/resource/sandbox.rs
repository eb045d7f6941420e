//! Pods that their node's kubelet recreates once their sandbox ends: for what only a pod's start does, and
//! for pods that cannot start where they are.

use std::time::Duration;

use super::{Change, Disruption, Drift, Resource};
use crate::command::{Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;

macro_rules! end {
    () => {
        r#"for id in $(ctr --namespace k8s.io containers list --quiet "labels.\"io.cri-containerd.kind\"==sandbox,labels.\"$1\"==\"$2\"" 2>/dev/null); do
  ctr --namespace k8s.io tasks kill --signal SIGKILL "$id" 2>/dev/null || :
done"#
    };
}

/// Ends the sandboxes of pods whose label `$1` is `$2`, on this node; the kubelet makes such a pod
/// anew, its init containers first. Its containers in the runtime carry the pod's labels.
const END: &str = end!();

/// [`END`], unless the component at port `$3` has become healthy meanwhile.
const END_UNLESS_HEALTHY: &str = concat!(
    r#"said=$(printf 'GET /healthz HTTP/1.0\r\n\r\n' | timeout 5 openssl s_client -quiet -connect "127.0.0.1:$3" 2>/dev/null | tail -n 1)
[ "$said" != ok ] || exit 0
"#,
    end!()
);

/// A component of a control plane that says at its own health endpoint that it is well. Where it does
/// not, its pod is recreated.
pub struct Component {
    /// Its name, which is its static pod's: `kube-scheduler`.
    pub name: &'static str,
    /// Its port on 127.0.0.1, as kubeadm's manifest has it.
    pub port: u16,
}

impl Component {
    /// Those that have no other probe: etcd and the API server are asked as such.
    pub const ALL: [Self; 2] = [
        Self { name: "kube-controller-manager", port: 10_257 },
        Self { name: "kube-scheduler", port: 10_259 },
    ];
}

impl Resource for Component {
    fn id(&self) -> String {
        self.name.to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::component(self.port)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let said = seen.text();
        let last = said.lines().last().unwrap_or_default().trim();
        Ok(match last {
            "ok" => Drift::None,
            "" => Drift::differs("does not run: recreate its pod"),
            _ => Drift::differs("is not healthy: recreate its pod"),
        })
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::shell(END_UNLESS_HEALTHY).args(["component", self.name]);
        let cmd = cmd.arg(self.port.to_string());
        vec![Change::new(format!("recreate {}'s pod", self.name), cmd).repeatable()]
    }

    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        Some(Disruption::Restart(self.name.to_owned()))
    }

    fn timeout(&self) -> Duration {
        // As long as kubeadm waits for one (`ControlPlaneComponentHealthCheckTimeout`).
        Duration::from_secs(240)
    }

    fn explain(&self, seen: &Output) -> Option<String> {
        let said = seen.text();
        let said = said.trim();
        let said = if said.is_empty() { "nothing" } else { said };
        let (name, port) = (self.name, self.port);
        Some(format!(
            "127.0.0.1:{port}/healthz says {said}; `kubectl -n kube-system describe pods -l \
             component={name}` says more"
        ))
    }
}

/// The runtime's configuration of the pod network, which Calico's pod on each node writes when it
/// starts, and only then.
pub struct CalicoConfig;

const CALICO: &str = "/etc/cni/net.d/10-calico.conflist";

impl Resource for CalicoConfig {
    fn id(&self) -> String {
        format!("Calico's {CALICO}")
    }

    fn probe(&self) -> Probe {
        Probe::exist(&[CALICO])
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(!seen.stdout.is_empty(), "gone: recreate calico-node's pod"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::shell(END).args(["k8s-app", "calico-node"]);
        vec![Change::new("recreate calico-node's pod", cmd).repeatable()]
    }

    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        Some(Disruption::Restart("calico-node".to_owned()))
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn explain(&self, _seen: &Output) -> Option<String> {
        Some("`kubectl -n kube-system describe pods -l k8s-app=calico-node` says more".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Output {
        Output { stdout: text.into(), ..Output::default() }
    }

    #[test]
    fn a_component_is_well_when_it_says_so() {
        let scheduler = &Component::ALL[1];
        let well = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nok";
        assert_eq!(scheduler.compare(&seen(well)).unwrap(), Drift::None);
        for (said, summary) in [
            ("", "does not run: recreate its pod"),
            ("HTTP/1.0 500\r\n\r\nhealthz check failed\n", "is not healthy: recreate its pod"),
        ] {
            assert_eq!(scheduler.compare(&seen(said)).unwrap(), Drift::differs(summary));
        }
        let words = scheduler.converge(&seen(""))[0].cmd.words().to_vec();
        assert_eq!(words[4..], ["component", "kube-scheduler", "10259"]);
    }

    #[test]
    fn the_command_asks_as_the_probe_does() {
        let (ask, _) = END_UNLESS_HEALTHY.split_once('\n').unwrap();
        let ask = ask.strip_prefix("said=$(").unwrap().replace("$3", "$1");
        let ask = ask.split(" 2>/dev/null").next().unwrap().to_owned();
        assert!(Probe::component(1).text().contains(&ask), "{ask}");
        assert!(END_UNLESS_HEALTHY.ends_with(END));
    }

    #[test]
    fn a_configuration_of_the_network_that_is_gone_comes_with_a_new_pod() {
        assert_eq!(CalicoConfig.compare(&seen(CALICO)).unwrap(), Drift::None);
        let Drift::Differs(diff) = CalicoConfig.compare(&seen("")).unwrap() else {
            panic!("there")
        };
        assert_eq!(diff.summary, "gone: recreate calico-node's pod");
    }
}
