//! Every key that an inventory may hold: its type, its default, its meaning. The one home of these
//! facts: the reader, the defaults and the table in `docs/inventory.md` all come from here.

use super::owned;
use super::syntax::{self, Syntax};
use crate::bundle::{LATEST, VERSIONS};

/// Where a cluster may run, as the platform names it.
const MODES: &[&str] = &["Hosted", "Hybrid", "Edge"];

/// How often a cluster reports, by its mode.
const INTERVALS: &[(&str, &str)] = &[("Hosted", "30s"), ("Hybrid", "30s"), ("Edge", "5m")];

/// The kind of a second document, below which the table has its keys.
pub(super) const DOCUMENT: &str = "ClusterRegistration";

/// One key of the inventory.
#[derive(Debug)]
pub struct Key {
    /// Where it stands: keys joined by dots, `[]` after a list; in a second document, its kind first.
    pub path: &'static str,
    /// What may stand there.
    pub(super) kind: Kind,
    /// Whether it must be there.
    pub presence: Presence,
    /// What it means, for the documentation.
    pub about: &'static str,
}

/// Whether a key must be there, and what holds when it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must be there.
    Required,
    /// It may be absent; the documentation's `about` says what that means.
    Optional,
    /// This value, as it would be written.
    Default(&'static str),
    /// These values, each for a word that another key may have; the documentation's `about` names that.
    DefaultBy(&'static [(&'static str, &'static str)]),
}

/// What may stand at a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A mapping with keys from the table.
    Map,
    /// A list of such mappings.
    Maps,
    /// Text.
    Text(&'static Syntax),
    /// A list of texts.
    List(&'static Syntax),
    /// One text or a list of them.
    OneOrMore(&'static Syntax),
    /// A mapping from texts to texts.
    Pairs(&'static Syntax, &'static Syntax),
    /// One of these words: what they are, and the words.
    Choice(&'static str, &'static [&'static str]),
    /// A whole number.
    Number(i64, i64),
    /// `true` or `false`.
    Bool,
    /// A mapping whose content is not ours, without these keys.
    Settings(&'static [(&'static str, &'static str)]),
}

impl Key {
    /// Its own name, without the mappings that it stands in.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Its path below the innermost document or item of a list.
    pub(super) fn within(&self) -> &'static str {
        let path = self.path.rsplit_once("[].").map_or(self.path, |(_, rest)| rest);
        path.strip_prefix(DOCUMENT).and_then(|rest| rest.strip_prefix('.')).unwrap_or(path)
    }

    /// The default where another key has this word.
    pub(super) fn default_by(&self, word: &str) -> Option<&'static str> {
        let Presence::DefaultBy(defaults) = self.presence else { return None };
        defaults.iter().find(|(of, _)| *of == word).map(|(_, default)| *default)
    }

    /// What may stand here, for the documentation.
    #[must_use]
    pub fn kind(&self) -> String {
        match self.kind {
            Kind::Map => "mapping".to_owned(),
            Kind::Maps => "list of mappings".to_owned(),
            Kind::Text(syntax) => syntax.noun().to_owned(),
            Kind::List(syntax) => format!("list, each {}", syntax.name),
            Kind::OneOrMore(syntax) => format!("{}, or a list of one", syntax.noun()),
            Kind::Pairs(key, value) => format!("mapping of {} to {}", key.name, value.name),
            Kind::Choice(_, words) => format!("`{}`", words.join("`, `")),
            Kind::Number(least, most) => format!("number, {least} to {most}"),
            Kind::Bool => "`true`, `false`".to_owned(),
            Kind::Settings(owned) => {
                let names: Vec<_> = owned.iter().map(|(name, _)| *name).collect();
                format!("mapping, without `{}`", names.join("`, `"))
            }
        }
    }
}

use Kind::{Bool, Choice, List, Map, Maps, Number, OneOrMore, Pairs, Settings, Text};
use Presence::{Default, DefaultBy, Optional, Required};

const fn key(path: &'static str, kind: Kind, presence: Presence, about: &'static str) -> Key {
    Key { path, kind, presence, about }
}

/// Every key, parents before children.
#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    key("apiVersion", Choice("apiVersion", &["slipway.dev/v1"]), Required, "The version of this format."),
    key("kind", Choice("kind", &["Cluster"]), Required, "What the file describes."),
    key("metadata", Map, Required, "Names the cluster."),
    key("metadata.name", Text(&syntax::LABEL), Required, "The cluster's name."),
    key("spec", Map, Required, "The cluster."),
    key("spec.kubernetes", Map, Optional, "Kubernetes itself."),
    key("spec.kubernetes.version", Choice("Kubernetes version", VERSIONS), Default(LATEST), "The version that the cluster runs."),
    key("spec.endpoint", Map, Optional, "Where clients reach the API: either `vip` or `address`. May be left out with one control plane, which is then reached at its own address."),
    key("spec.endpoint.vip", Text(&syntax::IPV4), Optional, "A free address in the control planes' network. slipway keeps it on a healthy control plane (keepalived, VRRP); the API answers on its port 6443."),
    key("spec.endpoint.interface", Text(&syntax::INTERFACE), Optional, "The network interface that carries `vip`. Left out: the one that holds the node's internal address."),
    key("spec.endpoint.routerId", Number(1, 255), Default("51"), "VRRP's virtual router id; two clusters in one network segment need different ones. Only with `vip`."),
    key("spec.endpoint.address", Text(&syntax::AUTHORITY), Optional, "Host name or address of a load balancer that you run, with a port unless it is 6443. It must forward TCP to port 6443 of every control plane."),
    key("spec.endpoint.certSANs", List(&syntax::CERT_NAME), Default("[]"), "More host names and addresses to reach the API at, behind NAT or by a second name: its certificate names them, too."),
    key("spec.ssh", Map, Optional, "How to log in to every node, unless the node says otherwise."),
    key("spec.ssh.user", Text(&syntax::USER), Default("root"), "The user: root, or one that may use sudo without a password; a directory's users as `user@domain`."),
    key("spec.ssh.port", Number(1, 65535), Default("22"), "The port."),
    key("spec.ssh.identityFile", Text(&syntax::PATH), Optional, "A private key without a passphrase, readable by you alone; or a public key (`.pub`): that key of the SSH agent's is used. Left out: all of the SSH agent's keys. `~/` is your home directory; other relative paths start at the inventory's directory."),
    key("spec.ssh.knownHosts", Text(&syntax::PATH), Default("~/.ssh/known_hosts"), "The file of known host keys. Paths as above."),
    key("spec.network", Map, Optional, "Addresses of pods and services. They must not overlap each other, nor hold a node or the endpoint."),
    key("spec.network.podCidr", OneOrMore(&syntax::NETWORK), Default("10.244.0.0/16"), "The pods' network: /8 to /24, with a /26 for every node. One IPv4 network for now."),
    key("spec.network.serviceCidr", OneOrMore(&syntax::NETWORK), Default("10.96.0.0/12"), "The services' network: /12 to /28. One IPv4 network for now."),
    key("spec.network.dnsDomain", Text(&syntax::DOMAIN), Default("cluster.local"), "The cluster's DNS domain."),
    key("spec.time", Map, Optional, "The nodes' clocks."),
    key("spec.time.servers", List(&syntax::HOST), Default("[]"), "NTP servers. Empty: those of the distribution."),
    key("spec.kubelet", Settings(owned::KUBELET), Optional, "Fields of `KubeletConfiguration` (kubelet.config.k8s.io/v1beta1) for every node, beside those that slipway sets itself. A kubelet would refuse wrong ones, or drop them without a word, so they are checked: names, types, durations, quantities, feature gates, and what does not go together."),
    key("spec.kubeProxy", Map, Optional, "kube-proxy, which brings Services to their pods."),
    key("spec.kubeProxy.mode", Choice("mode of kube-proxy", &["nftables", "iptables"]), Default("nftables"), "By which tables of the kernel. A change restarts kube-proxy on one node after the other; it takes its old tables away itself."),
    key("spec.controlPlane", Map, Optional, "What runs on control planes."),
    key("spec.controlPlane.apiServer", Map, Optional, "kube-apiserver."),
    key("spec.controlPlane.apiServer.extraArgs", Settings(owned::API_SERVER), Optional, "Arguments beside those of kubeadm and slipway, or instead of kubeadm's: names without dashes, and values; a list gives an argument several times. Each is held against what the program of that version takes. A change restarts the program, on one control plane after the other."),
    key("spec.controlPlane.apiServer.extraVolumes", Maps, Optional, "Files and directories of the node that the program finds in its container."),
    key("spec.controlPlane.apiServer.extraVolumes[].name", Text(&syntax::LABEL), Required, "The volume's name in the pod."),
    key("spec.controlPlane.apiServer.extraVolumes[].hostPath", Text(&syntax::PLACE), Required, "Where it is on the node."),
    key("spec.controlPlane.apiServer.extraVolumes[].mountPath", Text(&syntax::PLACE), Required, "Where the program finds it."),
    key("spec.controlPlane.apiServer.extraVolumes[].readOnly", Bool, Default("true"), "Whether the program may only read it."),
    key("spec.controlPlane.apiServer.extraVolumes[].pathType", Choice("type of path", &["DirectoryOrCreate", "Directory", "FileOrCreate", "File"]), Optional, "What must be there, or is made (Kubernetes' `hostPath.type`). Left out: nobody looks."),
    key("spec.controlPlane.controllerManager", Map, Optional, "kube-controller-manager."),
    key("spec.controlPlane.controllerManager.extraArgs", Settings(owned::CONTROLLER_MANAGER), Optional, "As for `apiServer`."),
    key("spec.controlPlane.controllerManager.extraVolumes", Maps, Optional, "As for `apiServer`."),
    key("spec.controlPlane.controllerManager.extraVolumes[].name", Text(&syntax::LABEL), Required, "As for `apiServer`."),
    key("spec.controlPlane.controllerManager.extraVolumes[].hostPath", Text(&syntax::PLACE), Required, "As for `apiServer`."),
    key("spec.controlPlane.controllerManager.extraVolumes[].mountPath", Text(&syntax::PLACE), Required, "As for `apiServer`."),
    key("spec.controlPlane.controllerManager.extraVolumes[].readOnly", Bool, Default("true"), "As for `apiServer`."),
    key("spec.controlPlane.controllerManager.extraVolumes[].pathType", Choice("type of path", &["DirectoryOrCreate", "Directory", "FileOrCreate", "File"]), Optional, "As for `apiServer`."),
    key("spec.controlPlane.scheduler", Map, Optional, "kube-scheduler."),
    key("spec.controlPlane.scheduler.extraArgs", Settings(owned::SCHEDULER), Optional, "As for `apiServer`."),
    key("spec.controlPlane.scheduler.extraVolumes", Maps, Optional, "As for `apiServer`."),
    key("spec.controlPlane.scheduler.extraVolumes[].name", Text(&syntax::LABEL), Required, "As for `apiServer`."),
    key("spec.controlPlane.scheduler.extraVolumes[].hostPath", Text(&syntax::PLACE), Required, "As for `apiServer`."),
    key("spec.controlPlane.scheduler.extraVolumes[].mountPath", Text(&syntax::PLACE), Required, "As for `apiServer`."),
    key("spec.controlPlane.scheduler.extraVolumes[].readOnly", Bool, Default("true"), "As for `apiServer`."),
    key("spec.controlPlane.scheduler.extraVolumes[].pathType", Choice("type of path", &["DirectoryOrCreate", "Directory", "FileOrCreate", "File"]), Optional, "As for `apiServer`."),
    key("spec.controlPlane.etcd", Map, Optional, "etcd."),
    key("spec.controlPlane.etcd.extraArgs", Settings(owned::ETCD), Optional, "As for `apiServer`."),
    key("spec.drain", Map, Optional, "How pods are taken off a node whose kubelet becomes one of another minor version."),
    key("spec.drain.maxUnavailable", Number(1, 1000), Default("1"), "How many workers may be without pods at a time; never all of several. Control planes go one by one."),
    key("spec.drain.timeout", Text(&syntax::INTERVAL), Default("5m"), "How long pods' disruption budgets are waited for, on each node: 5s to 1h. Then the node takes pods again, and the apply stops there."),
    key("spec.drain.deleteEmptyDirData", Bool, Default("false"), "Whether pods are evicted that lose what is in their `emptyDir`."),
    key("spec.drain.force", Bool, Default("false"), "Whether pods are evicted that belong to no controller, which nobody makes anew."),
    key("spec.addons", Map, Optional, "What is installed on top."),
    key("spec.addons.calico", Bool, Default("true"), "Calico, the pod network. Without it nodes stay NotReady until you install another."),
    key("spec.addons.metricsServer", Bool, Default("true"), "metrics-server, for `kubectl top` and autoscaling."),
    key("spec.addons.hub", Bool, Default("false"), "Makes this cluster a hub of the Multi-Cluster Platform, which other clusters register with. See docs/registration.md."),
    key("spec.registration", Map, Optional, "Registers the cluster with a hub, the Multi-Cluster Platform, as the last step of `apply`. See docs/registration.md."),
    key("spec.registration.hub", Map, Required, "How slipway reaches the hub: either `kubeconfig`, or `endpoint`, `caFile` and `tokenFile`."),
    key("spec.registration.hub.kubeconfig", Text(&syntax::PATH), Optional, "A kubeconfig whose user may register clusters. Paths as for `identityFile`."),
    key("spec.registration.hub.endpoint", Text(&syntax::AUTHORITY), Optional, "Host name or address of the hub's API, with a port unless it is 6443."),
    key("spec.registration.hub.caFile", Text(&syntax::PATH), Optional, "The hub's CA certificate, PEM."),
    key("spec.registration.hub.tokenFile", Text(&syntax::PATH), Optional, "A token of a user who may register clusters, in a file readable by you alone."),
    key("spec.registration.name", Text(&syntax::LABEL), Optional, "The cluster's name at the hub. Left out: its own name."),
    key("spec.registration.mode", Choice("mode", MODES), Default("Hosted"), "Where the cluster runs: in the platform's own data centre, in somebody else's, or at the edge, behind a line that may fail. It decides what `syncInterval` is when left out."),
    key("spec.registration.syncInterval", Text(&syntax::INTERVAL), DefaultBy(INTERVALS), "How often the cluster reports: 5s to 1h. The default goes by `mode`."),
    key("spec.registration.region", Text(&syntax::LABEL_VALUE), Optional, "Where it is: the label `topology.kubernetes.io/region` at the hub."),
    key("spec.registration.zone", Text(&syntax::LABEL_VALUE), Optional, "Where in the region: the label `topology.kubernetes.io/zone` at the hub."),
    key("spec.registration.labels", Pairs(&syntax::LABEL_KEY, &syntax::LABEL_VALUE), Optional, "More labels at the hub, which sets of manifests select by."),
    key("spec.registration.capabilities", List(&syntax::CAPABILITY), Default("[]"), "What the hub may do here beyond looking: `ApplyManifests`, and `Policies` among them."),
    key("spec.registration.replace", Bool, Default("false"), "Whether this cluster may take the place of another that was registered under its name: a rebuild."),
    key("spec.nodes", Maps, Required, "The machines. At least one control plane; an odd number of them in a new cluster."),
    key("spec.nodes[].name", Text(&syntax::LABEL), Required, "The machine's host name and Kubernetes node name."),
    key("spec.nodes[].role", Choice("role", &["control-plane", "worker"]), Required, "`control-plane` or `worker`."),
    key("spec.nodes[].address", Text(&syntax::HOST), Required, "The IPv4 address or host name that SSH connects to."),
    key("spec.nodes[].internalAddress", Text(&syntax::IPV4), Optional, "The address that the other nodes reach it at. Left out: `address`, which must be an IPv4 address then."),
    key("spec.nodes[].architecture", Choice("architecture", &["amd64"]), Default("amd64"), "The machine's architecture. There is no bundle for arm64 yet."),
    key("spec.nodes[].labels", Pairs(&syntax::LABEL_KEY, &syntax::LABEL_VALUE), Optional, "Labels for the Node object, added to those that Kubernetes sets."),
    key("spec.nodes[].taints", Maps, Optional, "Taints for the Node object. Left out: Kubernetes' default for the role. `[]`: none, so that a control plane runs workloads, too."),
    key("spec.nodes[].taints[].key", Text(&syntax::LABEL_KEY), Required, "The taint's key."),
    key("spec.nodes[].taints[].value", Text(&syntax::LABEL_VALUE), Default("''"), "The taint's value."),
    key("spec.nodes[].taints[].effect", Choice("taint effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]), Required, "`NoSchedule`, `PreferNoSchedule` or `NoExecute`."),
    key("spec.nodes[].ssh", Map, Optional, "How to log in to this node; what is left out comes from `spec.ssh`."),
    key("spec.nodes[].ssh.user", Text(&syntax::USER), Optional, "The user."),
    key("spec.nodes[].ssh.port", Number(1, 65535), Optional, "The port."),
    key("spec.nodes[].ssh.identityFile", Text(&syntax::PATH), Optional, "The private key, or the public half of one that the SSH agent holds."),
    key("spec.nodes[].ssh.hostKey", Text(&syntax::HOST_KEY), Optional, "The node's public host key, such as `ssh-ed25519 AAAA…`. It alone is accepted then; the file of known hosts is not asked."),
    key("ClusterRegistration.apiVersion", Choice("API version", &["mcp.platform/v1"]), Required, "A second document of the file, after `---`, may be a plain `ClusterRegistration`. It takes the place of all keys of `spec.registration` but `hub` and `replace`. Always `mcp.platform/v1`."),
    key("ClusterRegistration.kind", Choice("kind", &["ClusterRegistration"]), Required, "Always `ClusterRegistration`."),
    key("ClusterRegistration.metadata", Map, Required, "Its name and labels."),
    key("ClusterRegistration.metadata.name", Text(&syntax::LABEL), Required, "The cluster's name at the hub."),
    key("ClusterRegistration.metadata.labels", Pairs(&syntax::LABEL_KEY, &syntax::LABEL_VALUE), Optional, "Labels at the hub, those for region and zone among them."),
    key("ClusterRegistration.spec", Map, Optional, "What the hub keeps of the cluster; slipway finds `clusterId` itself."),
    key("ClusterRegistration.spec.apiEndpoint", Text(&syntax::URL), Optional, "Where the cluster's API is reached. Left out: the cluster's endpoint."),
    key("ClusterRegistration.spec.caData", Text(&syntax::BASE64), Optional, "Its CA certificates: PEM, in base64. Left out: the cluster's CA."),
    key("ClusterRegistration.spec.syncInterval", Text(&syntax::INTERVAL), Optional, "As `spec.registration.syncInterval`."),
    key("ClusterRegistration.spec.mode", Choice("mode", MODES), Optional, "As `spec.registration.mode`."),
    key("ClusterRegistration.spec.accepted", Bool, Optional, "`true`: who registers a cluster accepts it."),
    key("ClusterRegistration.spec.capabilities", List(&syntax::CAPABILITY), Optional, "As `spec.registration.capabilities`; `Report` is always among them."),
    key("ClusterRegistration.spec.credential", Map, Optional, "What the agent proves itself with."),
    key("ClusterRegistration.spec.credential.type", Choice("credential", &["Certificate", "Token"]), Optional, "`Certificate`, or `Token` where the hub signs none."),
    key("ClusterRegistration.spec.credential.duration", Text(&syntax::DURATION), Optional, "How long a certificate lasts, such as `2160h`."),
    key("ClusterRegistration.spec.adapters", Maps, Optional, "Other systems that must know the cluster."),
    key("ClusterRegistration.spec.adapters[].type", Choice("adapter", &["Karmada", "OCM", "ClusterProfile"]), Required, "`Karmada`, `OCM` or `ClusterProfile`."),
    key("ClusterRegistration.spec.adapters[].secretRef", Map, Optional, "The Secret at the hub that says how that system is reached."),
    key("ClusterRegistration.spec.adapters[].secretRef.name", Text(&syntax::DOMAIN), Required, "The Secret's name."),
];

/// The key at `path`. [`at!`] asks for it when slipway is compiled.
///
/// # Panics
/// When the table has no such key: with the path.
pub(super) const fn find(path: &str) -> &'static Key {
    let mut keys = KEYS;
    while let [key, rest @ ..] = keys {
        if same(key.path.as_bytes(), path.as_bytes()) {
            return key;
        }
        keys = rest;
    }
    panic!("{}", path)
}

/// Whether two texts are the same, for constants.
const fn same(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([x, more @ ..], [y, others @ ..]) = (a, b)
        && *x == *y
    {
        (a, b) = (more, others);
    }
    a.is_empty() && b.is_empty()
}

/// The key of the table at this path; where the table has none, this does not compile.
macro_rules! at {
    ($path:expr) => {{
        const KEY: &$crate::inventory::keys::Key = $crate::inventory::keys::find($path);
        KEY
    }};
}

pub(super) use at;

/// The keys right below the mapping at `path`; the empty path is the file itself.
pub(super) fn below(path: &str) -> impl Iterator<Item = (&'static str, &'static Key)> + use<'_> {
    KEYS.iter().filter_map(move |key| {
        let rest = key.path.strip_prefix(path)?;
        let name = if path.is_empty() { rest } else { rest.strip_prefix('.')? };
        (!name.contains(['.', '['])).then_some((name, key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_name_and_a_path_within_its_document_or_item() {
        let key = |path| (find(path).name(), find(path).within());
        assert_eq!(key("spec.ssh.port"), ("port", "spec.ssh.port"));
        assert_eq!(key("spec.nodes[].taints[].key"), ("key", "key"));
        assert_eq!(key("spec.nodes[].ssh.port"), ("port", "ssh.port"));
        assert_eq!(key("ClusterRegistration.metadata.name"), ("name", "metadata.name"));
    }

    #[test]
    #[should_panic(expected = "spec.endpoint.vi")]
    fn a_path_that_is_not_in_the_table_names_itself() {
        find("spec.endpoint.vi");
    }
}
