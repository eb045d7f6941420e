//! `ClusterRegistration`: one cluster that the platform knows.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::{Condition, GENERATIONS, TimeSchema};
use super::text::{DURATION, PRINTABLE, duration};

/// What the platform means a cluster to be. The first three fields are the platform's own.
///
/// A name has at most 46 characters: with `mcp:cluster:…:agent` around it, it is the common name of
/// a certificate, which X.509 limits to 64.
#[derive(
    CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "mcp.platform",
    version = "v1",
    kind = "ClusterRegistration",
    plural = "clusterregistrations",
    shortname = "mcr",
    category = "mcp",
    status = "ClusterRegistrationStatus",
    derive = "PartialEq",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.kubernetesVersion"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes.ready"),
    printcolumn(name = "Region", type_ = "string", json_path = ".metadata.labels.topology\\.kubernetes\\.io/region"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", priority = 1),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".spec.apiEndpoint", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 46 && self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')")
        .message("a cluster's name is a DNS label of at most 46 characters"),
    validation = Rule::new("!has(self.spec.syncInterval) || (duration(self.spec.syncInterval) >= duration('5s') && duration(self.spec.syncInterval) <= duration('1h'))")
        .message("syncInterval must be from 5s to 1h"),
    validation = Rule::new("!has(self.spec.credential) || !has(self.spec.credential.duration) || (duration(self.spec.credential.duration) >= duration('600s') && duration(self.spec.credential.duration) <= duration('8760h'))")
        .message("credential.duration must be from 600s to 8760h"),
    validation = Rule::new("!has(oldSelf.spec.clusterId) || (has(self.spec.clusterId) && self.spec.clusterId == oldSelf.spec.clusterId)")
        .message("clusterId cannot change once it is set: a rebuilt cluster is registered anew"),
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRegistrationSpec {
    /// Where the cluster's API server is reached, as an `https` URL.
    #[schemars(length(min = 9, max = 512), regex(pattern = "^https://[^\\s\\p{C}]+$"))]
    pub api_endpoint: String,
    /// The CA certificates of that API server: PEM, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536), regex(pattern = "^[A-Za-z0-9+/=]*$"))]
    pub ca_data: Option<String>,
    /// How often the agent shows that it lives, from `5s` to `1h`. By default `30s`; `5m` where `mode`
    /// is `Edge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 18), regex(pattern = DURATION))]
    pub sync_interval: Option<String>,
    /// Where the cluster runs, which sets defaults.
    #[serde(default)]
    pub mode: Mode,
    /// The UID of the cluster's namespace `kube-system`; cannot change once it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 36, max = 36), regex(pattern = "^[0-9a-f-]+$"))]
    pub cluster_id: Option<String>,
    /// Whether the hub lets this cluster in. A registration that nobody accepted gets no certificate.
    #[serde(default)]
    pub accepted: bool,
    /// What the agent may do beyond reporting.
    #[serde(default = "report_alone")]
    #[schemars(length(max = 3), extend("x-kubernetes-list-type" = "set"))]
    pub capabilities: Vec<Capability>,
    /// What the agent proves itself with.
    #[serde(default)]
    pub credential: Credential,
    /// Other systems that are to know this cluster too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]
    ))]
    pub adapters: Vec<Adapter>,
}

fn report_alone() -> Vec<Capability> {
    vec![Capability::Report]
}

impl ClusterRegistrationSpec {
    /// How often the agent shows that it lives.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let default = match self.mode {
            Mode::Hosted | Mode::Hybrid => Duration::from_secs(30),
            Mode::Edge => Duration::from_mins(5),
        };
        self.sync_interval.as_deref().and_then(duration).unwrap_or(default)
    }

    /// Whether the agent may apply manifest sets, of whatever kinds.
    #[must_use]
    pub fn may_apply(&self) -> bool {
        let any = [Capability::ApplyManifests, Capability::Policies];
        any.iter().any(|one| self.capabilities.contains(one))
    }
}

impl ClusterRegistration {
    /// Its conditions; none while it has no status.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    /// Whether somebody has deleted it, and finalizers keep it.
    #[must_use]
    pub fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

/// Where a cluster runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// In the platform's own data centre.
    #[default]
    Hosted,
    /// In somebody else's, joined to the platform.
    Hybrid,
    /// At the edge, over a line that may be slow or away: `syncInterval` is `5m` by default.
    Edge,
}

/// What an agent may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Capability {
    /// Say how the cluster is.
    Report,
    /// Apply the objects of `ManifestSet`s.
    ApplyManifests,
    /// Apply policies among them: quotas, admission policies, roles.
    Policies,
}

/// What an agent proves itself with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Credential {
    /// A client certificate, or a token where the hub signs none.
    #[serde(rename = "type", default)]
    pub kind: CredentialType,
    /// How long a certificate lasts, from `600s`; by default `2160h`, 90 days.
    #[serde(default = "ninety_days")]
    #[schemars(length(min = 2, max = 18), regex(pattern = DURATION))]
    pub duration: String,
}

fn ninety_days() -> String {
    "2160h".to_owned()
}

impl Default for Credential {
    fn default() -> Self {
        Self { kind: CredentialType::default(), duration: ninety_days() }
    }
}

impl Credential {
    /// How long a certificate is asked for.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        duration(&self.duration).unwrap_or(Duration::from_hours(2160))
    }
}

/// The kinds of proof.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CredentialType {
    /// A client certificate; a token only if the hub issues none.
    #[default]
    Certificate,
    /// A token of a ServiceAccount at the hub.
    Token,
}

/// Another system that is to know a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adapter {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: AdapterKind,
    /// The Secret that says how to reach it, in the namespace of the hub's controller. Another name means
    /// another system: the cluster is removed from the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
}

/// The systems that there are adapters for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AdapterKind {
    /// Karmada.
    Karmada,
    /// Open Cluster Management.
    OCM,
    /// The `ClusterProfile` of SIG-Multicluster.
    ClusterProfile,
}

impl AdapterKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Karmada, Self::OCM, Self::ClusterProfile];

    /// Its name, which is also the type of its condition.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Karmada => "Karmada",
            Self::OCM => "OCM",
            Self::ClusterProfile => "ClusterProfile",
        }
    }
}

/// A Secret by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9.-]+$"))]
    pub name: String,
}

/// What is known of a cluster. The agent writes all but the conditions `Accepted`, `Joined` and
/// `Ready`, and those of adapters, which are the hub's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRegistrationStatus {
    /// The generation of the spec that the agent acts by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = GENERATIONS))]
    pub observed_generation: Option<i64>,
    /// The agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = PRINTABLE))]
    pub agent_version: Option<String>,
    /// The version of the cluster's API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = PRINTABLE))]
    pub kubernetes_version: Option<String>,
    /// How many nodes there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Nodes>,
    /// What all nodes have, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Resources>,
    /// What all nodes have for pods, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocatable: Option<Resources>,
    /// How the control plane is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// When the agent last wrote this status. Its Lease is renewed more often: each `syncInterval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub last_sync_time: Option<Time>,
    /// What is true of the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]
    ))]
    pub conditions: Vec<Condition>,
}

/// How many nodes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nodes {
    /// All of them.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub total: i32,
    /// Those whose condition `Ready` is true.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub ready: i32,
}

/// Sums over nodes, as Kubernetes writes quantities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Processors.
    #[schemars(length(max = 32), regex(pattern = "^[0-9]+m?$"))]
    pub cpu: String,
    /// Bytes of memory.
    #[schemars(length(max = 32), regex(pattern = "^[0-9]+(Ki|Mi|Gi)?$"))]
    pub memory: String,
    /// Pods.
    #[schemars(length(max = 32), regex(pattern = "^[0-9]+$"))]
    pub pods: String,
}

/// How a control plane is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How long the API server took to answer `/readyz`, in milliseconds, when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub api_latency_millis: Option<i32>,
    /// `ok`, or what the API server's `/readyz` says of etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = PRINTABLE))]
    pub etcd: Option<String>,
    /// When the certificate of the API server runs out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub cert_expiry: Option<Time>,
    /// When the last snapshot of etcd was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub last_etcd_snapshot: Option<Time>,
}
