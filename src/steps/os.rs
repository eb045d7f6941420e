//! The operating system: packages, name, swap, kernel.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Context, Gate, Pace, Step, artifacts};
use crate::cluster::{Endpoint, Node, Role};
use crate::diagnostic::Result;
use crate::resource::{Block, File, Hostname, Modules, NoSwap, Resource, Sysctls, boxed};
use crate::template;

/// Early, because everything later rests on it: packages bring the programs that later steps
/// configure, and kubeadm wants names that resolve. Workers are needed only once the first control
/// plane is up, which takes longer than getting them ready.
pub const STEP: Step = Step {
    name: "os",
    title: "packages, host name, kernel settings",
    after: &[Gate::LeaderFirst("containerd")],
    pace: Pace::Together,
    desired,
};

fn desired(context: &Context, node: &Node) -> Result<Vec<Box<dyn Resource>>> {
    let settings = settings();
    let values = json!({
        "settings": settings.iter().map(|(key, value)| json!({"key": key, "value": value}))
            .collect::<Vec<_>>()
    });
    let virtual_ip = matches!(context.cluster.endpoint, Endpoint::Vip { .. });
    let endpoint = virtual_ip && node.role == Role::ControlPlane;
    Ok(vec![
        boxed(artifacts::packages(&context.bundle, &context.facts(node).os, endpoint)?),
        boxed(Hostname(node.name.clone())),
        boxed(Block::new("/etc/hosts", hosts(context))),
        boxed(NoSwap),
        boxed(File::text(template::MODULES.target(), template::MODULES.render(&json!({}))?)),
        boxed(Modules),
        boxed(File::text(template::SYSCTLS.target(), template::SYSCTLS.render(&values)?)),
        boxed(Sysctls(settings)),
    ])
}

/// What Kubernetes needs (`ip_forward` is checked by kubeadm, the bridge settings by pod networks),
/// what many pods need (inotify), and what the endpoint needs: haproxy listens on the virtual IP
/// before the node holds it.
fn settings() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("fs.inotify.max_user_instances", "8192"),
        ("fs.inotify.max_user_watches", "1048576"),
        ("kernel.panic", "10"),
        ("kernel.panic_on_oops", "1"),
        ("net.bridge.bridge-nf-call-ip6tables", "1"),
        ("net.bridge.bridge-nf-call-iptables", "1"),
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.ip_nonlocal_bind", "1"),
        ("vm.overcommit_memory", "1"),
    ])
}

/// Every node's name and the API's, so that the cluster does not depend on a name server.
fn hosts(context: &Context) -> String {
    // By name: another order of the inventory changes nothing, nor does a line that is gone.
    let meant = context.cluster.nodes.iter().map(|n| (&n.name, n.internal));
    let beyond = context.survey.beyond.iter().map(|member| (&member.name, member.internal));
    let all: BTreeMap<_, _> = beyond.chain(meant).collect();
    let mut lines: Vec<String> =
        all.into_iter().map(|(name, address)| format!("{address} {name}")).collect();
    match &context.cluster.endpoint {
        Endpoint::Vip { address, .. } | Endpoint::Node(address) => {
            lines.push(format!("{address} {}", context.cluster.api_name()));
        }
        Endpoint::External { .. } => {}
    }
    lines.join("\n")
}
