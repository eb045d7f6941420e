//! Sets on their way from the fleet to the clusters that they choose, and what is told of them there.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, Namespace, ResourceQuota, Secret};
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use slipway_agent::api::{
    Capability, ClusterRegistration, ClusterRegistrationSpec, ConditionStatus, ManifestSet,
    PLACED_FROM, Placement, find,
};
use slipway_agent::credential::Proof;
use slipway_agent::install::FLEET_NAMESPACE;
use slipway_agent::registration::{self, Left};
use zeroize::Zeroizing;

use crate::support::plane::Plane;
use crate::support::world::{Agent, PATIENCE, log, spec, token, world};
use crate::support::{eventually, refused};

use ConditionStatus::{False, True, Unknown};

/// The sets of the fleet, or of one cluster.
fn sets(cluster: Option<&str>) -> Api<ManifestSet> {
    let namespace =
        cluster.map_or(FLEET_NAMESPACE.to_owned(), |name| format!("mcp-cluster-{name}"));
    Api::namespaced(world().hub.admin(), &namespace)
}

fn set(name: &str, spec: &Value) -> ManifestSet {
    serde_json::from_value(json!({
        "apiVersion": "mcp.platform/v1", "kind": "ManifestSet",
        "metadata": { "name": name }, "spec": spec,
    }))
    .unwrap()
}

fn map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } })
}

/// A set for the clusters of one tier, of one object.
fn small(name: &str, tier: &str) -> ManifestSet {
    set(
        name,
        &json!({ "clusterSelector": { "matchLabels": { "tier": tier } }, "manifests": [map("x")] }),
    )
}

/// What a tenant's namespace is governed by.
fn baseline() -> Value {
    let within = |api: &str, kind: &str, rest: Value| {
        let mut object = json!({
            "apiVersion": api, "kind": kind,
            "metadata": { "name": "fleet-base", "namespace": "fleet-base" },
        });
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    };
    let wide = |api: &str, kind: &str, spec: Value| json!({ "apiVersion": api, "kind": kind, "metadata": { "name": "fleet-base" }, "spec": spec });
    let admission = "admissionregistration.k8s.io/v1";
    json!([
        wide("v1", "Namespace", json!({})),
        within("v1", "ResourceQuota", json!({ "spec": { "hard": { "pods": "10" } } })),
        within(
            "v1",
            "LimitRange",
            json!({ "spec": { "limits": [{ "type": "Container", "default": { "cpu": "500m" } }] } }),
        ),
        within(
            "rbac.authorization.k8s.io/v1",
            "Role",
            json!({ "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] }] }),
        ),
        wide(
            admission,
            "ValidatingAdmissionPolicy",
            json!({
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"],
                    "operations": ["CREATE"], "resources": ["configmaps"],
                }]},
                "validations": [{
                    "expression": "object.metadata.name != 'wrong'", "message": "the fleet forbids it",
                }],
            }),
        ),
        wide(
            admission,
            "ValidatingAdmissionPolicyBinding",
            json!({
                "policyName": "fleet-base", "validationActions": ["Deny"],
                "matchResources": { "namespaceSelector": {
                    "matchLabels": { "kubernetes.io/metadata.name": "fleet-base" },
                }},
            }),
        ),
    ])
}

/// Waits until the fleet's set says this of the clusters that it is for, by name.
async fn placed(name: &str, expected: &[(&str, ConditionStatus)]) -> Placement {
    let found = eventually(&format!("{name} says {expected:?}"), PATIENCE, || async {
        let found = sets(None).get(name).await.ok()?;
        let (status, generation) = (found.status?, found.metadata.generation);
        let mut told = status.placement.clone()?.results;
        told.sort_by(|one, other| one.name.cmp(&other.name));
        let told: Vec<_> = told.iter().map(|one| (one.name.as_str(), one.applied)).collect();
        (told == expected && status.observed_generation == generation).then_some(status)
    })
    .await;
    let placement = found.placement.unwrap();
    assert_eq!(placement.clusters as usize, expected.len());
    let have = expected.iter().filter(|(_, applied)| *applied == True).count();
    assert_eq!(placement.applied as usize, have);
    let said = find(&found.conditions, "Applied").unwrap().status;
    let all = |applied| expected.iter().any(|(_, one)| *one == applied);
    let worst = [False, Unknown, True].into_iter().find(|one| all(*one)).unwrap_or(Unknown);
    assert_eq!(said, worst, "{:?}", found.conditions);
    placement
}

/// Registers a cluster with a label and nothing that acts for it.
async fn prepare(name: &str, spec: &ClusterRegistrationSpec, tier: &str) {
    let labels = [("tier", tier)];
    registration::prepare(&world().hub.admin(), name, spec, &labels, false).await.unwrap();
}

async fn change(cluster: &str, patch: Value) {
    let api = Api::<ClusterRegistration>::all(world().hub.admin());
    api.patch(cluster, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn relabel(cluster: &str, tier: &str) {
    change(cluster, json!({ "metadata": { "labels": { "tier": tier } } })).await;
}

/// An agent of a cluster that lives on `plane`, with every capability.
async fn joined(name: &str, tier: &str, plane: &Plane) -> Agent {
    let mut spec = spec(&plane.admin()).await;
    spec.capabilities.push(Capability::Policies);
    prepare(name, &spec, tier).await;
    let mut agent = Agent::install(&world().hub, plane, name, &spec).await;
    agent.start();
    registration::ready(&world().hub.admin(), name, PATIENCE).await.unwrap();
    agent
}

/// The policies are there, and do what they say.
async fn governed(member: &Client) {
    let name = "fleet-base";
    Api::<ResourceQuota>::namespaced(member.clone(), name).get(name).await.unwrap();
    Api::<LimitRange>::namespaced(member.clone(), name).get(name).await.unwrap();
    Api::<Role>::namespaced(member.clone(), name).get(name).await.unwrap();
    Api::<ValidatingAdmissionPolicy>::all(member.clone()).get(name).await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(member.clone(), name);
    let wrong: ConfigMap = serde_json::from_value(map("wrong")).unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the policy is in force", PATIENCE, || async {
        let made = maps.create(&dry, &wrong).await;
        made.is_err_and(|error| error.to_string().contains("the fleet forbids it")).then_some(())
    })
    .await;
}

async fn ungoverned(member: &Client) {
    let namespaces = Api::<Namespace>::all(member.clone());
    eventually("the set's namespace is gone", PATIENCE, || async {
        namespaces.get_opt("fleet-base").await.ok()?.is_none().then_some(())
    })
    .await;
    let policies = Api::<ValidatingAdmissionPolicy>::all(member.clone());
    assert!(policies.get_opt("fleet-base").await.unwrap().is_none());
}

#[tokio::test]
async fn policies_travel_to_the_clusters_that_a_set_chooses() {
    log();
    let world = world();
    // A hub may be a member, too: two of the clusters live there, one after the other in the tier.
    let (hub, member) = (world.hub.admin(), world.member.admin());
    let agent_a = joined("place-a", "gold", &world.member).await;
    let _agent_b = joined("place-b", "gold", &world.hub).await;
    let _agent_c = joined("place-c", "silver", &world.hub).await;
    let base = json!({
        "prune": true, "deletionPolicy": "Delete",
        "clusterSelector": { "matchExpressions": [
            { "key": "tier", "operator": "In", "values": ["gold", "platinum"] },
        ]},
        "manifests": baseline(),
    });
    sets(None).create(&PostParams::default(), &set("base", &base)).await.unwrap();
    placed("base", &[("place-a", True), ("place-b", True)]).await;
    governed(&member).await;
    governed(&hub).await;
    assert!(sets(Some("place-c")).get_opt("base").await.unwrap().is_none());
    let copy = sets(Some("place-a")).get("base").await.unwrap();
    assert_eq!(copy.labels()[PLACED_FROM], FLEET_NAMESPACE);
    assert_eq!(copy.spec.cluster_selector, None);
    assert_eq!(at_a_glance("base").await, ["base", "True", "2", "2"]);
    a_member_sees_its_own_copies_alone(&member, &agent_a).await;

    // What the set says now is what the clusters are to have: one object more, which they refuse.
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" } });
    let merge = PatchParams::default();
    let mut more = baseline();
    more.as_array_mut().unwrap().push(secret);
    let patch = |manifests: Value| Patch::Merge(json!({ "spec": { "manifests": manifests } }));
    sets(None).patch("base", &merge, &patch(more)).await.unwrap();
    let told = placed("base", &[("place-a", False), ("place-b", False)]).await;
    assert_eq!(told.results[0].message, "1 of 7 objects are not as meant");
    sets(None).patch("base", &merge, &patch(baseline())).await.unwrap();
    placed("base", &[("place-a", True), ("place-b", True)]).await;
    // What somebody changes of a copy is changed back.
    let mine = Patch::Merge(json!({ "spec": { "manifests": [] } }));
    sets(Some("place-a")).patch("base", &merge, &mine).await.unwrap();
    eventually("the copy is the set's again", PATIENCE, || async {
        let found = sets(Some("place-a")).get("base").await.ok()?;
        (found.spec.manifests.len() == 6).then_some(())
    })
    .await;
    placed("base", &[("place-a", True), ("place-b", True)]).await;

    // Labels move it.
    relabel("place-b", "bronze").await;
    placed("base", &[("place-a", True)]).await;
    ungoverned(&hub).await;
    assert!(sets(Some("place-b")).get_opt("base").await.unwrap().is_none());
    relabel("place-c", "platinum").await;
    placed("base", &[("place-a", True), ("place-c", True)]).await;
    governed(&hub).await;
    governed(&member).await;

    // What a set says of deletion last counts, even if it goes in the same breath.
    let keep = Patch::Merge(json!({ "spec": { "deletionPolicy": "Retain" } }));
    sets(None).patch("base", &merge, &keep).await.unwrap();
    placed("base", &[("place-a", True), ("place-c", True)]).await;
    let lose = Patch::Merge(json!({ "spec": { "deletionPolicy": "Delete" } }));
    sets(None).patch("base", &merge, &lose).await.unwrap();
    sets(None).delete("base", &DeleteParams::default()).await.unwrap();
    ungoverned(&hub).await;
    ungoverned(&member).await;
    eventually("the set is gone", PATIENCE, || async {
        sets(None).get_opt("base").await.ok()?.is_none().then_some(())
    })
    .await;
    for cluster in ["place-a", "place-c"] {
        assert!(sets(Some(cluster)).get_opt("base").await.unwrap().is_none(), "{cluster}");
    }
}

/// What `kubectl get manifestsets` shows of a set: name, and all but objects and age.
async fn at_a_glance(name: &str) -> Vec<String> {
    let path = format!("/apis/mcp.platform/v1/namespaces/{FLEET_NAMESPACE}/manifestsets/{name}");
    let request = http::Request::get(path)
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let table: Value = world().hub.admin().request(request).await.unwrap();
    let columns: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Name", "Applied", "Objects", "Clusters", "Done", "Age"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[2], Value::Null, "its objects are counted in its copies");
    [0, 1, 3, 4].iter().map(|&at| cells[at].to_string().replace('"', "")).collect()
}

async fn a_member_sees_its_own_copies_alone(member: &Client, agent: &Agent) {
    let api = Api::<Secret>::namespaced(member.clone(), agent.namespace());
    let secret = api.get("mcp-hub").await.unwrap();
    let text = |key: &str| String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap();
    let (certificate, key) = (text("tls.crt"), Zeroizing::new(text("tls.key")));
    let client = world().hub.client(&Proof::Certificate { certificate, key });
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
async fn a_set_that_somebody_wrote_is_left_alone_and_told_of() {
    log();
    let spec = spec(&world().member.admin()).await;
    for name in ["held-a", "held-b"] {
        prepare(name, &spec, "held").await;
    }
    let post = PostParams::default();
    let own = set("mine", &json!({ "manifests": [map("own")] }));
    let own = sets(Some("held-a")).create(&post, &own).await.unwrap();
    sets(None).create(&post, &small("mine", "held")).await.unwrap();
    let told = placed("mine", &[("held-a", False), ("held-b", Unknown)]).await;
    assert!(told.results[0].message.contains("no copy"), "{told:?}");
    assert_eq!(told.results[1].message, "its agent has not told yet");
    assert_eq!(at_a_glance("mine").await, ["mine", "False", "2", "0"]);
    let copy = sets(Some("held-b")).get("mine").await.unwrap();

    // Other labels and another set are no reason to write anything of this one.
    let before = sets(None).get("mine").await.unwrap().resource_version();
    change(
        "held-b",
        json!({ "metadata": { "labels": { "other": "x" }, "annotations": { "a": "b" } } }),
    )
    .await;
    sets(None).create(&post, &small("later", "held")).await.unwrap();
    placed("later", &[("held-a", Unknown), ("held-b", Unknown)]).await;
    assert_eq!(sets(None).get("mine").await.unwrap().resource_version(), before);
    let now = sets(Some("held-b")).get("mine").await.unwrap();
    assert_eq!(now.resource_version(), copy.resource_version());

    // The set goes, its copy goes, and what somebody wrote stays as it was.
    sets(None).delete("mine", &DeleteParams::default()).await.unwrap();
    eventually("the copy is gone", PATIENCE, || async {
        sets(Some("held-b")).get_opt("mine").await.ok()?.is_none().then_some(())
    })
    .await;
    eventually("the set is gone", PATIENCE, || async {
        sets(None).get_opt("mine").await.ok()?.is_none().then_some(())
    })
    .await;
    let still = sets(Some("held-a")).get("mine").await.unwrap();
    assert_eq!(still.resource_version(), own.resource_version());

    // Once it makes room, a copy takes its place; so in a new cluster, until that is let in no more.
    sets(None).create(&post, &small("mine", "held")).await.unwrap();
    placed("mine", &[("held-a", False), ("held-b", Unknown)]).await;
    sets(Some("held-a")).delete("mine", &DeleteParams::default()).await.unwrap();
    placed("mine", &[("held-a", Unknown), ("held-b", Unknown)]).await;
    let copy = sets(Some("held-a")).get("mine").await.unwrap();
    assert!(copy.labels().contains_key(PLACED_FROM));
    prepare("held-c", &spec, "held").await;
    placed("mine", &[("held-a", Unknown), ("held-b", Unknown), ("held-c", Unknown)]).await;
    eventually("a copy in the new cluster", PATIENCE, || async {
        sets(Some("held-c")).get_opt("mine").await.ok()?
    })
    .await;
    change("held-b", json!({ "spec": { "accepted": false } })).await;
    placed("mine", &[("held-a", Unknown), ("held-c", Unknown)]).await;
    assert!(sets(Some("held-b")).get_opt("mine").await.unwrap().is_none());
    let left = registration::unregister(&world().hub.admin(), "held-c", PATIENCE, false).await;
    assert_eq!(left.unwrap(), Left::Clean);
    placed("mine", &[("held-a", Unknown)]).await;
    for name in ["mine", "later"] {
        sets(None).delete(name, &DeleteParams::default()).await.unwrap();
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
    let told = sets(None).get("nowhere").await.unwrap().status.unwrap();
    assert_eq!(find(&told.conditions, "Applied").unwrap().reason, "NoCluster");

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
