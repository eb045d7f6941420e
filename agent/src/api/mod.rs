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

pub use condition::{Condition, ConditionStatus, find, put};
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

/// Keeps a registration until its member and its rights are gone.
pub const FINALIZER: &str = "mcp.platform/deregister";

/// Keeps a registration until its neighbours have been told that it goes, or cannot be.
pub const NEIGHBOURS: &str = "mcp.platform/neighbours";

/// On a member's namespace `kube-system`: when the last snapshot of etcd was taken (RFC 3339), noted by
/// whoever takes them.
pub const LAST_ETCD_SNAPSHOT: &str = "mcp.platform/last-etcd-snapshot";

/// The UID of the one certificate request that the bootstrap credential was used for.
pub const BOOTSTRAP_USED: &str = "mcp.platform/bootstrap-used";

/// Keeps a set of the fleet until its copies are gone.
pub const PLACED: &str = "mcp.platform/placed";

/// The label that tells a copy of a set from one that somebody wrote; its value is the namespace that
/// it was copied from.
pub const PLACED_FROM: &str = "mcp.platform/placed-from";

/// Both definitions, as the API server gets them.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![ClusterRegistration::crd(), ManifestSet::crd()]
}
