//! How further nodes become members: the parts of `kubeadm join` and what follows from each.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::kubernetes::{kubeadm, kubeadm_unless};
use super::{Change, Disruption, Drift, Resource};
use crate::command::{Cmd, Output, client_certificate};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::secret::Secret;

/// The kubelet's client certificate: the cluster has let it in.
const CREDENTIALS: &str = client_certificate!();

/// The cluster's virtual IP answers on this node, before kubeadm waits for it for minutes.
pub struct Reachable {
    /// The node.
    pub node: String,
    /// The address.
    pub vip: Ipv4Addr,
    /// The API's port there.
    pub port: u16,
}

impl Resource for Reachable {
    fn id(&self) -> String {
        format!("connection to {}:{}", self.vip, self.port)
    }

    fn probe(&self) -> Probe {
        Probe::reach(&self.vip.to_string(), self.port)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        // Without bash nobody can ask.
        Ok(Drift::unless(matches!(seen.code, 0 | 127), "open"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        Vec::new()
    }

    fn timeout(&self) -> Duration {
        // It may just have moved to another control plane, which takes seconds.
        Duration::from_secs(30)
    }

    fn explain(&self, seen: &Output) -> Option<String> {
        let Self { node, vip, port } = self;
        let how =
            if seen.code == 124 { "there is no answer" } else { "nobody accepts connections" };
        Some(format!(
            "{node} cannot reach the virtual IP {vip}:{port}: {how}; does the network allow \
             addresses that a machine was not given? Clouds need it switched on (port security, \
             source checks), or a load balancer as `spec.endpoint.address`"
        ))
    }
}

/// A further control plane, as far as etcd: `kubeadm join` up to its phase `etcd-join`, which ends
/// when the new member votes. What comes after may go on while the next control plane joins.
pub struct EtcdJoin {
    /// `JoinConfiguration`, which skips the phases after `etcd-join`.
    pub config: Secret<Vec<u8>>,
}

impl Resource for EtcdJoin {
    fn id(&self) -> String {
        "kubeadm join, up to etcd".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::exist(&["/etc/kubernetes/manifests/etcd.yaml"])
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(!seen.stdout.is_empty(), "join etcd"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        vec![Change::new("kubeadm join, up to etcd", kubeadm(&["join"], Some(&self.config)))]
    }

    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        Some(Disruption::Voter)
    }
}

/// The API server on this control plane itself is ready.
pub struct ApiServer {
    /// The node's own address.
    pub address: Ipv4Addr,
}

impl Resource for ApiServer {
    fn id(&self) -> String {
        "API server".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::api_server(&self.address.to_string())
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(seen.ok(), "ready"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        Vec::new()
    }

    fn timeout(&self) -> Duration {
        // As long as kubeadm waits for one (`ControlPlaneComponentHealthCheckTimeout`).
        Duration::from_secs(240)
    }
}

/// The rest of a further control plane's join: the kubelet's credentials, the Node's labels.
pub struct ControlPlaneJoin {
    /// The node.
    pub node: String,
    /// `JoinConfiguration`, which skips the phases up to `etcd-join`.
    pub config: Secret<Vec<u8>>,
    /// Whether an earlier run stopped in between: the token that the kubelet asks with may have
    /// ended since.
    pub resumed: bool,
}

/// A kubelet that was refused while its own API server started asks again after 8 s and more;
/// started again, at once.
const ASK: &str = concat!("[ -e ", client_certificate!(), " ] || systemctl restart kubelet");

impl Resource for ControlPlaneJoin {
    fn id(&self) -> String {
        "kubeadm join, from etcd on".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::object(&format!("/api/v1/nodes/{}", self.node))
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let node = seen.json();
        // kubeadm's phase `mark-control-plane` sets it, the last one that changes anything.
        let marked = node.pointer("/metadata/labels/node-role.kubernetes.io~1control-plane");
        Ok(Drift::unless(marked.is_some(), "join the cluster"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let config = Some(&self.config);
        let start = ["join", "phase", "kubelet-start"];
        let first = if self.resumed {
            let cmd = kubeadm_unless(CREDENTIALS, &start, config);
            Change::new("give the kubelet a new token, if it needs one", cmd)
        } else {
            Change::new("let the kubelet ask its API server", Cmd::shell(ASK))
        };
        vec![
            first,
            Change::new("kubeadm join, from etcd on", kubeadm(&["join"], Some(&self.config))),
        ]
    }
}

/// Membership of a worker, by `kubeadm join`.
pub struct Join {
    /// `JoinConfiguration`, as kubeadm reads it.
    pub config: Secret<Vec<u8>>,
}

impl Resource for Join {
    fn id(&self) -> String {
        "kubeadm join".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::exist(&[CREDENTIALS])
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(!seen.stdout.is_empty(), "join the cluster"))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        vec![Change::new("kubeadm join", kubeadm(&["join"], Some(&self.config)))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_ip_out_of_reach_is_told_in_words() {
        let vip = Ipv4Addr::new(10, 77, 0, 100);
        let way = Reachable { node: "w-1".to_owned(), vip, port: 6443 };
        let seen = |code| Output { code, ..Output::default() };
        for good in [0, 127] {
            assert_eq!(way.compare(&seen(good)).unwrap(), Drift::None);
        }
        for (code, how) in [(124, "there is no answer"), (1, "nobody accepts connections")] {
            assert_ne!(way.compare(&seen(code)).unwrap(), Drift::None);
            let told = way.explain(&seen(code)).unwrap();
            let begin = format!("w-1 cannot reach the virtual IP 10.77.0.100:6443: {how}");
            assert!(told.starts_with(&begin), "{told}");
            assert!(told.contains("addresses that a machine was not given"), "{told}");
        }
    }
}
