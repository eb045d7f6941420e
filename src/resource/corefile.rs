//! The name servers to which the cluster's DNS forwards other names.

use serde_json::{Value, json};

use super::{Change, Drift, Resource};
use crate::command::{Cmd, Input, Output, kubectl};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// CoreDNS forwards to the name servers of its node where there are any: without one it ends at once
/// (`plugin/forward: no nameservers found`). All else in its Corefile is for people to decide.
pub struct Upstream {
    /// Whether there are any.
    pub known: bool,
}

/// What kubeadm writes into a Corefile; CoreDNS reads the file when it starts.
const FORWARD: &str = "forward . /etc/resolv.conf";
/// Before each line that was taken out, so that it can come back as it was.
const MARK: &str = "# no name server: ";

/// Changes the Corefile, unless somebody else did meanwhile, and lets pods begin anew: they read their
/// name servers when they start.
const PATCH: &str = concat!("k='", kubectl!(), " --namespace kube-system'
$k patch configmap coredns --type=json --patch-file=/dev/stdin && $k rollout restart deployment/coredns");

impl Upstream {
    /// The desired text, given `corefile`.
    fn meant(&self, corefile: &str) -> String {
        if self.known {
            return corefile.replace(MARK, "");
        }
        let mut open = 0_usize;
        let mut inside = false;
        let mut meant = String::new();
        for line in corefile.split_inclusive('\n') {
            inside |= line.trim_start().starts_with(FORWARD);
            if inside {
                meant.push_str(MARK);
                open = (open + line.matches('{').count()).saturating_sub(line.matches('}').count());
                inside = open > 0;
            }
            meant.push_str(line);
        }
        meant
    }

    /// `None` where there is no CoreDNS yet.
    fn corefile(seen: &Output) -> Option<String> {
        let map: Value = serde_json::from_slice(&seen.stdout).ok()?;
        map.pointer("/data/Corefile").and_then(Value::as_str).map(str::to_owned)
    }
}

impl Resource for Upstream {
    fn id(&self) -> String {
        "name servers of CoreDNS".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::object("/api/v1/namespaces/kube-system/configmaps/coredns")
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let same = match Self::corefile(seen) {
            Some(corefile) => self.meant(&corefile) == corefile,
            // As kubeadm will write it.
            None => self.known,
        };
        let summary =
            if self.known { "forward to the nodes' own" } else { "none: forward nothing" };
        Ok(Drift::unless(same, summary))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let now = Self::corefile(seen).unwrap_or_default();
        let patch = json!([
            {"op": "test", "path": "/data/Corefile", "value": now},
            {"op": "replace", "path": "/data/Corefile", "value": self.meant(&now)},
        ]);
        let cmd = Cmd::shell(PATCH).stdin(Input::Bytes(patch.to_string().into_bytes()));
        vec![Change::new("change where CoreDNS asks for other names", cmd)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cmd/kubeadm/app/phases/addons/dns/manifests.go` of Kubernetes 1.37.
    const KUBEADM: &str = ".:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       ttl 30
    }
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
}
";
    const WITHOUT: &str = ".:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       ttl 30
    }
# no name server:     forward . /etc/resolv.conf {
# no name server:        max_concurrent 1000
# no name server:     }
    cache 30
    loop
}
";

    fn seen(corefile: &str) -> Output {
        let map = json!({"data": {"Corefile": corefile}});
        Output { stdout: map.to_string().into_bytes(), ..Output::default() }
    }

    #[test]
    fn forward_goes_without_a_name_server_and_comes_back_as_it_was() {
        let (with, without) = (Upstream { known: true }, Upstream { known: false });
        assert_eq!(without.meant(KUBEADM), WITHOUT);
        assert_eq!(with.meant(WITHOUT), KUBEADM);
        for (upstream, good, bad) in [(&with, KUBEADM, WITHOUT), (&without, WITHOUT, KUBEADM)] {
            assert_eq!(upstream.compare(&seen(good)).unwrap(), Drift::None);
            assert_ne!(upstream.compare(&seen(bad)).unwrap(), Drift::None);
        }
        // Before there is a cluster: what kubeadm writes forwards.
        let nothing = Output { code: 1, ..Output::default() };
        assert_eq!(with.compare(&nothing).unwrap(), Drift::None);
        assert_ne!(without.compare(&nothing).unwrap(), Drift::None);
        assert!(!without.wait_only(&nothing), "a plan announces it");
    }

    #[test]
    fn what_people_wrote_stays() {
        let mine =
            ".:53 {\n    forward . 192.0.2.53\n    forward example.com /etc/resolv.conf\n}\n";
        for known in [true, false] {
            assert_eq!(Upstream { known }.meant(mine), mine);
        }
        let short = ".:53 {\n    forward . /etc/resolv.conf\n    cache\n}\n";
        let without = Upstream { known: false }.meant(short);
        assert_eq!(without, short.replace("    forward", "# no name server:     forward"));
        assert_eq!(Upstream { known: true }.meant(&without), short);
        // It never ends, and nothing else is lost.
        let broken = "forward . /etc/resolv.conf {\ncache";
        assert_eq!(
            Upstream { known: true }.meant(&Upstream { known: false }.meant(broken)),
            broken
        );
    }

    #[test]
    fn a_change_of_somebody_else_is_not_overwritten() {
        let changes = Upstream { known: false }.converge(&seen(KUBEADM));
        let Input::Bytes(patch) = changes[0].cmd.input() else { panic!() };
        let patch: Value = serde_json::from_slice(patch).unwrap();
        assert_eq!(patch[0], json!({"op": "test", "path": "/data/Corefile", "value": KUBEADM}));
        assert_eq!(patch[1]["value"], WITHOUT);
    }
}
