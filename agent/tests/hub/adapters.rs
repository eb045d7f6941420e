//! Adapters: what they write is checked by real API servers that serve the other systems' published kinds.
//! None of those systems' controllers runs here.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway_agent::adapter::adapter as writer;
use slipway_agent::api::{
    Adapter, AdapterKind, ClusterRegistration, ClusterRegistrationSpec, Condition, ConditionStatus,
    REGION, SecretReference, ZONE, find,
};
use slipway_agent::install::HUB_NAMESPACE;
use slipway_agent::registration;
use tokio::sync::OnceCell;

use crate::support::world::{Agent, PATIENCE, becomes, log, spec, token, world};
use crate::support::{bundle, published};
use crate::support::{eventually, refused};

/// A token that must be seen nowhere but in Karmada's Secrets.
const MEMBER_TOKEN: &str = "token-of-the-member";

/// The other systems' API server is the member's, with a token of an account that may do what
/// docs/registration.md says, and no more.
async fn served() -> &'static str {
    static TOKEN: OnceCell<String> = OnceCell::const_new();
    TOKEN
        .get_or_init(|| async {
            let client = world().member.admin();
            published::serve(&client, &published::karmada_cluster()).await;
            published::serve(&client, &published::managed_cluster()).await;
            let (post, name) = (PostParams::default(), "mcp-hub-elsewhere");
            let account = json!({ "metadata": { "name": name } });
            let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
            accounts.create(&post, &serde_json::from_value(account).unwrap()).await.unwrap();
            let rules = json!({ "metadata": { "name": name }, "rules": [
                { "apiGroups": ["cluster.karmada.io"], "resources": ["clusters"], "verbs": ["get", "create", "patch", "delete"] },
                { "apiGroups": ["cluster.open-cluster-management.io"], "resources": ["managedclusters"], "verbs": ["get", "create", "patch", "delete"] },
                { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "create"] },
                { "apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch"] },
            ]});
            let roles = Api::<ClusterRole>::all(client.clone());
            roles.create(&post, &serde_json::from_value(rules).unwrap()).await.unwrap();
            let binding = json!({
                "metadata": { "name": name },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
                "subjects": [{ "kind": "ServiceAccount", "namespace": "default", "name": name }],
            });
            let bindings = Api::<ClusterRoleBinding>::all(client.clone());
            bindings.create(&post, &serde_json::from_value(binding).unwrap()).await.unwrap();
            token(&client, "default", name).await
        })
        .await
}

/// Writes the Secret of an adapter.
async fn secret(name: &str, server: &str, token: &str) {
    let kubeconfig = json!({
        "current-context": "c", "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }],
        "clusters": [{ "name": "k", "cluster": {
            "server": server,
            "certificate-authority-data": BASE64.encode(&world().member.keys.ca),
        }}],
        "users": [{ "name": "u", "user": { "token": token } }],
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
        "stringData": { "kubeconfig": kubeconfig.to_string(), "memberToken": MEMBER_TOKEN },
    });
    let api = Api::<Secret>::namespaced(world().hub.admin(), HUB_NAMESPACE);
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret)).await.unwrap();
}

fn adapter(kind: AdapterKind, secret: &str) -> Adapter {
    let name = secret.to_owned();
    Adapter { kind, secret_ref: (!secret.is_empty()).then_some(SecretReference { name }) }
}

async fn with(adapters: Vec<Adapter>) -> ClusterRegistrationSpec {
    let ca_data = Some(BASE64.encode(&world().member.keys.ca));
    ClusterRegistrationSpec { adapters, ca_data, ..spec(&world().member.admin()).await }
}

async fn register(name: &str, adapters: Vec<Adapter>) {
    let labels = [(REGION, "east"), (ZONE, "east-1a")];
    let spec = with(adapters).await;
    registration::prepare(&world().hub.admin(), name, &spec, &labels, false).await.unwrap();
}

async fn change(name: &str, patch: Value) {
    let api = Api::<ClusterRegistration>::all(world().hub.admin());
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

/// Waits until an adapter's condition has this reason.
async fn says(name: &str, kind: AdapterKind, reason: &str) -> Condition {
    let api = Api::<ClusterRegistration>::all(world().hub.admin());
    eventually(&format!("{name}: {} says {reason}", kind.name()), PATIENCE, || async {
        let found = api.get_opt(name).await.ok()??;
        let found = find(&found.status?.conditions, kind.name())?.clone();
        (found.reason == reason).then_some(found)
    })
    .await
}

fn objects(client: Client, kind: AdapterKind) -> Api<DynamicObject> {
    let (resource, home) = (writer(kind).resource(), writer(kind).hub_namespace());
    match home {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    }
}

async fn gone(what: &str, api: &Api<DynamicObject>, name: &str) {
    eventually(&format!("{what} {name} is gone"), PATIENCE, || async {
        api.get_opt(name).await.ok()?.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn karmada_and_ocm_know_a_cluster_as_long_as_its_adapters_say_so() {
    log();
    let token = served().await;
    let world = world();
    secret("elsewhere", &world.member.endpoint.server, token).await;
    let both =
        vec![adapter(AdapterKind::Karmada, "elsewhere"), adapter(AdapterKind::OCM, "elsewhere")];
    register("known", both).await;
    let written = says("known", AdapterKind::Karmada, "Written").await;
    assert_eq!(
        (written.status, written.message.as_str()),
        (ConditionStatus::True, "written as Cluster known")
    );
    says("known", AdapterKind::OCM, "Written").await;

    let client = world.member.admin();
    let karmada = objects(client.clone(), AdapterKind::Karmada);
    let ocm = objects(client.clone(), AdapterKind::OCM);
    let found = karmada.get("known").await.unwrap();
    assert_eq!(found.data["spec"]["zones"], json!(["east-1a"]));
    assert_eq!(found.data["spec"]["region"], "east");
    let managers = found.metadata.managed_fields.unwrap();
    assert!(managers.iter().all(|one| one.manager.as_deref() == Some("mcp-hub")), "{managers:?}");
    let spec = &ocm.get("known").await.unwrap().data["spec"];
    assert_eq!(
        (&spec["hubAcceptsClient"], &spec["leaseDurationSeconds"]),
        (&json!(true), &json!(5))
    );
    let secrets = Api::<Secret>::namespaced(client.clone(), "karmada-cluster");
    let written = eventually("the Secrets", PATIENCE, || async {
        let written = secrets.get_opt("mcp.known").await.ok()??;
        secrets.get_opt("mcp.known.impersonator").await.ok()?.map(|_| written)
    })
    .await;
    assert_eq!(written.data.as_ref().unwrap()["token"].0, MEMBER_TOKEN.as_bytes());
    assert_eq!(written.data.unwrap()["caBundle"].0, world.member.keys.ca.as_bytes());

    // Nothing secret came back, and nothing is written again that has not changed.
    let registrations = Api::<ClusterRegistration>::all(world.hub.admin());
    let before = registrations.get("known").await.unwrap();
    let text = serde_json::to_string(&before).unwrap();
    assert!(!text.contains(MEMBER_TOKEN) && !text.contains(token) && !text.contains("kubeconfig"));
    change("known", json!({ "metadata": { "labels": { "tier": "gold" } } })).await;
    eventually("the new label", PATIENCE, || async {
        let labels = ocm.get("known").await.ok()?.metadata.labels?;
        (labels.get("tier")? == "gold").then_some(())
    })
    .await;
    let after = registrations.get("known").await.unwrap();
    assert_eq!(before.status.unwrap().conditions, after.status.unwrap().conditions);

    // One leaves the list.
    let one = json!({ "spec": { "adapters": [{ "type": "Karmada", "secretRef": { "name": "elsewhere" } }] } });
    change("known", one).await;
    gone("ManagedCluster", &ocm, "known").await;
    eventually("its condition is gone", PATIENCE, || async {
        let found = registrations.get("known").await.ok()?;
        let conditions = found.status?.conditions;
        (find(&conditions, "OCM").is_none() && find(&conditions, "Karmada").is_some()).then_some(())
    })
    .await;

    // The other one goes with the registration, and its Secrets with it.
    registration::unregister(&world.hub.admin(), "known", PATIENCE, false).await.unwrap();
    assert!(karmada.get_opt("known").await.unwrap().is_none());
    eventually("the Secrets are gone", PATIENCE, || async {
        let found = secrets.list(&ListParams::default()).await.ok()?;
        (!found.items.iter().any(|one| {
            one.metadata.name.as_deref().is_some_and(|name| name.starts_with("mcp.known"))
        }))
        .then_some(())
    })
    .await;
    Api::<Namespace>::all(client).get("karmada-cluster").await.unwrap();
}

#[tokio::test]
async fn a_profile_is_at_the_hub_once_its_kind_is() {
    log();
    let world = world();
    let hub = world.hub.admin();
    let spec = with(vec![adapter(AdapterKind::ClusterProfile, "")]).await;
    let mut agent = Agent::register(&world.hub, &world.member, "profile", &spec).await;
    let missing = says("profile", AdapterKind::ClusterProfile, "NotInstalled").await;
    assert!(missing.message.contains("multicluster.x-k8s.io_clusterprofiles.yaml"), "{missing:?}");
    published::serve(&hub, &published::cluster_profile()).await;
    change("profile", json!({ "metadata": { "labels": { "look": "again" } } })).await;
    says("profile", AdapterKind::ClusterProfile, "Written").await;
    let profiles = objects(hub.clone(), AdapterKind::ClusterProfile);
    agent.start();
    registration::ready(&hub, "profile", PATIENCE).await.unwrap();
    let found = eventually("the profile tells of the cluster", PATIENCE, || async {
        let found = profiles.get("profile").await.ok()?;
        (found.data["status"]["conditions"][0]["status"] == "True").then_some(found)
    })
    .await;
    assert_eq!(found.metadata.labels.as_ref().unwrap()["x-k8s.io/cluster-manager"], "mcp");
    assert_eq!(found.data["spec"]["clusterManager"]["name"], "mcp");
    let status = &found.data["status"];
    assert_eq!(status["version"]["kubernetes"], format!("v{}", bundle::version()));
    assert_eq!(status["conditions"][0]["type"], "ControlPlaneHealthy");
    let properties = status["properties"].as_array().unwrap();
    let id = json!({ "name": "cluster.clusterset.k8s.io", "value": spec.cluster_id.unwrap() });
    assert!(properties.contains(&id), "{properties:?}");

    let strict = PatchParams::apply("test").validation_strict().dry_run();
    let unknown = json!({
        "apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ClusterProfile",
        "spec": { "clusterManager": { "nam": "mcp" } },
    });
    let (_, message) =
        refused("unknown", profiles.patch("profile", &strict, &Patch::Apply(unknown)).await);
    assert!(message.contains("nam"), "{message}");

    // The member has no part in it.
    let member = agent.at_the_hub().await;
    agent.kill();
    for (what, answer) in [
        (
            "profiles",
            objects(member.clone(), AdapterKind::ClusterProfile).get("profile").await.map(|_| ()),
        ),
        (
            "Secrets",
            Api::<Secret>::namespaced(member.clone(), HUB_NAMESPACE)
                .get("elsewhere")
                .await
                .map(|_| ()),
        ),
    ] {
        assert_eq!(refused(what, answer).0, 403, "{what}");
    }
    let own = Api::<ClusterRegistration>::all(member);
    let params = PatchParams::apply("mcp-agent").force();
    let write = async |conditions: Vec<Value>| {
        let patch = json!({
            "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration",
            "status": { "conditions": conditions },
        });
        own.patch_status("profile", &params, &Patch::Apply(patch)).await
    };
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "False", "reason": "Me", "message": "",
            "lastTransitionTime": "2026-11-21T00:00:00Z",
        })
    };
    for kind in AdapterKind::ALL {
        let (code, message) = refused(kind.name(), write(vec![condition(kind.name())]).await);
        assert!(code == 422 && message.contains("are the hub's"), "{message}");
    }
    let many = (b'A'..=b'K').map(|letter| condition(&format!("Kind{}", char::from(letter))));
    let (code, message) = refused("eleven", write(many.collect()).await);
    assert!(code == 422 && message.contains("at most ten"), "{message}");

    // What it reports takes no part in what is the hub's: that goes with its adapter.
    agent.start();
    let registrations = Api::<ClusterRegistration>::all(hub.clone());
    let reported = async || registrations.get("profile").await.ok()?.status?.last_sync_time;
    let before = reported().await;
    eventually("another report", PATIENCE, async || {
        reported().await.filter(|now| Some(now) > before.as_ref())
    })
    .await;
    change("profile", json!({ "spec": { "adapters": [] } })).await;
    eventually("the adapter's condition is gone", PATIENCE, async || {
        let conditions = registrations.get("profile").await.ok()?.status?.conditions;
        find(&conditions, AdapterKind::ClusterProfile.name()).is_none().then_some(())
    })
    .await;
    registration::unregister(&hub, "profile", PATIENCE, false).await.unwrap();
    assert!(profiles.get_opt("profile").await.unwrap().is_none());
}

#[tokio::test]
async fn what_others_wrote_is_not_touched() {
    log();
    let token = served().await;
    secret("theirs", &world().member.endpoint.server, token).await;
    let ocm = objects(world().member.admin(), AdapterKind::OCM);
    let theirs = json!({
        "apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster",
        "metadata": { "name": "theirs" }, "spec": { "hubAcceptsClient": false },
    });
    let before = ocm.create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await;
    register("theirs", vec![adapter(AdapterKind::OCM, "theirs")]).await;
    says("theirs", AdapterKind::OCM, "NotOurs").await;
    let hub = world().hub.admin();
    registration::unregister(&hub, "theirs", PATIENCE, false).await.unwrap();
    let after = ocm.get("theirs").await.unwrap();
    assert_eq!(after.metadata.resource_version, before.unwrap().metadata.resource_version);
}

#[tokio::test]
async fn a_system_that_is_away_is_reported_and_delays_a_deletion_for_a_minute_only() {
    log();
    let hub = world().hub.admin();
    // A Secret that is not there, one that leads nowhere, and one that proves nothing.
    register("away", vec![adapter(AdapterKind::Karmada, "away"), adapter(AdapterKind::OCM, "")])
        .await;
    let lacks = says("away", AdapterKind::Karmada, "SecretUnusable").await;
    assert!(lacks.message.contains("there is no Secret mcp-system/away"), "{lacks:?}");
    let lacks = says("away", AdapterKind::OCM, "SecretUnusable").await;
    assert!(lacks.message.contains("needs a secretRef"), "{lacks:?}");
    secret("away", &world().member.endpoint.server, "not-a-token").await;
    change("away", json!({ "metadata": { "labels": { "look": "again" } } })).await;
    says("away", AdapterKind::Karmada, "Forbidden").await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    secret("away", &format!("https://{closed}"), "not-a-token").await;
    change("away", json!({ "metadata": { "labels": { "look": "closely" } } })).await;
    let away = says("away", AdapterKind::Karmada, "Unreachable").await;
    assert!(!away.message.contains("not-a-token"), "{away:?}");
    // Nobody else waits for it, and in the end its own cluster does not, either.
    let began = Instant::now();
    Api::<ClusterRegistration>::all(hub.clone()).delete("away", &Default::default()).await.unwrap();
    let leaving = says("away", AdapterKind::Karmada, "Leaving").await;
    assert!(leaving.message.contains("mcp.platform/adapter-Karmada"), "{leaving:?}");
    register("at-once", vec![]).await;
    becomes(&hub, "at-once", "Accepted", ConditionStatus::True, Duration::from_secs(30)).await;
    let registrations = Api::<ClusterRegistration>::all(hub);
    eventually("the registration is gone", PATIENCE, || async {
        registrations.get_opt("away").await.ok()?.is_none().then_some(())
    })
    .await;
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(55), "gone after {waited:?} already");
}

#[tokio::test]
async fn force_says_what_other_systems_still_have() {
    log();
    let token = served().await;
    secret("forced", &world().member.endpoint.server, token).await;
    register("forced", vec![adapter(AdapterKind::OCM, "forced")]).await;
    says("forced", AdapterKind::OCM, "Written").await;
    let hub = world().hub.admin();
    let api = Api::<Secret>::namespaced(hub.clone(), HUB_NAMESPACE);
    api.delete("forced", &Default::default()).await.unwrap();
    let short = Duration::from_secs(3);
    let left = registration::unregister(&hub, "forced", short, true).await.unwrap();
    let registration::Left::Forced(left) = left else { panic!("{left:?}") };
    assert!(left.contains(&"ManagedCluster forced at OCM".to_owned()), "{left:?}");
    assert!(Api::<ClusterRegistration>::all(hub).get_opt("forced").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_published_refuses_what_it_does_not_know() {
    log();
    served().await;
    let client = world().member.admin();
    for (kind, path, wrong) in [
        (AdapterKind::Karmada, "/spec/syncmode", json!("Push")),
        (AdapterKind::Karmada, "/spec/zones", json!("z")),
        (AdapterKind::OCM, "/spec/leaseSeconds", json!(5)),
        (AdapterKind::OCM, "/spec/hubAcceptsClient", json!("yes")),
    ] {
        let mut registered = ClusterRegistration::new("wrong", with(vec![]).await);
        registered.metadata.uid = Some("u".to_owned());
        let good = serde_json::to_value(writer(kind).object(&registered)).unwrap();
        let mut bad = good.clone();
        let (parent, key) = path.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[key] = wrong;
        let params = PatchParams::apply("mcp-hub").force().validation_strict().dry_run();
        let api = objects(client.clone(), kind);
        api.patch("wrong", &params, &Patch::Apply(good)).await.unwrap();
        let (code, message) = refused(path, api.patch("wrong", &params, &Patch::Apply(bad)).await);
        assert!(matches!(code, 400 | 422 | 500) && message.contains(key), "{code}: {message}");
    }
}

#[tokio::test]
async fn the_controller_reads_secrets_by_name_in_its_own_namespace_alone() {
    log();
    let world = world();
    secret("readable", &world.member.endpoint.server, "x").await;
    let client = world.hub.with_token(&token(&world.hub.admin(), HUB_NAMESPACE, "mcp-hub").await);
    let own = Api::<Secret>::namespaced(client.clone(), HUB_NAMESPACE);
    own.get("readable").await.unwrap();
    assert_eq!(refused("all", own.list(&ListParams::default()).await).0, 403);
    let write = json!({ "data": {} });
    let written = own.patch("readable", &PatchParams::default(), &Patch::Merge(write)).await;
    assert_eq!(refused("writing", written).0, 403);
    for namespace in ["default", "kube-system", "mcp-cluster-known"] {
        let other = Api::<Secret>::namespaced(client.clone(), namespace);
        assert_eq!(refused(namespace, other.get("readable").await).0, 403);
    }
}
