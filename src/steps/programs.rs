//! What kubeadm is told of a control plane's programs.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Volume};
use crate::kubernetes::arguments::Component;

/// The cluster's CA certificate, on every node.
pub(super) const CA: &str = "/etc/kubernetes/pki/ca.crt";

/// Arguments of ours. Kubelets are verified, not just encrypted to.
///
/// An API server that ends is not ready from then on, and serves for as long as all that lead to it take to
/// notice: haproxy's check is each second, kube-proxies need one or two. Then it tells clients to come
/// again, and ends within 2 s; else it would wait for watches, which do not end, until the kubelet kills it after
/// 30 s (k8s.io/apiserver, `GenericAPIServer.RunWithContext`).
const API_SERVER: &[(&str, &str)] = &[
    ("kubelet-certificate-authority", CA),
    ("kubelet-preferred-address-types", "InternalIP"),
    ("shutdown-delay-duration", "5s"),
    ("shutdown-send-retry-after", "true"),
];

/// The part of kubeadm's `ClusterConfiguration` that is a program's: its arguments, those of the inventory in
/// place of ours, and volumes.
pub(super) fn settings(cluster: &Cluster, component: Component) -> Value {
    let ours = if component == Component::ApiServer { API_SERVER } else { &[] };
    let control_plane = &cluster.control_plane;
    let said = control_plane.arguments.get(&component).map(Vec::as_slice).unwrap_or_default();
    let ours = ours.iter().filter(|(name, _)| said.iter().all(|(said, _)| said != name)).copied();
    let said = said.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let argument = |(name, value): (&str, &str)| json!({"name": name, "value": value});
    let arguments: Vec<Value> = ours.chain(said).map(argument).collect();
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
