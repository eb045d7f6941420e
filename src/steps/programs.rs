//! What kubeadm is told of a control plane's programs.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Volume};
use crate::kubernetes::arguments::Component;

/// The cluster's CA certificate, on every node.
pub(super) const CA: &str = "/etc/kubernetes/pki/ca.crt";

/// Arguments of ours. Kubelets are verified, not just encrypted to.
const API_SERVER: &[(&str, &str)] =
    &[("kubelet-certificate-authority", CA), ("kubelet-preferred-address-types", "InternalIP")];

/// The part of kubeadm's `ClusterConfiguration` that is a program's: its arguments, the inventory's last, and
/// volumes.
pub(super) fn settings(cluster: &Cluster, component: Component) -> Value {
    let ours = if component == Component::ApiServer { API_SERVER } else { &[] };
    let control_plane = &cluster.control_plane;
    let said = control_plane.arguments.get(&component).into_iter().flatten();
    let said = said.map(|(name, value)| (name.as_str(), value.as_str()));
    let argument = |(name, value): (&str, &str)| json!({"name": name, "value": value});
    let arguments: Vec<Value> = ours.iter().copied().chain(said).map(argument).collect();
    let volumes = control_plane.volumes.get(&component).into_iter().flatten();
    let volumes: Vec<Value> = volumes.map(volume).collect();
    match component {
        Component::Etcd => json!({"extraArgs": arguments}),
        _ => json!({"extraArgs": arguments, "extraVolumes": volumes}),
    }
}

fn volume(volume: &Volume) -> Value {
    json!({
        "name": volume.name,
        "hostPath": volume.host_path,
        "mountPath": volume.mount_path,
        "readOnly": volume.read_only,
        "pathType": volume.path_type.as_deref().unwrap_or_default(),
    })
}
