//! The hub's own kinds: `ClusterRegistration` and `ManifestSet`, both of `mcp.platform/v1`.
//!
//! Every string and list is bounded, and text that a member writes is free of control characters:
//! the API server refuses the rest, so no member can flood or break what others see.

mod condition;
mod manifest_set;
mod placement;
mod registration;
mod text;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

pub use condition::{Condition, ConditionStatus, find, is_true, put};
pub use manifest_set::{
    Deletion, Manifest, ManifestSet, ManifestSetSpec, ManifestSetStatus, ObjectResult, Outcome,
};
pub use placement::{
    ClusterResult, ClusterSelector, MOST_RESULTS, Operator, Placement, Requirement,
};
pub use registration::{
    Adapter, AdapterKind, Capability, ClusterRegistration, ClusterRegistrationSpec,
    ClusterRegistrationStatus, Credential, CredentialType, Health, Mode, Nodes, Resources,
    SecretReference,
};
pub use text::{clip, duration};

/// The API group of both kinds.
pub const GROUP: &str = "mcp.platform";

/// The finalizer that keeps a registration until its agent has cleaned up and its rights are gone.
pub const FINALIZER: &str = "mcp.platform/deregister";

/// The finalizer that keeps a registration until the adapters have removed what they wrote of it, or
/// given up. Its name is older than the word adapter, and stays for the sake of existing objects.
pub const ADAPTERS: &str = "mcp.platform/neighbours";

/// The longest name of a cluster, in characters; the definition of `ClusterRegistration` says the same.
pub const NAME_LIMIT: usize = 46;

/// The label of a cluster's region, as Kubernetes names it on nodes
/// (`k8s.io/api/core/v1/well_known_labels.go`).
pub const REGION: &str = "topology.kubernetes.io/region";
/// The label of its zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// The annotation of a member's namespace `kube-system` with the time of etcd's last snapshot (RFC 3339);
/// whoever takes snapshots sets it.
pub const LAST_ETCD_SNAPSHOT: &str = "mcp.platform/last-etcd-snapshot";

/// The annotation with the UID of the one certificate request that the bootstrap credential was used for.
pub const BOOTSTRAP_USED: &str = "mcp.platform/bootstrap-used";

/// The finalizer that keeps a set of the namespace `mcp-fleet` until its copies are gone.
pub const PLACED: &str = "mcp.platform/placed";

/// The label that only copies of a set have; its value is the namespace that the set was copied from.
pub const PLACED_FROM: &str = "mcp.platform/placed-from";

/// Both definitions, as the API server gets them.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![ClusterRegistration::crd(), ManifestSet::crd()]
}
