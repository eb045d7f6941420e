//! A context for tests: a cluster of any size whose machines are all bare.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::OnceLock;

use super::{Context, Program, Step, Token};
use crate::bundle::Bundle;
use crate::cluster::{Addons, Cluster, ControlPlane, Drain, Endpoint, Network, Node, Role, Ssh};
use crate::pki::Pki;
use crate::survey::{Facts, Survey};

impl Context {
    /// `steps` for nodes of these names: control planes begin with `cp`.
    pub(crate) fn sample(steps: &'static [Step], names: &[&str]) -> Self {
        let nodes: Vec<Node> = (1..).zip(names).map(|(n, name)| node(name, n)).collect();
        let cluster = Cluster {
            name: "sample".to_owned(),
            kubernetes: semver::Version::new(1, 37, 2),
            endpoint: Endpoint::Node(nodes[0].internal),
            cert_sans: Vec::new(),
            network: Network {
                pods: vec!["10.244.0.0/16".parse().unwrap()],
                services: vec!["10.96.0.0/12".parse().unwrap()],
                domain: "cluster.local".to_owned(),
            },
            time_servers: Vec::new(),
            kubelet: serde_json::Map::new(),
            proxy_mode: "nftables".to_owned(),
            drain: Drain {
                max_unavailable: 1,
                timeout: std::time::Duration::from_secs(300),
                delete_empty_dir_data: false,
                force: false,
                past: Vec::new(),
            },
            control_plane: ControlPlane::default(),
            addons: Addons { calico: false, metrics_server: false, hub: false },
            registration: None,
            nodes,
            leaving: Vec::new(),
            maintained: Vec::new(),
        };
        let facts: BTreeMap<String, Facts> =
            names.iter().map(|name| ((*name).to_owned(), Facts::default())).collect();
        Self {
            steps,
            survey: Survey::new(&cluster, None, facts).unwrap(),
            cluster,
            pki: pki(),
            bundle: Bundle::sample(),
            token: Token::random(),
            program: Program::nowhere(),
            hub: None,
            registration: None,
        }
    }
}

fn node(name: &str, number: u8) -> Node {
    let internal = Ipv4Addr::new(10, 0, 0, number);
    Node {
        name: name.to_owned(),
        role: if name.starts_with("cp") { Role::ControlPlane } else { Role::Worker },
        internal,
        labels: BTreeMap::new(),
        taints: None,
        ssh: Ssh {
            host: internal.to_string(),
            port: 22,
            user: "root".to_owned(),
            identity: None,
            known_hosts: "/nonexistent".into(),
            host_key: None,
        },
    }
}

/// The keys of all clusters of tests.
pub(super) fn pki() -> Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| Pki::generate().unwrap()).clone()
}
