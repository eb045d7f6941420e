//! What nobody may do with the fleet's sets and their copies: members, the controller, whoever writes one.

use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway_agent::api::{ManifestSet, PLACED_FROM, find};
use slipway_agent::install::FLEET_NAMESPACE;

use super::placing::{map, placed, prepare, set, sets, small};
use crate::support::refused;
use crate::support::world::{Agent, log, spec, token, world};

/// What the credential of the member `place-a` reaches of the set `base`, of which it and `place-b` have
/// copies.
pub async fn a_member_sees_its_own_copies_alone(agent: &Agent) {
    let client = agent.at_the_hub().await;
    let within = |namespace: &str| Api::<ManifestSet>::namespaced(client.clone(), namespace);
    let (merge, other) =
        (PatchParams::default(), Patch::Merge(json!({ "spec": { "prune": false } })));
    for namespace in [FLEET_NAMESPACE, "mcp-cluster-place-b"] {
        let (api, all) = (within(namespace), ListParams::default());
        assert_eq!(refused("get", api.get("base").await).0, 403);
        assert_eq!(refused("list", api.list(&all).await).0, 403);
        assert_eq!(refused("change", api.patch("base", &merge, &other).await).0, 403);
        let status = Patch::Merge(json!({ "status": { "applied": 3 } }));
        assert_eq!(refused("status", api.patch_status("base", &merge, &status).await).0, 403);
        let watched = Api::<ManifestSet>::watch(&api, &Default::default(), "0").await;
        assert_eq!(refused("watch", watched.map(|_| ())).0, 403);
    }
    let own = within("mcp-cluster-place-a");
    assert!(own.get("base").await.unwrap().status.is_some());
    assert_eq!(refused("change", own.patch("base", &merge, &other).await).0, 403);
    assert_eq!(refused("delete", own.delete("base", &DeleteParams::default()).await).0, 403);
    let condition = |message: &str| {
        json!({ "conditions": [{
            "type": "Applied", "status": "False", "reason": "X", "message": message,
            "lastTransitionTime": "2026-11-21T00:00:00Z",
        }]})
    };
    for (what, status, why) in [
        (
            "the fleet's",
            json!({ "placement": { "clusters": 1, "applied": 1 } }),
            "for sets in mcp-fleet",
        ),
        ("colours", condition("\u{1b}[31m"), "should match"),
        ("long", condition(&"x".repeat(513)), "512"),
    ] {
        let patch = Patch::Merge(json!({ "status": status }));
        let (code, message) = refused(what, own.patch_status("base", &merge, &patch).await);
        assert!(code == 422 && message.contains(why), "{what}: {message}");
    }
}

#[tokio::test]
async fn the_controller_writes_copies_and_nothing_else() {
    log();
    let world = world();
    prepare("rights", &spec(&world.member.admin()).await, "none").await;
    let post = PostParams::default();
    let own = set("own", &json!({ "manifests": [] }));
    sets(Some("rights")).create(&post, &own).await.unwrap();
    sets(None).create(&post, &small("nowhere", "nobody")).await.unwrap();
    placed("nowhere", &[]).await;
    let status = sets(None).get("nowhere").await.unwrap().status.unwrap();
    assert_eq!(find(&status.conditions, "Applied").unwrap().reason, "NoCluster");

    let client = world.hub.with_token(&token(&world.hub.admin(), "mcp-system", "mcp-hub").await);
    let within = |namespace: &str| Api::<ManifestSet>::namespaced(client.clone(), namespace);
    let mut copy = own.clone();
    copy.labels_mut().insert(PLACED_FROM.to_owned(), FLEET_NAMESPACE.to_owned());
    let (merge, cluster) = (PatchParams::default(), within("mcp-cluster-rights"));
    let patch = |patch: Value| Patch::Merge(patch);
    let label = patch(json!({ "metadata": { "labels": { PLACED_FROM: FLEET_NAMESPACE } } }));
    let other = patch(json!({ "spec": { "manifests": [map("y")] } }));
    let status = patch(json!({ "status": { "applied": 1 } }));
    let apply = PatchParams::apply("mcp-hub").force();
    let whole = slipway_agent::apply::dynamic(&copy).unwrap();
    let new = set("new", &json!({ "manifests": [] }));
    let table = [
        ("no copy", cluster.create(&post, &new).await),
        ("its label", cluster.patch("own", &merge, &label).await),
        ("over it", cluster.patch("own", &apply, &Patch::Apply(&whole)).await),
        ("its contents", cluster.patch("own", &merge, &other).await),
        ("elsewhere", within("default").create(&post, &copy).await),
        ("in the fleet", within(FLEET_NAMESPACE).create(&post, &small("more", "none")).await),
        ("the set", within(FLEET_NAMESPACE).patch("nowhere", &merge, &other).await),
        ("the set's labels", within(FLEET_NAMESPACE).patch("nowhere", &merge, &label).await),
    ];
    for (what, answer) in table {
        let (code, message) = refused(what, answer);
        assert!(code == 422 && message.contains("mcp-hub-copies"), "{what}: {message}");
    }
    let deleted = cluster.delete("own", &DeleteParams::default()).await;
    assert!(refused("deleting", deleted).1.contains("mcp-hub-copies"));
    let deleted = within(FLEET_NAMESPACE).delete("nowhere", &DeleteParams::default()).await;
    assert!(refused("deleting the set", deleted).1.contains("mcp-hub-copies"));
    let (code, _) = refused("a status", cluster.patch_status("own", &merge, &status).await);
    assert_eq!(code, 403);
    sets(None).delete("nowhere", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn what_a_selector_cannot_say_is_refused() {
    log();
    let labels = |key: &str, value: &str| json!({ "matchLabels": { key: value } });
    let one = |one: Value| json!({ "matchExpressions": [one] });
    let named = |count: usize| {
        let all = (0..count).map(|number| (format!("k{number}"), json!("v")));
        json!({ "matchLabels": all.collect::<serde_json::Map<_, _>>() })
    };
    let exists = json!({ "key": "k", "operator": "Exists" });
    let long = "x".repeat(64);
    let table = [
        ("empty", json!({}), None),
        ("most", named(16), None),
        (
            "domain",
            one(json!({ "key": "topology.kubernetes.io/zone", "operator": "Exists" })),
            None,
        ),
        ("too many", named(17), Some("16")),
        ("long value", labels("k", &long), Some("63")),
        ("control", labels("k", "a\u{1b}"), Some("should match")),
        ("long key", labels(&"k".repeat(318), "v"), Some("317 characters")),
        ("operator", one(json!({ "key": "k", "operator": "Near" })), Some("Unsupported value")),
        ("no values", one(json!({ "key": "k", "operator": "In" })), Some("need values")),
        (
            "values",
            one(json!({ "key": "k", "operator": "DoesNotExist", "values": ["v"] })),
            Some("have none"),
        ),
        ("key", one(json!({ "key": "a b", "operator": "Exists" })), Some("should match")),
        ("long values", one(json!({ "key": "k", "operator": "In", "values": [long] })), Some("63")),
        (
            "many values",
            one(json!({ "key": "k", "operator": "In", "values": vec!["v"; 65] })),
            Some("64"),
        ),
        ("many", json!({ "matchExpressions": vec![exists; 17] }), Some("16")),
    ];
    let create = async |namespace: &str, spec: &Value| {
        let body = json!({
            "apiVersion": "mcp.platform/v1", "kind": "ManifestSet",
            "metadata": { "name": "said" }, "spec": spec,
        });
        let path = format!("/apis/mcp.platform/v1/namespaces/{namespace}/manifestsets?dryRun=All");
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&body).unwrap())
            .unwrap();
        world().hub.admin().request::<Value>(request).await
    };
    for (what, selector, why) in table {
        let answer =
            create("mcp-fleet", &json!({ "manifests": [], "clusterSelector": selector })).await;
        let Some(why) = why else {
            answer.expect(what);
            continue;
        };
        let (code, message) = refused(what, answer);
        assert!(code == 422 && message.contains(why), "{what}: {message}");
    }
    // Where there is one cluster, there is nothing to choose; where there are all, one must.
    prepare("chosen", &spec(&world().member.admin()).await, "none").await;
    for namespace in ["mcp-cluster-chosen", "default"] {
        create(namespace, &json!({ "manifests": [] })).await.unwrap();
        let answer = create(namespace, &json!({ "manifests": [], "clusterSelector": {} })).await;
        let (code, message) = refused(namespace, answer);
        assert!(code == 422 && message.contains("mcp-manifest-sets"), "{message}");
    }
    let (code, message) = refused("none", create("mcp-fleet", &json!({ "manifests": [] })).await);
    assert!(code == 422 && message.contains("which clusters it is for"), "{message}");
}
