//! What other systems publish of the kinds that adapters write, as `scripts/published-crds` fetched it,
//! served by real API servers.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

/// The definition of ClusterProfile.
pub fn cluster_profile() -> Value {
    let file =
        "sigs.k8s.io/cluster-inventory-api@v0.1.0/multicluster.x-k8s.io_clusterprofiles.yaml";
    serde_yaml::from_str(&read(file)).unwrap()
}

/// The definition of ManagedCluster.
pub fn managed_cluster() -> Value {
    let file = "open-cluster-management.io/api@v1.1.0/\
                0000_00_clusters.open-cluster-management.io_managedclusters.crd.yaml";
    serde_yaml::from_str(&read(file)).unwrap()
}

/// A definition of Karmada's Cluster. Karmada itself serves it by an API server of its own and publishes
/// that one's OpenAPI description, of which this is the part in question, made whole.
pub fn karmada_cluster() -> Value {
    let all: Value =
        serde_json::from_str(&read("github.com/karmada-io/karmada@v1.13.1/swagger.json")).unwrap();
    let root = "com.github.karmada-io.karmada.pkg.apis.cluster.v1alpha1.Cluster";
    let mut schema = whole(&all["definitions"], &all["definitions"][root]);
    schema["properties"]["metadata"] = json!({ "type": "object" });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "clusters.cluster.karmada.io" },
        "spec": {
            "group": "cluster.karmada.io", "scope": "Cluster",
            "names": { "kind": "Cluster", "plural": "clusters" },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": schema }, "subresources": { "status": {} },
            }],
        },
    })
}

/// A schema with all that it refers to put in its place.
fn whole(definitions: &Value, schema: &Value) -> Value {
    match schema {
        Value::Object(map) => match map.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let name = reference.strip_prefix("#/definitions/").unwrap();
                if name.ends_with("ObjectMeta") {
                    return json!({ "type": "object" });
                }
                whole(definitions, &definitions[name])
            }
            None => {
                // A definition has no place for these: the kind itself, old patches' strategies, and
                // Go's zero values as defaults, some of which are not even allowed.
                let dropped = ["x-kubernetes-group-version-kind", "x-kubernetes-patch", "default"];
                let kept =
                    map.iter().filter(|(key, _)| !dropped.iter().any(|one| key.starts_with(one)));
                kept.map(|(key, value)| (key.clone(), whole(definitions, value))).collect()
            }
        },
        Value::Array(list) => list.iter().map(|one| whole(definitions, one)).collect(),
        other => other.clone(),
    }
}

/// Makes an API server serve a definition.
pub async fn serve(client: &Client, definition: &Value) {
    let crd: CustomResourceDefinition = serde_json::from_value(definition.clone()).unwrap();
    let (api, name) = (Api::<CustomResourceDefinition>::all(client.clone()), crd.name_any());
    let params = PatchParams::apply("test").force();
    api.patch(&name, &params, &Patch::Apply(definition)).await.unwrap();
    await_condition(api, &name, is_crd_established()).await.unwrap();
}

fn read(file: &str) -> String {
    let cache = std::env::var_os("SLIPWAY_CACHE").map_or_else(
        || Path::new(&std::env::var_os("HOME").expect("HOME")).join(".cache/slipway"),
        PathBuf::from,
    );
    let path = cache.join("crds").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{} is not there ({error}): run `scripts/published-crds` first", path.display())
    })
}
