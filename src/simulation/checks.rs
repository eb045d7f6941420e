//! What kubeadm checks of a machine before it does anything there.

use serde_json::Value;

use super::kubeadm::key;
use super::machine::{API_MANIFEST, BOOTSTRAP, ETCD_MANIFEST, KUBELET_CONF, Machine};
use crate::pki;

/// Checks of `init` and `join` (`app/preflight/checks.go`).
pub(super) fn ready_for_a_node(machine: &Machine, worker: bool, verb: &str) -> Result<(), String> {
    let ca = key("ca.crt");
    let mut unwanted = if verb == "join" { vec![KUBELET_CONF, BOOTSTRAP] } else { Vec::new() };
    unwanted.extend(worker.then_some(ca.as_str()));
    if let Some(path) = unwanted.iter().find(|path| machine.has(path)) {
        return Err(format!("{path} already exists"));
    }
    if machine.kubelet_works() {
        return Err("Port 10250 is in use".to_owned());
    }
    if !machine.active("containerd.service") {
        return Err("container runtime is not running".to_owned());
    }
    let forwards = machine.sysctls.get("net.ipv4.ip_forward").is_some_and(|value| value == "1");
    if forwards { Ok(()) } else { Err("ip_forward contents are not set to 1".to_owned()) }
}

pub(super) fn ready_for_a_control_plane(machine: &Machine, ignored: &Value) -> Result<(), String> {
    if let Some(path) = [ETCD_MANIFEST, API_MANIFEST].iter().find(|path| machine.has(path)) {
        return Err(format!("{path} already exists"));
    }
    let ignored = ignored.as_array().into_iter().flatten();
    let disk = machine.exists("/var/lib/etcd/lost+found");
    let may = ignored.into_iter().any(|name| name == "DirAvailable--var-lib-etcd");
    if machine.data.is_some() || (disk && !may) {
        return Err("/var/lib/etcd is not empty".to_owned());
    }
    if !machine.pods.is_empty() {
        return Err("Port 2379 is in use".to_owned());
    }
    let lacking = pki::FILES.iter().find(|file| !machine.has(&key(file)));
    lacking.map_or(Ok(()), |file| Err(format!("the shared {file} is not there")))
}
