//! Objects on their way from the hub to a member, and what becomes of them.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway_agent::api::{ConditionStatus, ManifestSet, ManifestSetStatus, Outcome, find};
use slipway_agent::registration;

use crate::support::eventually;
use crate::support::world::{Agent, PATIENCE, log, spec, world};

fn map(namespace: &str, name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace }, "data": { "key": value },
    })
}

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

fn set(name: &str, spec: &Value) -> ManifestSet {
    serde_json::from_value(json!({
        "apiVersion": "mcp.platform/v1", "kind": "ManifestSet",
        "metadata": { "name": name }, "spec": spec,
    }))
    .unwrap()
}

/// What the agent says of a set's present generation.
async fn reported(sets: &Api<ManifestSet>, name: &str) -> ManifestSetStatus {
    eventually(&format!("the report on {name}"), PATIENCE, || async {
        let found = sets.get(name).await.ok()?;
        let status = found.status?;
        (status.observed_generation == found.metadata.generation).then_some(status)
    })
    .await
}

async fn holds(member: &Client, namespace: &str, name: &str) -> bool {
    let api = Api::<ConfigMap>::namespaced(member.clone(), namespace);
    api.get_opt(name).await.unwrap().is_some()
}

#[tokio::test]
async fn a_set_is_applied_reported_pruned_and_kept_or_deleted() {
    log();
    let world = world();
    let (hub, member) = (world.hub.admin(), world.member.admin());
    let spec = spec(&member).await;
    let mut agent = Agent::joined("sets", &spec).await;
    let sets = Api::<ManifestSet>::namespaced(hub.clone(), "mcp-cluster-sets");
    let (post, merge) = (PostParams::default(), PatchParams::default());

    // Applied in order, each object with its own result: a Secret is more than the agent may write.
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": "sets-1" } });
    let unknown =
        json!({ "apiVersion": "example.com/v1", "kind": "Nothing", "metadata": { "name": "n" } });
    let first = set(
        "first",
        &json!({
            "prune": true,
            "manifests": [namespace("sets-1"), map("sets-1", "a", "1"), map("sets-1", "b", "1"), secret, unknown],
        }),
    );
    sets.create(&post, &first).await.unwrap();
    let status = reported(&sets, "first").await;
    assert_eq!(status.applied, Some(3));
    let outcomes: Vec<Outcome> = status.objects.iter().map(|one| one.outcome).collect();
    use Outcome::{Applied, Failed};
    assert_eq!(outcomes, [Applied, Applied, Applied, Failed, Failed], "{:?}", status.objects);
    assert!(status.objects[3].message.contains("forbidden"), "{:?}", status.objects[3]);
    assert!(status.objects[4].message.contains("Nothing"), "{:?}", status.objects[4]);
    let applied = find(&status.conditions, "Applied").unwrap();
    assert_eq!(applied.status, ConditionStatus::False);
    assert_eq!(applied.message, "2 of 5 objects failed");
    let owners = Api::<ConfigMap>::namespaced(member.clone(), "sets-1").get("a").await.unwrap();
    let owners = owners.metadata.managed_fields.unwrap();
    assert!(owners.iter().any(|one| one.manager.as_deref() == Some("mcp-agent")), "{owners:?}");

    // An object that leaves the set leaves the member, since this set prunes.
    let fewer = json!({ "spec": { "manifests": [namespace("sets-1"), map("sets-1", "a", "2")] } });
    sets.patch("first", &merge, &Patch::Merge(fewer)).await.unwrap();
    let status = reported(&sets, "first").await;
    assert_eq!((status.applied, status.objects.len()), (Some(2), 2));
    assert!(holds(&member, "sets-1", "a").await && !holds(&member, "sets-1", "b").await);

    // Another set does not prune.
    let second = set(
        "second",
        &json!({
            "deletionPolicy": "Delete",
            "manifests": [namespace("sets-2"), map("sets-2", "a", "1"), map("sets-2", "b", "1")],
        }),
    );
    sets.create(&post, &second).await.unwrap();
    reported(&sets, "second").await;
    let fewer = json!({ "spec": { "manifests": [namespace("sets-2"), map("sets-2", "a", "1")] } });
    sets.patch("second", &merge, &Patch::Merge(fewer)).await.unwrap();
    reported(&sets, "second").await;
    assert!(holds(&member, "sets-2", "b").await);

    // One object at the server stays, in whatever version and set it is written.
    let scale = |version: &str, namespace: Option<&str>| {
        json!({
            "apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "sets", "namespace": namespace },
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "x" },
            },
        })
    };
    let autoscalers = Api::<HorizontalPodAutoscaler>::namespaced(member.clone(), "default");
    let scaled = set("scaled", &json!({ "prune": true, "manifests": [scale("v1", None)] }));
    sets.create(&post, &scaled).await.unwrap();
    assert_eq!(reported(&sets, "scaled").await.applied, Some(1));
    let uid = autoscalers.get("sets").await.unwrap().metadata.uid;
    let newer = json!({ "spec": { "manifests": [scale("v2", Some("default"))] } });
    sets.patch("scaled", &merge, &Patch::Merge(newer)).await.unwrap();
    assert_eq!(reported(&sets, "scaled").await.applied, Some(1));
    assert_eq!(autoscalers.get("sets").await.unwrap().metadata.uid, uid);
    let moved = set("moved", &json!({ "manifests": [scale("v2", None)] }));
    sets.create(&post, &moved).await.unwrap();
    reported(&sets, "moved").await;
    let other = json!({ "spec": { "manifests": [namespace("sets-1")] } });
    sets.patch("scaled", &merge, &Patch::Merge(other)).await.unwrap();
    reported(&sets, "scaled").await;
    assert_eq!(autoscalers.get("sets").await.unwrap().metadata.uid, uid);

    // Retain is the default; Delete deletes what the set still had.
    sets.delete("first", &DeleteParams::default()).await.unwrap();
    sets.delete("second", &DeleteParams::default()).await.unwrap();
    let namespaces = Api::<Namespace>::all(member.clone());
    eventually("the objects of the second set are gone", PATIENCE, || async {
        namespaces.get_opt("sets-2").await.ok()?.is_none().then_some(())
    })
    .await;
    let inventories = Api::<ConfigMap>::namespaced(member.clone(), agent.namespace());
    eventually("the first set is forgotten", PATIENCE, || async {
        inventories.get_opt("mcp-set-first").await.ok()?.is_none().then_some(())
    })
    .await;
    assert!(holds(&member, "sets-1", "a").await);

    // What is deleted while the agent is away is noticed when it is back; what a registration leaves
    // behind is reported.
    let third =
        set("third", &json!({ "deletionPolicy": "Delete", "manifests": [namespace("sets-3")] }));
    sets.create(&post, &third).await.unwrap();
    reported(&sets, "third").await;
    agent.kill();
    sets.delete("third", &DeleteParams::default()).await.unwrap();
    agent.start();
    eventually("the third set's namespace is gone", PATIENCE, || async {
        namespaces.get_opt("sets-3").await.ok()?.is_none().then_some(())
    })
    .await;
    let fourth =
        set("fourth", &json!({ "deletionPolicy": "Delete", "manifests": [namespace("sets-4")] }));
    sets.create(&post, &fourth).await.unwrap();
    reported(&sets, "fourth").await;
    registration::unregister(&hub, "sets", PATIENCE, false).await.unwrap();
    eventually("the fourth set's namespace went with the registration", PATIENCE, || async {
        namespaces.get_opt("sets-4").await.ok()?.is_none().then_some(())
    })
    .await;
    assert!(holds(&member, "sets-1", "a").await);
}

#[tokio::test]
async fn an_agent_that_may_only_report_applies_nothing() {
    log();
    let world = world();
    let hub = world.hub.admin();
    let mut spec = spec(&world.member.admin()).await;
    spec.capabilities = vec![slipway_agent::api::Capability::Report];
    let _agent = Agent::joined("reports", &spec).await;
    let sets = Api::<ManifestSet>::namespaced(hub.clone(), "mcp-cluster-reports");
    let made = set("none", &json!({ "manifests": [namespace("reports-1")] }));
    sets.create(&PostParams::default(), &made).await.unwrap();
    // Two syncs later it has had its chance.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(sets.get("none").await.unwrap().status.is_none());
    let namespaces = Api::<Namespace>::all(world.member.admin());
    assert!(namespaces.get_opt("reports-1").await.unwrap().is_none());
}
