//! From a name to a ready cluster, and what of it is left at the hub.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use slipway_agent::api::{
    ClusterRegistration, ConditionStatus, LAST_ETCD_SNAPSHOT, REGION, ZONE, find,
};
use slipway_agent::install::{self, Member};
use slipway_agent::registration;

use crate::support::world::{Agent, PATIENCE, becomes, condition, log, spec, world};
use crate::support::{bundle, eventually};

#[tokio::test]
async fn a_cluster_joins_reports_and_its_bootstrap_credential_is_gone() {
    log();
    let world = world();
    let (hub, member) = (world.hub.admin(), world.member.admin());
    nodes(&world.member).await;
    let spec = spec(&member).await;
    let namespaces = Api::<Namespace>::all(member.clone());
    let taken = "2026-11-21T03:00:00Z";
    let noted = json!({ "metadata": { "annotations": { LAST_ETCD_SNAPSHOT: taken } } });
    namespaces.patch("kube-system", &PatchParams::default(), &Patch::Merge(noted)).await.unwrap();
    let labels = [(REGION, "east"), (ZONE, "east-1a")];
    let prepared = registration::prepare(&hub, "joins", &spec, &labels, false).await.unwrap();
    assert!(!registration::has_joined(&prepared));
    let mut agent = Agent::install(&world.hub, &world.member, "joins", &spec).await;
    agent.start();
    let ready = registration::ready(&hub, "joins", PATIENCE).await.unwrap();
    assert_eq!(ready.metadata.labels.as_ref().unwrap()[REGION], "east");
    let status = eventually("the report", PATIENCE, || async {
        let found = Api::<ClusterRegistration>::all(hub.clone()).get("joins").await.ok()?;
        found.status.filter(|status| status.nodes.is_some())
    })
    .await;
    assert_eq!(
        status.kubernetes_version.as_deref(),
        Some(format!("v{}", bundle::version()).as_str())
    );
    assert_eq!(status.agent_version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    let nodes = status.nodes.unwrap();
    assert_eq!((nodes.total, nodes.ready), (2, 1));
    let capacity = status.capacity.unwrap();
    assert_eq!((capacity.cpu.as_str(), capacity.pods.as_str()), ("8", "220"));
    assert_eq!(capacity.memory, "32768Mi");
    assert_eq!(status.allocatable.unwrap().cpu, "7800m");
    let health = status.health.unwrap();
    assert_eq!(health.etcd.as_deref(), Some("ok"));
    assert!(health.api_latency_millis.is_some());
    assert_eq!(health.last_etcd_snapshot.unwrap().0.to_string(), taken);
    assert_eq!(health.cert_expiry.unwrap().0.to_string(), "2040-01-01T00:00:00Z");
    let holds = |kind: &str| find(&status.conditions, kind).map(|condition| condition.status);
    for kind in
        ["Accepted", "Joined", "Ready", "ControlPlaneHealthy", "ClockSynced", "CredentialsRotated"]
    {
        assert_eq!(holds(kind), Some(ConditionStatus::True), "{kind}");
    }
    assert_eq!(holds("Degraded"), Some(ConditionStatus::False));
    // What it joined with is gone on both sides, and the key never was at the hub.
    let accounts = Api::<ServiceAccount>::namespaced(hub.clone(), "mcp-cluster-joins");
    assert!(accounts.get_opt("mcp-bootstrap-joins").await.unwrap().is_none());
    let secrets = Api::<Secret>::namespaced(member, agent.namespace());
    let data = secrets.get("mcp-hub").await.unwrap().data.unwrap();
    assert!(
        data.contains_key("tls.key") && !data.contains_key("bootstrap-token"),
        "{:?}",
        data.keys()
    );
    let secrets = Api::<Secret>::namespaced(hub.clone(), "mcp-cluster-joins");
    assert!(secrets.list(&Default::default()).await.unwrap().items.is_empty());
    // Registering again changes nothing.
    let again = registration::prepare(&hub, "joins", &spec, &labels, false).await.unwrap();
    assert!(registration::has_joined(&again));
    assert_eq!(again.metadata.generation, ready.metadata.generation);
}

#[tokio::test]
async fn a_new_credential_is_for_the_agent_that_uses_it() {
    log();
    let world = world();
    let hub = world.hub.admin();
    let spec = spec(&world.member.admin()).await;
    let _old = Agent::joined("again", &spec).await;
    let leases = Api::<Lease>::namespaced(hub.clone(), "mcp-cluster-again");
    let renewed = async || leases.get("mcp-agent").await.ok()?.spec?.renew_time;
    registration::bootstrap(&hub, "again").await.unwrap();
    // The old agent goes on with its heartbeats, and the new credential is not its own.
    let first = eventually("a heartbeat of the old agent", PATIENCE, &renewed).await;
    eventually("another one", PATIENCE, async || renewed().await.filter(|now| now.0 > first.0))
        .await;
    assert_eq!(condition(&hub, "again", "Joined").await, Some(ConditionStatus::False));
    let accounts = Api::<ServiceAccount>::namespaced(hub.clone(), "mcp-cluster-again");
    assert!(accounts.get_opt("mcp-bootstrap-again").await.unwrap().is_some());
}

/// Two nodes as plain objects, of which one is ready.
async fn nodes(member: &crate::support::plane::Plane) {
    let api = Api::<Node>::all(member.admin());
    for (name, ready) in [("cp-1", "True"), ("w-1", "False")] {
        let node: Node = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        api.create(&PostParams::default(), &node).await.unwrap();
        let status = json!({ "status": {
            "capacity": { "cpu": "4", "memory": "16Gi", "pods": "110" },
            "allocatable": { "cpu": "3900m", "memory": "16777216Ki", "pods": "110" },
            "conditions": [{ "type": "Ready", "status": ready, "reason": "x", "message": "" }],
        }});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
}

#[tokio::test]
async fn installing_twice_changes_nothing_and_an_agent_can_be_abandoned() {
    log();
    let world = world();
    let (hub, member) = (world.hub.admin(), world.member.admin());
    let versions = async |client: &kube::Client, kinds: &[&str]| {
        let mut found = Vec::new();
        for path in kinds {
            let request = http::Request::get(*path).body(Vec::new()).unwrap();
            let object: serde_json::Value = client.request(request).await.unwrap();
            found.push(object["metadata"]["resourceVersion"].as_str().unwrap().to_owned());
        }
        found
    };
    let paths = [
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/manifestsets.mcp.platform",
        "/apis/apps/v1/namespaces/mcp-system/deployments/mcp-hub",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/mcp-hub",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/mcp-leases",
    ];
    let before = versions(&hub, &paths).await;
    install::hub(&hub, "slipway-agent:test").await.unwrap();
    assert_eq!(versions(&hub, &paths).await, before);
    let endpoint = world.hub.endpoint.clone();
    let spec = spec(&member).await;
    let wanted = Member {
        cluster: "x",
        hub: &endpoint,
        token: None,
        credential: &spec.credential,
        capabilities: &spec.capabilities,
        image: "slipway-agent:test",
    };
    install::member(&member, &wanted).await.unwrap();
    let paths = [
        "/apis/apps/v1/namespaces/mcp-agent/deployments/mcp-agent",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/mcp-agent-manifests",
        "/api/v1/namespaces/mcp-agent/secrets/mcp-hub",
    ];
    let before = versions(&member, &paths).await;
    install::member(&member, &wanted).await.unwrap();
    assert_eq!(versions(&member, &paths).await, before);
    // What it is no longer allowed is taken from it.
    let bindings = Api::<ClusterRoleBinding>::all(member.clone());
    let subjects =
        async |name: &str| bindings.get(name).await.unwrap().subjects.map(|all| all.len());
    assert_eq!(subjects("mcp-agent-manifests").await, Some(1));
    assert_eq!(subjects("mcp-agent-policies").await, None);
    install::member(&member, &Member { capabilities: &[], ..wanted }).await.unwrap();
    assert_eq!(subjects("mcp-agent-manifests").await, None);
    // And where the hub is no more, all of it goes by itself.
    assert!(registration::abandon(&member, PATIENCE).await.unwrap());
    assert!(!registration::abandon(&member, PATIENCE).await.unwrap());
    let request = http::Request::get(paths[1]).body(Vec::new()).unwrap();
    eventually("the agent's rights are gone", PATIENCE, || async {
        member.request::<serde_json::Value>(request.clone()).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_name_belongs_to_one_cluster_until_it_is_replaced() {
    log();
    let world = world();
    let hub = world.hub.admin();
    let first = spec(&world.member.admin()).await;
    let mut agent = Agent::joined("rebuilt", &first).await;
    agent.kill();
    let mut second = first.clone();
    second.cluster_id = Some("0b5ad2c5-0000-4000-8000-00000000000f".to_owned());
    let refused = registration::prepare(&hub, "rebuilt", &second, &[], false).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("knows another cluster as rebuilt"), "{text}");
    assert!(text.contains(&first.cluster_id.unwrap()), "{text}");
    let replaced = registration::prepare(&hub, "rebuilt", &second, &[], true).await.unwrap();
    assert_eq!(replaced.spec.cluster_id, second.cluster_id);
    assert!(!registration::has_joined(&replaced));
    // An agent in another cluster than the registration means: it says so, and touches nothing.
    let mut agent = Agent::install(&world.hub, &world.member, "rebuilt", &second).await;
    agent.start();
    registration::ready(&hub, "rebuilt", PATIENCE).await.unwrap();
    becomes(&hub, "rebuilt", "Degraded", ConditionStatus::True, PATIENCE).await;
}

#[tokio::test]
async fn a_registration_that_nobody_accepted_gets_nothing() {
    log();
    let world = world();
    let hub = world.hub.admin();
    let mut spec = spec(&world.member.admin()).await;
    spec.accepted = false;
    let mut agent = Agent::register(&world.hub, &world.member, "unaccepted", &spec).await;
    agent.start();
    becomes(&hub, "unaccepted", "Accepted", ConditionStatus::False, PATIENCE).await;
    let requests =
        Api::<k8s_openapi::api::certificates::v1::CertificateSigningRequest>::all(hub.clone());
    let denied = eventually("the denial", PATIENCE, || async {
        let found = requests.get_opt("mcp.unaccepted.bootstrap").await.ok()??;
        found.status?.conditions?.into_iter().find(|one| one.type_ == "Denied")
    });
    assert!(denied.await.message.unwrap().contains("not accepted"));
    let leases = Api::<Lease>::namespaced(hub, "mcp-cluster-unaccepted");
    assert!(leases.get("mcp-agent").await.unwrap().spec.and_then(|spec| spec.renew_time).is_none());
}
