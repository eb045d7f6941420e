//! How further nodes become members: what the parts of `kubeadm join` bring about.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::kubernetes::{kubeadm, kubeadm_unless};
use super::{Change, Disruption, Drift, Resource};
use crate::command::{Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::secret::Secret;

/// The kubelet's client certificate: the cluster has let it in.
const CREDENTIALS: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

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

    fn patience(&self) -> Duration {
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
const ASK: &str =
    "[ -e /var/lib/kubelet/pki/kubelet-client-current.pem ] || systemctl restart kubelet";

impl Resource for ControlPlaneJoin {
    fn id(&self) -> String {
        "kubeadm join, from etcd on".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::object(&format!("/api/v1/nodes/{}", self.node))
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let node: serde_json::Value = serde_json::from_slice(&seen.stdout).unwrap_or_default();
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
