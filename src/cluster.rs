//! The cluster that the inventory describes, with every default resolved. Plain data; made by
//! [`crate::inventory`], read by the steps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use semver::Version;

use crate::kubernetes::arguments::Component;
use crate::kubernetes::names;

mod drain;
mod leaving;

pub use drain::Drain;
pub use leaving::Leaving;

/// A cluster, as the inventory describes it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name, a DNS label.
    pub name: String,
    /// The Kubernetes version that it must run.
    pub kubernetes: Version,
    /// Where clients reach the API.
    pub endpoint: Endpoint,
    /// Host names and addresses that the API's certificate names beside what always is in it.
    pub cert_sans: Vec<String>,
    /// Addresses of pods and services.
    pub network: Network,
    /// NTP servers; empty means: leave the distribution's own.
    pub time_servers: Vec<String>,
    /// Fields for every node's `KubeletConfiguration`, beside those that slipway owns.
    pub kubelet: serde_json::Map<String, serde_json::Value>,
    /// kube-proxy's mode: `nftables` or `iptables`.
    pub proxy_mode: String,
    /// What runs on control planes.
    pub control_plane: ControlPlane,
    /// How nodes are drained.
    pub drain: Drain,
    /// What is installed on top.
    pub addons: Addons,
    /// The hub to register with.
    pub registration: Option<Registration>,
    /// The machines, in the inventory's order.
    pub nodes: Vec<Node>,
    /// Nodes that are taken out of it, and are none of these any more.
    pub leaving: Vec<Leaving>,
    /// The names of nodes that a person has cordoned, drained or uncordoned by this run.
    pub maintained: Vec<String>,
}

/// Where clients reach the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A virtual IP that slipway keeps on one of the control planes, port 6443.
    Vip {
        /// The virtual IP.
        address: Ipv4Addr,
        /// The interface that carries it; `None`: the one that holds the node's internal address.
        interface: Option<String>,
        /// VRRP's virtual router id (RFC 5798, §5.2.3), unique in the network segment.
        router_id: u8,
    },
    /// A load balancer that somebody else runs.
    External {
        /// Its host name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// The only control plane itself, port 6443.
    Node(Ipv4Addr),
}

/// Addresses of pods and services. Lists, so that a second family fits; one IPv4 network for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Pods.
    pub pods: Vec<Ipv4Net>,
    /// Services.
    pub services: Vec<Ipv4Net>,
    /// The cluster's DNS domain.
    pub domain: String,
}

/// What runs on control planes, beside what kubeadm and slipway say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlPlane {
    /// Each program's arguments: names without dashes, and values; a name may come several times.
    pub arguments: BTreeMap<Component, Vec<(String, String)>>,
    /// What of the node each program finds in its container.
    pub volumes: BTreeMap<Component, Vec<Volume>>,
}

/// A file or a directory of a node that a program finds in its container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name in the pod.
    pub name: String,
    /// Where it is on the node.
    pub host_path: String,
    /// Where the program finds it.
    pub mount_path: String,
    /// Whether the program may only read it.
    pub read_only: bool,
    /// Kubernetes' `hostPath.type`; `None`: nobody looks what is there.
    pub path_type: Option<String>,
}

/// What is installed on top of the bare cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addons {
    /// Calico, the pod network.
    pub calico: bool,
    /// metrics-server, for `kubectl top` and autoscaling.
    pub metrics_server: bool,
    /// The hub of the Multi-Cluster Platform.
    pub hub: bool,
}

/// How the hub, the Multi-Cluster Platform, will know the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The hub.
    pub hub: Hub,
    /// The cluster's name there.
    pub name: String,
    /// `Hosted`, `Hybrid` or `Edge`.
    pub mode: String,
    /// How often it reports.
    pub every: Duration,
    /// Labels of its `ClusterRegistration`, those for region and zone among them.
    pub labels: BTreeMap<String, String>,
    /// What the hub may do in it beyond looking: `ApplyManifests`, `Policies`.
    pub capabilities: Vec<String>,
    /// Further fields of its `spec` there, as its inventory says them: `apiEndpoint`, `caData`,
    /// `credential`, `adapters`.
    pub more: serde_json::Map<String, serde_json::Value>,
    /// Whether it may take the place of another cluster of that name.
    pub replace: bool,
}

/// How to reach the hub, with the rights to register clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hub {
    /// As a kubeconfig says.
    Kubeconfig(PathBuf),
    /// At an endpoint.
    Endpoint {
        /// `host:port`.
        authority: String,
        /// The file of its CA certificate.
        ca: PathBuf,
        /// The file of a token.
        token: PathBuf,
    },
}

/// A machine and its part in the cluster.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name: host name and Kubernetes node name.
    pub name: String,
    /// Its part.
    pub role: Role,
    /// The address that Kubernetes uses for it.
    pub internal: Ipv4Addr,
    /// Labels of its Node object.
    pub labels: BTreeMap<String, String>,
    /// Taints; `None`: Kubernetes' default for the role.
    pub taints: Option<Vec<Taint>>,
    /// How to log in.
    pub ssh: Ssh,
}

/// A node's part in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs the API and etcd.
    ControlPlane,
    /// Runs workloads.
    Worker,
}

/// A taint on a Node object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value; may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// How to log in to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User: root, or one that may sudo without a password.
    pub user: String,
    /// A private key; `None`: the agent's keys.
    pub identity: Option<PathBuf>,
    /// The file of known host keys.
    pub known_hosts: PathBuf,
    /// The node's host key, pinned in the inventory, in OpenSSH's form (`ssh-ed25519 AAAA…`).
    pub host_key: Option<String>,
}

/// The port that the API is reached at, on every control plane and at a virtual IP.
pub const API_PORT: u16 = 6443;

/// Where haproxy tells keepalived that it lives, on control planes with a virtual IP; on the
/// loopback interface only.
pub const ALIVE_PORT: u16 = 8405;

impl Cluster {
    /// Nodes of one role, in the inventory's order.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// The API's name, in every node's `/etc/hosts` and in the API's certificate.
    #[must_use]
    pub fn api_name(&self) -> String {
        format!("api.{}", self.name)
    }

    /// The names and addresses that kubeadm is told to put into the API's certificate, beside those of
    /// the node, of the endpoint and of the Service `kubernetes`.
    #[must_use]
    pub fn cert_names(&self) -> Vec<String> {
        let mut names = vec![self.api_name()];
        if let Endpoint::Vip { address, .. } = &self.endpoint {
            names.push(address.to_string());
        }
        for name in &self.cert_sans {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Whom kubeadm lets the API server's certificate on `node` name (`GetAPIServerAltNames` in
    /// `cmd/kubeadm/app/util/pkiutil`): host names in small letters, and addresses.
    #[must_use]
    pub fn api_server_names(&self, node: &Node) -> BTreeSet<String> {
        const SERVICE: &str = "kubernetes.default.svc";
        // The Service `kubernetes` has the first address.
        let first = self.network.services.iter().filter_map(|net| net.hosts().next());
        let names = [
            node.name.clone(),
            node.internal.to_string(),
            "kubernetes".to_owned(),
            "kubernetes.default".to_owned(),
            SERVICE.to_owned(),
            format!("{SERVICE}.{}", self.network.domain),
            self.endpoint.host_and_port().0,
        ];
        let names = names.into_iter().chain(first.map(|address| address.to_string()));
        names.chain(self.cert_names()).map(|name| name.to_lowercase()).collect()
    }

    /// Whether the node of that name is a worker.
    #[must_use]
    pub fn is_worker(&self, name: &str) -> bool {
        self.node(name).is_some_and(|node| node.role == Role::Worker)
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

/// Why no other machine reaches `host`, a host name or an address, where that is certain.
#[must_use]
pub fn unreachable(host: &str) -> Option<&'static str> {
    if names::is_localhost(host) {
        return Some("a machine reaches only itself there");
    }
    let address: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
    match address {
        _ if address.is_loopback() => Some("a machine reaches only itself there"),
        _ if address.is_unspecified() || address == Ipv4Addr::BROADCAST => {
            Some("it is no machine's address")
        }
        _ if address.is_multicast() => Some("it is a multicast address"),
        IpAddr::V4(address) if address.is_link_local() => Some("it is a link-local address"),
        _ => None,
    }
}

impl Network {
    /// What of the cluster's own has `address`: `pod` or `service`.
    #[must_use]
    pub fn holder(&self, address: Ipv4Addr) -> Option<&'static str> {
        let holds = |nets: &[Ipv4Net]| nets.iter().any(|net| net.contains(&address));
        match (holds(&self.pods), holds(&self.services)) {
            (true, _) => Some("pod"),
            (_, true) => Some("service"),
            _ => None,
        }
    }

    /// Several networks as kubeadm writes them: with commas.
    #[must_use]
    pub fn list(networks: &[Ipv4Net]) -> String {
        networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Endpoint {
    /// Its host name or address, and its port.
    #[must_use]
    pub fn host_and_port(&self) -> (String, u16) {
        match self {
            Self::Vip { address, .. } | Self::Node(address) => (address.to_string(), API_PORT),
            Self::External { host, port } => (host.clone(), *port),
        }
    }

    /// `host:port`, as kubeadm's `controlPlaneEndpoint` takes it.
    #[must_use]
    pub fn authority(&self) -> String {
        let (host, port) = self.host_and_port();
        format!("{host}:{port}")
    }
}

impl Role {
    /// As the inventory writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
        }
    }
}
