//! `ManifestSet`: objects that a member is to have.

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::condition::{Condition, GENERATIONS};
use super::placement::{ClusterSelector, Placement};
use super::text::PRINTABLE;

/// Objects that the agent applies to its cluster, from the set's namespace `mcp-cluster-<name>`. From
/// `mcp-fleet`, the hub copies a set to every cluster that its selector chooses.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mcp.platform",
    version = "v1",
    kind = "ManifestSet",
    plural = "manifestsets",
    category = "mcp",
    namespaced,
    status = "ManifestSetStatus",
    derive = "PartialEq",
    printcolumn(name = "Applied", type_ = "string", json_path = ".status.conditions[?(@.type==\"Applied\")].status"),
    printcolumn(name = "Objects", type_ = "integer", json_path = ".status.applied"),
    printcolumn(name = "Clusters", type_ = "integer", json_path = ".status.placement.clusters"),
    printcolumn(name = "Done", type_ = "integer", json_path = ".status.placement.applied"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63").message("a set's name has at most 63 characters"),
)]
#[serde(rename_all = "camelCase")]
pub struct ManifestSetSpec {
    /// The objects, each whole.
    #[schemars(length(max = 256))]
    pub manifests: Vec<Manifest>,
    /// Whether objects that the set no longer holds are deleted from the member.
    #[serde(default)]
    pub prune: bool,
    /// What becomes of the objects when the set, or the registration, is deleted.
    #[serde(default)]
    pub deletion_policy: Deletion,
    /// Which clusters the set is copied to; in the namespace `mcp-fleet`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_selector: Option<ClusterSelector>,
}

/// What becomes of a deleted set's objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Deletion {
    /// They stay.
    #[default]
    Retain,
    /// They are deleted.
    Delete,
}

/// One object, of any kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(pub serde_json::Value);

impl JsonSchema for Manifest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Manifest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true,
        })
    }
}

/// How far the member is; of a set in `mcp-fleet`, how far all members are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestSetStatus {
    /// The generation of the set that this tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = GENERATIONS))]
    pub observed_generation: Option<i64>,
    /// How many objects are as the set means them; of a set in `mcp-fleet`, its copies say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub applied: Option<i32>,
    /// What came of each object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub objects: Vec<ObjectResult>,
    /// How far the set has come among the clusters, where the hub copies it to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// `Applied`: whether all objects are as the set means them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]
    ))]
    pub conditions: Vec<Condition>,
}

/// What came of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectResult {
    /// Its API version.
    #[schemars(length(max = 128), regex(pattern = PRINTABLE))]
    pub api_version: String,
    /// Its kind.
    #[schemars(length(max = 63), regex(pattern = PRINTABLE))]
    pub kind: String,
    /// Its namespace; empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63), regex(pattern = PRINTABLE))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = PRINTABLE))]
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, where it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512), regex(pattern = PRINTABLE))]
    pub message: String,
}

/// What came of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// It is as the set means it.
    Applied,
    /// The member's API server refused it.
    Failed,
    /// It was to be deleted, and could not be.
    Stuck,
}
