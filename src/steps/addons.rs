//! What every cluster gets on top: the pod network and metrics.

use serde_json::json;

use super::{Context, Pace, Step};
use crate::cluster::{Endpoint, Node, Role};
use crate::diagnostic::Result;
use crate::resource::{Manifest, Resource, ServerKey, Upstream, boxed};

/// Only needs the first control plane. The rest of the cluster may still join meanwhile.
pub const STEP: Step = Step {
    name: "addons",
    title: "Calico, metrics-server, hub",
    after: &[],
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    if !context.is_leader(node) {
        return Ok(Vec::new());
    }
    let calico = context.cluster.addons.calico;
    let api = calico.then(|| api(&context.cluster.endpoint));
    let access: Vec<String> = [access()].into_iter().chain(api).map(|o| o.to_string()).collect();
    let mut wanted = vec![
        boxed(Manifest { name: "access", text: access.join("\n---\n") }),
        // Before Calico, with which CoreDNS starts.
        boxed(Upstream { known: knows_name_servers(context) }),
    ];
    if calico {
        wanted.push(boxed(Manifest { name: "calico", text: context.bundle.addon("calico")? }));
    }
    if context.cluster.addons.metrics_server {
        const SERVICE: &str = "metrics-server.kube-system.svc";
        let names =
            vec![SERVICE.to_owned(), format!("{SERVICE}.{}", context.cluster.network.domain)];
        let leaf = context.pki.serving_certificate(&names, &[])?;
        let ca = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            context.pki.ca_pem(),
        );
        let text = context.bundle.addon("metrics-server")?.replace("${METRICS_SERVER_CA}", &ca);
        wanted.push(boxed(ServerKey { name: "metrics-server-tls", leaf }));
        wanted.push(boxed(Manifest { name: "metrics-server", text }));
    }
    if let Some(text) = &context.hub {
        wanted.push(boxed(Manifest { name: "hub", text: text.clone() }));
    }
    Ok(wanted)
}

/// Whether a control plane, where CoreDNS starts, knows a name server. Where kubelets are told what to
/// give to pods, nobody looks.
fn knows_name_servers(context: &Context) -> bool {
    let mut control_planes = context.present().filter(|node| node.role == Role::ControlPlane);
    context.cluster.kubelet.contains_key("resolvConf")
        || control_planes.any(|node| !context.facts(node).lacks_name_server())
}

/// Where Calico on the nodes finds the API, read by its own manifest: the endpoint itself. Else it
/// would need kube-proxy for that, and fail, and wait, where it starts first.
fn api(endpoint: &Endpoint) -> serde_json::Value {
    let (host, port) = endpoint.host_and_port();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kubernetes-services-endpoint", "namespace": "kube-system"},
        "data": {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port.to_string()},
    })
}

/// Lets the API server use kubelets for `logs` and `exec`. kubeadm 1.36.1 and later make this
/// binding in `init` alone (kubernetes/kubeadm#3310), so it is ensured here.
fn access() -> serde_json::Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "kubeadm:apiserver-kubelet-client"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:kubelet-api-admin",
        },
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "User",
            "name": "kube-apiserver-kubelet-client",
        }],
    })
}
