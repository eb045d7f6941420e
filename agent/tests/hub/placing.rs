//! Sets on their way from the fleet to the clusters that they choose, and what their status says of them.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, Namespace, ResourceQuota};
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use slipway_agent::api::{
    Capability, ClusterRegistration, ClusterRegistrationSpec, ConditionStatus, ManifestSet,
    PLACED_FROM, Placement, find,
};
use slipway_agent::install::FLEET_NAMESPACE;
use slipway_agent::registration::{self, Left};

use super::fleet::a_member_sees_its_own_copies_alone;
use crate::support::eventually;
use crate::support::plane::Plane;
use crate::support::world::{Agent, PATIENCE, log, spec, world};

use ConditionStatus::{False, True, Unknown};

/// The sets of the fleet, or of one cluster.
pub fn sets(cluster: Option<&str>) -> Api<ManifestSet> {
    let namespace =
        cluster.map_or(FLEET_NAMESPACE.to_owned(), |name| format!("mcp-cluster-{name}"));
    Api::namespaced(world().hub.admin(), &namespace)
}

pub fn set(name: &str, spec: &Value) -> ManifestSet {
    serde_json::from_value(json!({
        "apiVersion": "mcp.platform/v1", "kind": "ManifestSet",
        "metadata": { "name": name }, "spec": spec,
    }))
    .unwrap()
}

pub fn map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } })
}

/// A set for the clusters of one tier, of one object.
pub fn small(name: &str, tier: &str) -> ManifestSet {
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
pub async fn placed(name: &str, expected: &[(&str, ConditionStatus)]) -> Placement {
    let found = eventually(&format!("{name} says {expected:?}"), PATIENCE, || async {
        let found = sets(None).get(name).await.ok()?;
        let (status, generation) = (found.status?, found.metadata.generation);
        let mut reported = status.placement.clone()?.results;
        reported.sort_by(|one, other| one.name.cmp(&other.name));
        let reported: Vec<_> =
            reported.iter().map(|one| (one.name.as_str(), one.applied)).collect();
        (reported == expected && status.observed_generation == generation).then_some(status)
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
pub async fn prepare(name: &str, spec: &ClusterRegistrationSpec, tier: &str) {
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
    a_member_sees_its_own_copies_alone(&agent_a).await;

    // What the set says now is what the clusters are to have: one object more, which they refuse.
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" } });
    let merge = PatchParams::default();
    let mut more = baseline();
    more.as_array_mut().unwrap().push(secret);
    let patch = |manifests: Value| Patch::Merge(json!({ "spec": { "manifests": manifests } }));
    sets(None).patch("base", &merge, &patch(more)).await.unwrap();
    let reported = placed("base", &[("place-a", False), ("place-b", False)]).await;
    assert_eq!(reported.results[0].message, "1 of 7 objects failed");
    sets(None).patch("base", &merge, &patch(baseline())).await.unwrap();
    placed("base", &[("place-a", True), ("place-b", True)]).await;
    // What somebody changes of a copy is changed back.
    let mine = Patch::Merge(json!({ "spec": { "prune": false } }));
    sets(Some("place-a")).patch("base", &merge, &mine).await.unwrap();
    eventually("the copy is the set's again", PATIENCE, || async {
        sets(Some("place-a")).get("base").await.ok()?.spec.prune.then_some(())
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

#[tokio::test]
async fn a_set_that_somebody_wrote_is_left_alone_and_reported() {
    log();
    let spec = spec(&world().member.admin()).await;
    for name in ["owned-a", "owned-b"] {
        prepare(name, &spec, "owned").await;
    }
    let post = PostParams::default();
    let own = set("mine", &json!({ "manifests": [map("own")] }));
    let own = sets(Some("owned-a")).create(&post, &own).await.unwrap();
    sets(None).create(&post, &small("mine", "owned")).await.unwrap();
    let reported = placed("mine", &[("owned-a", False), ("owned-b", Unknown)]).await;
    assert!(reported.results[0].message.contains("no copy"), "{reported:?}");
    assert_eq!(reported.results[1].message, "its agent has not reported yet");
    assert_eq!(at_a_glance("mine").await, ["mine", "False", "2", "0"]);
    let copy = sets(Some("owned-b")).get("mine").await.unwrap();

    // Other labels and another set are no reason to write anything of this one.
    let before = sets(None).get("mine").await.unwrap().resource_version();
    change(
        "owned-b",
        json!({ "metadata": { "labels": { "other": "x" }, "annotations": { "a": "b" } } }),
    )
    .await;
    sets(None).create(&post, &small("later", "owned")).await.unwrap();
    placed("later", &[("owned-a", Unknown), ("owned-b", Unknown)]).await;
    assert_eq!(sets(None).get("mine").await.unwrap().resource_version(), before);
    let now = sets(Some("owned-b")).get("mine").await.unwrap();
    assert_eq!(now.resource_version(), copy.resource_version());

    // The set goes, its copy goes, and what somebody wrote stays as it was.
    sets(None).delete("mine", &DeleteParams::default()).await.unwrap();
    eventually("the copy is gone", PATIENCE, || async {
        sets(Some("owned-b")).get_opt("mine").await.ok()?.is_none().then_some(())
    })
    .await;
    eventually("the set is gone", PATIENCE, || async {
        sets(None).get_opt("mine").await.ok()?.is_none().then_some(())
    })
    .await;
    let still = sets(Some("owned-a")).get("mine").await.unwrap();
    assert_eq!(still.resource_version(), own.resource_version());

    // Once it makes room, a copy takes its place; so in a new cluster, until that is let in no more.
    sets(None).create(&post, &small("mine", "owned")).await.unwrap();
    placed("mine", &[("owned-a", False), ("owned-b", Unknown)]).await;
    sets(Some("owned-a")).delete("mine", &DeleteParams::default()).await.unwrap();
    placed("mine", &[("owned-a", Unknown), ("owned-b", Unknown)]).await;
    let copy = sets(Some("owned-a")).get("mine").await.unwrap();
    assert!(copy.labels().contains_key(PLACED_FROM));
    prepare("owned-c", &spec, "owned").await;
    placed("mine", &[("owned-a", Unknown), ("owned-b", Unknown), ("owned-c", Unknown)]).await;
    eventually("a copy in the new cluster", PATIENCE, || async {
        sets(Some("owned-c")).get_opt("mine").await.ok()?
    })
    .await;
    change("owned-b", json!({ "spec": { "accepted": false } })).await;
    placed("mine", &[("owned-a", Unknown), ("owned-c", Unknown)]).await;
    assert!(sets(Some("owned-b")).get_opt("mine").await.unwrap().is_none());
    let left = registration::unregister(&world().hub.admin(), "owned-c", PATIENCE, false).await;
    assert_eq!(left.unwrap(), Left::Clean);
    placed("mine", &[("owned-a", Unknown)]).await;
    for name in ["mine", "later"] {
        sets(None).delete(name, &DeleteParams::default()).await.unwrap();
    }
}
