//! The definitions, judged by a real API server.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway_agent::api::{ClusterRegistration, ManifestSet};

use crate::support::refused;
use crate::support::world::{log, world};

fn registration(name: &str, spec: &Value) -> ClusterRegistration {
    serde_json::from_value(json!({
        "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration",
        "metadata": { "name": name }, "spec": spec,
    }))
    .unwrap()
}

/// All that the platform's own document says, and the rest of the fields.
fn full() -> Value {
    json!({
        "apiEndpoint": "https://api.cluster-east-1.example.com",
        "caData": "LS0tLS1CRUdJTg==",
        "syncInterval": "30s",
        "mode": "Hybrid",
        "clusterId": "0b5ad2c5-0000-4000-8000-000000000001",
        "accepted": true,
        "capabilities": ["Report", "ApplyManifests", "Policies"],
        "credential": { "type": "Certificate", "duration": "2160h" },
        "adapters": [{ "type": "Karmada", "secretRef": { "name": "x" } }],
    })
}

#[tokio::test]
async fn the_api_server_takes_both_definitions_and_they_say_no_more_than_they_mean() {
    log();
    let api = Api::<CustomResourceDefinition>::all(world().hub.admin());
    for crd in slipway_agent::api::crds() {
        let found = api.get(&crd.name_any()).await.unwrap();
        let conditions = found.status.unwrap().conditions.unwrap();
        let is = |kind: &str, status: &str| {
            conditions.iter().any(|one| one.type_ == kind && one.status == status)
        };
        assert!(is("Established", "True"), "{conditions:?}");
        assert!(is("NamesAccepted", "True"), "{conditions:?}");
        assert!(!is("NonStructuralSchema", "True"), "{conditions:?}");
    }
}

#[tokio::test]
async fn every_field_keeps_its_name() {
    log();
    let api = Api::<ClusterRegistration>::all(world().hub.admin());
    let made = api.create(&PostParams::default(), &registration("fields", &full())).await.unwrap();
    let dynamic = serde_json::to_value(&made.spec).unwrap();
    assert_eq!(dynamic, full());
    assert_eq!(made.spec.interval().as_secs(), 30);
    // The platform's own document is enough; what it leaves out has defaults.
    let least = json!({ "apiEndpoint": "https://api.example.com" });
    let made = api.create(&PostParams::default(), &registration("least", &least)).await.unwrap();
    assert_eq!(
        serde_json::to_value(&made.spec).unwrap(),
        json!({
            "apiEndpoint": "https://api.example.com",
            "mode": "Hosted",
            "accepted": false,
            "capabilities": ["Report"],
            "credential": { "type": "Certificate", "duration": "2160h" },
        })
    );
    for name in ["fields", "least"] {
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    log();
    let api = Api::<ClusterRegistration>::all(world().hub.admin());
    let long = "x".repeat(70_000);
    let table = [
        ("syncInterval", json!("4s"), "from 5s to 1h"),
        ("syncInterval", json!("61m"), "from 5s to 1h"),
        ("syncInterval", json!("often"), "should match"),
        ("apiEndpoint", json!("http://api.example.com"), "should match"),
        ("apiEndpoint", json!("https://api.example.com/\u{1b}[31m"), "should match"),
        ("caData", json!(long), "65536"),
        ("mode", json!("Elsewhere"), "Unsupported value"),
        ("clusterId", json!("x"), "36"),
        ("capabilities", json!(["Everything"]), "Unsupported value"),
        ("capabilities", json!(["Report", "Report"]), "Duplicate value"),
        ("credential", json!({ "duration": "5m" }), "from 600s to 8760h"),
        ("adapters", json!(vec![json!({ "type": "OCM" }); 9]), "at most 8"),
        ("adapters", json!([{ "type": "OCM", "secretRef": { "name": "A\n" } }]), "should match"),
    ];
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    for (field, value, why) in table {
        let mut spec = full();
        spec[field] = value;
        // As JSON, since the types here could not even say some of it.
        let body = json!({
            "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration",
            "metadata": { "name": "wrong" }, "spec": spec,
        });
        let request = http::Request::post("/apis/mcp.platform/v1/clusterregistrations?dryRun=All")
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&body).unwrap())
            .unwrap();
        let answer = world().hub.admin().request::<Value>(request).await;
        let (code, message) = refused(field, answer);
        assert_eq!(code, 422, "{field}: {message}");
        assert!(message.contains(why), "{field}: {message}");
    }
    for name in ["dotted.name", &"n".repeat(47)] {
        let (code, message) = refused(name, api.create(&dry, &registration(name, &full())).await);
        assert!(code == 422 && message.contains("46 characters"), "{message}");
    }
}

#[tokio::test]
async fn an_identity_cannot_change() {
    log();
    let api = Api::<ClusterRegistration>::all(world().hub.admin());
    let mut spec = full();
    spec.as_object_mut().unwrap().remove("clusterId");
    api.create(&PostParams::default(), &registration("identity", &spec)).await.unwrap();
    let set = |id: Value| Patch::Merge(json!({ "spec": { "clusterId": id } }));
    let params = PatchParams::default();
    let first = json!("0b5ad2c5-0000-4000-8000-000000000001");
    api.patch("identity", &params, &set(first)).await.unwrap();
    for other in [json!("0b5ad2c5-0000-4000-8000-000000000002"), Value::Null] {
        let (code, message) =
            refused("another id", api.patch("identity", &params, &set(other)).await);
        assert!(code == 422 && message.contains("registered anew"), "{message}");
    }
    api.delete("identity", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_set_holds_whole_objects_and_not_too_many() {
    log();
    let api = Api::<ManifestSet>::namespaced(world().hub.admin(), "default");
    let set = |manifests: Value| -> ManifestSet {
        serde_json::from_value(json!({
            "apiVersion": "mcp.platform/v1", "kind": "ManifestSet",
            "metadata": { "name": "set" }, "spec": { "manifests": manifests },
        }))
        .unwrap()
    };
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" }, "data": { "a": "b" } });
    let made = api.create(&dry, &set(json!([map]))).await.unwrap();
    assert_eq!(made.spec.manifests[0].0, map);
    assert_eq!(serde_json::to_value(made.spec.deletion_policy).unwrap(), "Retain");
    assert!(!made.spec.prune);
    let (code, message) = refused("257", api.create(&dry, &set(json!(vec![map; 257]))).await);
    assert!(code == 422 && message.contains("at most 256"), "{message}");
    let (code, message) = refused("no kind", api.create(&dry, &set(json!([{ "a": "b" }]))).await);
    assert!(code == 422 && message.contains("kind"), "{message}");
}
