//! How clusters leave: together, and with one side gone.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use slipway_agent::api::ClusterRegistration;
use slipway_agent::registration::{self, Left};

use crate::support::eventually;
use crate::support::world::{Agent, PATIENCE, log, spec, world};

/// Nothing at the hub has the cluster's name.
async fn nothing_at_the_hub(hub: &Client, cluster: &str) {
    assert!(Api::<ClusterRegistration>::all(hub.clone()).get_opt(cluster).await.unwrap().is_none());
    let label = ListParams::default().labels(&format!("mcp.platform/cluster={cluster}"));
    assert!(Api::<ClusterRole>::all(hub.clone()).list(&label).await.unwrap().items.is_empty());
    assert!(
        Api::<ClusterRoleBinding>::all(hub.clone()).list(&label).await.unwrap().items.is_empty()
    );
    let namespaces = Api::<Namespace>::all(hub.clone());
    eventually("the namespace is gone", PATIENCE, || async {
        namespaces.get_opt(&format!("mcp-cluster-{cluster}")).await.ok()?.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn deleting_a_registration_cleans_both_sides() {
    log();
    let world = world();
    let (hub, member) = (world.hub.admin(), world.member.admin());
    let spec = spec(&member).await;
    let mut agent = Agent::joined("leaves", &spec).await;
    let left = registration::unregister(&hub, "leaves", PATIENCE, false).await.unwrap();
    assert_eq!(left, Left::Clean);
    nothing_at_the_hub(&hub, "leaves").await;
    agent.ended().await;
    let namespaces = Api::<Namespace>::all(member.clone());
    eventually("the agent's namespace is gone", PATIENCE, || async {
        namespaces.get_opt(agent.namespace()).await.ok()?.is_none().then_some(())
    })
    .await;
    let roles = Api::<ClusterRole>::all(member.clone());
    let bindings = Api::<ClusterRoleBinding>::all(member);
    eventually("its rights are gone", PATIENCE, || async {
        let role = roles.get_opt(agent.namespace()).await.ok()?;
        let binding = bindings.get_opt(agent.namespace()).await.ok()?;
        (role.is_none() && binding.is_none()).then_some(())
    })
    .await;
    assert_eq!(
        registration::unregister(&hub, "leaves", PATIENCE, false).await.unwrap(),
        Left::Unknown
    );
}

#[tokio::test]
async fn a_dead_agent_needs_force_and_the_name_is_free_afterwards() {
    log();
    let world = world();
    let hub = world.hub.admin();
    let spec = spec(&world.member.admin()).await;
    let mut agent = Agent::joined("dead", &spec).await;
    agent.kill();
    let short = Duration::from_secs(3);
    let error = registration::unregister(&hub, "dead", short, false).await.unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    let Left::Forced(left) = registration::unregister(&hub, "dead", short, true).await.unwrap()
    else {
        panic!("an agent that is dead cannot have cleaned up")
    };
    assert!(left.iter().any(|one| one.contains("namespace mcp-agent")), "{left:?}");
    nothing_at_the_hub(&hub, "dead").await;
    // The agent comes back, and its certificate gives it nothing; the name is free for a new one.
    agent.start();
    let mut next = Agent::register(&world.hub, &world.member, "dead", &spec).await;
    agent.kill();
    next.start();
    registration::ready(&hub, "dead", PATIENCE).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_was_killed_while_leaving_still_tells_the_hub() {
    log();
    let world = world();
    let (hub, member) = (world.hub.admin(), world.member.admin());
    let mut agent = Agent::joined("interrupted", &spec(&member).await).await;
    agent.kill();
    // As it is after everything was cleaned up.
    let secrets = Api::<Secret>::namespaced(member, agent.namespace());
    let departing = json!({ "stringData": { "departing": "true" } });
    secrets.patch("mcp-hub", &PatchParams::default(), &Patch::Merge(departing)).await.unwrap();
    let leaves = registration::unregister(&hub, "interrupted", PATIENCE, false);
    let registrations = Api::<ClusterRegistration>::all(hub.clone());
    let starts = async {
        eventually("it is being deleted", PATIENCE, async || {
            registrations.get("interrupted").await.ok()?.metadata.deletion_timestamp
        })
        .await;
        agent.start();
        agent.ended().await;
    };
    let (left, ()) = tokio::join!(leaves, starts);
    assert_eq!(left.unwrap(), Left::Clean);
    nothing_at_the_hub(&hub, "interrupted").await;
}

#[tokio::test]
async fn a_cluster_that_never_came_leaves_at_once() {
    log();
    let world = world();
    let hub = world.hub.admin();
    let spec = spec(&world.member.admin()).await;
    registration::prepare(&hub, "never", &spec, &[], false).await.unwrap();
    registration::bootstrap(&hub, "never").await.unwrap();
    assert_eq!(
        registration::unregister(&hub, "never", PATIENCE, false).await.unwrap(),
        Left::Clean
    );
    nothing_at_the_hub(&hub, "never").await;
}
