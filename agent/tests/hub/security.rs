//! What a stolen or hostile credential tries, one by one, and what the hub answers.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use slipway_agent::access::{request, signing_request, token_binding};
use slipway_agent::api::{ClusterRegistration, ConditionStatus, ManifestSet};
use slipway_agent::credential::IssuedToken;
use slipway_agent::install::HUB_NAMESPACE;
use slipway_agent::registration;

use crate::support::keys::claims;
use crate::support::world::{Agent, PATIENCE, condition, log, spec, token, world};
use crate::support::{eventually, refused};

const NINETY_DAYS: Duration = Duration::from_hours(2160);

async fn prepared(cluster: &str) -> IssuedToken {
    let world = world();
    let spec = spec(&world.member.admin()).await;
    registration::prepare(&world.hub.admin(), cluster, &spec, &[], false).await.unwrap();
    registration::bootstrap(&world.hub.admin(), cluster).await.unwrap()
}

fn pem(cluster: &str) -> String {
    signing_request(cluster, &KeyPair::generate().unwrap()).unwrap()
}

/// What the hub's controller makes of a request.
async fn verdict(name: &str) -> (String, String) {
    let requests = Api::<CertificateSigningRequest>::all(world().hub.admin());
    eventually(&format!("an answer to {name}"), PATIENCE, || async {
        let found = requests.get_opt(name).await.ok()??;
        let condition = found.status?.conditions?.into_iter().next()?;
        Some((condition.type_, condition.message.unwrap_or_default()))
    })
    .await
}

#[tokio::test]
async fn a_bootstrap_credential_asks_for_its_own_certificate_and_nothing_else() {
    log();
    prepared("boot-b").await;
    let bootstrap = prepared("boot-a").await;
    let client = world().hub.with_token(&bootstrap.token);
    let (post, requests) =
        (PostParams::default(), Api::<CertificateSigningRequest>::all(client.clone()));

    // It lasts for an hour at most.
    let claims = claims(&bootstrap.token);
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!(life <= 3600, "{claims}");
    assert!(bootstrap.expires.as_second() - Timestamp::now().as_second() <= 3600);

    // B's request, by its name, by its subject.
    let stolen = request("boot-b", false, pem("boot-b"), NINETY_DAYS);
    let (code, message) = refused("B's name", requests.create(&post, &stolen).await);
    assert!(code == 422 && message.contains("that cluster's own name"), "{message}");
    let stolen = request("boot-a", false, pem("boot-b"), NINETY_DAYS);
    requests.create(&post, &stolen).await.unwrap();
    let (verdict, why) = verdict("mcp.boot-a.bootstrap").await;
    assert_eq!(
        (verdict.as_str(), why.contains("CN=mcp:cluster:boot-a:agent")),
        ("Denied", true),
        "{why}"
    );

    // More than a client certificate of this API server, or for longer.
    for (what, change) in [
        ("signer", json!({ "signerName": "kubernetes.io/kubelet-serving" })),
        ("usages", json!({ "usages": ["client auth", "digital signature"] })),
        ("no limit", json!({ "expirationSeconds": null })),
        ("two years", json!({ "expirationSeconds": 63_072_000 })),
    ] {
        let mut wanted =
            serde_json::to_value(request("boot-a", false, pem("boot-a"), NINETY_DAYS)).unwrap();
        wanted["spec"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let wanted = serde_json::from_value(wanted).unwrap();
        let (code, message) = refused(what, requests.create(&post, &wanted).await);
        assert!(code == 422 && message.contains("mcp-certificate-requests"), "{what}: {message}");
    }

    // Anything else at all.
    let everything = ListParams::default();
    let registrations = Api::<ClusterRegistration>::all(client.clone());
    forbidden("other clusters", registrations.list(&everything).await);
    forbidden("its own", registrations.get("boot-a").await);
    forbidden("requests", requests.list(&everything).await);
    forbidden("B's request", requests.get("mcp.boot-b.bootstrap").await);
    for namespace in ["kube-system", "mcp-system", "mcp-cluster-boot-a", "mcp-cluster-boot-b"] {
        let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
        forbidden("secrets", secrets.list(&everything).await);
        forbidden("a secret", secrets.get("any").await);
        let leases = Api::<Lease>::namespaced(client.clone(), namespace);
        forbidden("a lease", leases.get("mcp-agent").await);
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
        let token = accounts.create_token_request("mcp-agent", &post, &Default::default()).await;
        forbidden("the member's token", token);
    }
    let new = ClusterRegistration::new("boot-c", Default::default());
    forbidden("a new registration", registrations.create(&post, &new).await);
}

#[track_caller]
fn forbidden<T: std::fmt::Debug>(what: &str, answer: Result<T, kube::Error>) {
    let (code, message) = refused(what, answer);
    assert_eq!(code, 403, "{what}: {message}");
}

#[tokio::test]
async fn a_bootstrap_credential_is_good_for_one_certificate() {
    log();
    let world = world();
    let (hub, member) = (world.hub.admin(), world.member.admin());
    let spec = spec(&member).await;
    let first = prepared("twice").await;
    let client = world.hub.with_token(&first.token);
    let requests = Api::<CertificateSigningRequest>::all(client.clone());
    let post = PostParams::default();
    requests.create(&post, &request("twice", false, pem("twice"), NINETY_DAYS)).await.unwrap();
    assert_eq!(verdict("mcp.twice.bootstrap").await.0, "Approved");
    // The same name again, with another key.
    let again = request("twice", false, pem("twice"), NINETY_DAYS);
    let (code, _) = refused("again", requests.create(&post, &again).await);
    assert_eq!(code, 409);
    // Even if somebody removes the first one: it was used.
    let all = Api::<CertificateSigningRequest>::all(hub.clone());
    all.delete("mcp.twice.bootstrap", &Default::default()).await.unwrap();
    requests.create(&post, &again).await.unwrap();
    let (answer, why) = verdict("mcp.twice.bootstrap").await;
    assert!(answer == "Denied" && why.contains("used already"), "{answer}: {why}");
    // A new credential ends the old one, and joining ends the new one.
    let mut agent = Agent::install(&world.hub, &world.member, "twice", &spec).await;
    dead(&client).await;
    let secret = Api::<Secret>::namespaced(member, agent.namespace()).get("mcp-hub").await.unwrap();
    let second = String::from_utf8(secret.data.unwrap()["bootstrap-token"].0.clone()).unwrap();
    agent.start();
    registration::ready(&hub, "twice", PATIENCE).await.unwrap();
    dead(&world.hub.with_token(&second)).await;
}

/// Waits until a token is worth nothing; API servers remember that it was good for ten seconds.
async fn dead(client: &Client) {
    let requests = Api::<CertificateSigningRequest>::all(client.clone());
    eventually("the token is dead", Duration::from_secs(30), || async {
        let (code, _) = refused("dead", requests.get("mcp.none.bootstrap").await);
        (code == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_bootstrap_credential_is_dead_after_its_hour() {
    log();
    let world = world();
    let bootstrap = prepared("late").await;
    let claims = claims(&bootstrap.token);
    let at = |expires: i64| {
        let mut claims = claims.clone();
        let issued = expires - 3600;
        for (claim, value) in [("exp", expires), ("iat", issued), ("nbf", issued)] {
            claims[claim] = json!(value);
        }
        world.hub.with_token(&world.hub.keys.token(&claims))
    };
    let now = Timestamp::now().as_second();
    let wanted = request("late", false, pem("late"), NINETY_DAYS);
    let create = async |client: Client| {
        let requests = Api::<CertificateSigningRequest>::all(client);
        requests.create(&PostParams { dry_run: true, ..Default::default() }, &wanted).await
    };
    let (code, message) = refused("an hour and a minute", create(at(now - 60)).await);
    assert_eq!(code, 401, "{message}");
    // The same token, were it still its hour.
    create(at(now + 600)).await.unwrap();
}

#[tokio::test]
async fn a_member_writes_its_own_status_and_nothing_else() {
    log();
    let world = world();
    let (hub, member) = (world.hub.admin(), world.member.admin());
    let spec = spec(&member).await;
    prepared("own-b").await;
    let mut agent = Agent::joined("own-a", &spec).await;
    agent.kill();
    let client = agent.at_the_hub().await;

    let registrations = Api::<ClusterRegistration>::all(client.clone());
    let params = PatchParams::default();
    assert_eq!(registrations.get("own-a").await.unwrap().spec.api_endpoint, spec.api_endpoint);
    let patch = |patch: Value| Patch::Merge(patch);
    forbidden(
        "its spec",
        registrations
            .patch("own-a", &params, &patch(json!({ "spec": { "accepted": true } })))
            .await,
    );
    forbidden(
        "its labels",
        registrations
            .patch("own-a", &params, &patch(json!({ "metadata": { "labels": { "a": "b" } } })))
            .await,
    );
    forbidden("its end", registrations.delete("own-a", &Default::default()).await);
    forbidden("another's", registrations.get("own-b").await);
    forbidden("all", registrations.list(&ListParams::default()).await);
    let version = json!({ "status": { "agentVersion": "evil" } });
    forbidden(
        "another's status",
        registrations.patch_status("own-b", &params, &patch(version.clone())).await,
    );
    // Its own status may be written, but neither its spec nor its labels through it.
    let sly = json!({
        "metadata": { "labels": { "sly": "yes" }, "finalizers": null },
        "spec": { "accepted": false, "apiEndpoint": "https://evil.example.com" },
        "status": { "agentVersion": "mine" },
    });
    let written = registrations.patch_status("own-a", &params, &patch(sly)).await.unwrap();
    assert_eq!(written.status.unwrap().agent_version.as_deref(), Some("mine"));
    assert!(
        written.spec == spec && !written.metadata.labels.unwrap_or_default().contains_key("sly")
    );
    assert!(written.metadata.finalizers.is_some());
    // What the hub says of it is not its own to say.
    for status in ["True", "False"] {
        let mut conditions = serde_json::to_value(
            registrations.get("own-a").await.unwrap().status.unwrap().conditions,
        )
        .unwrap();
        for condition in conditions.as_array_mut().unwrap() {
            if condition["type"] == "Accepted" {
                condition["status"] = json!(status);
                condition["reason"] = json!("Me");
            }
        }
        let forged = registrations
            .patch_status(
                "own-a",
                &params,
                &patch(json!({ "status": { "conditions": conditions } })),
            )
            .await;
        let (code, message) = refused("a forged condition", forged);
        assert!(code == 422 && message.contains("are the hub's"), "{message}");
    }

    let everything = ListParams::default();
    for namespace in ["mcp-cluster-own-b", "mcp-system", "kube-system"] {
        let leases = Api::<Lease>::namespaced(client.clone(), namespace);
        let renewed = json!({ "spec": { "holderIdentity": "me" } });
        forbidden("another's lease", leases.patch("mcp-agent", &params, &patch(renewed)).await);
        forbidden(
            "sets",
            Api::<ManifestSet>::namespaced(client.clone(), namespace).list(&everything).await,
        );
    }
    let leases = Api::<Lease>::namespaced(client.clone(), "mcp-cluster-own-a");
    forbidden("its lease's end", leases.delete("mcp-agent", &Default::default()).await);
    for namespace in ["mcp-cluster-own-a", "mcp-cluster-own-b", "mcp-system", "kube-system"] {
        forbidden(
            "secrets",
            Api::<Secret>::namespaced(client.clone(), namespace).list(&everything).await,
        );
    }
    let sets = Api::<ManifestSet>::namespaced(client.clone(), "mcp-cluster-own-a");
    let set = ManifestSet::new("x", Default::default());
    forbidden("its own sets", sets.create(&PostParams::default(), &set).await);
    forbidden("namespaces", Api::<Namespace>::all(client.clone()).list(&everything).await);

    // Certificates: not another's name, not another's subject, not its first one again.
    let requests = Api::<CertificateSigningRequest>::all(client.clone());
    let post = PostParams::default();
    for (cluster, renewal) in [("own-b", true), ("own-b", false), ("own-a", false)] {
        let wanted = request(cluster, renewal, pem("own-a"), NINETY_DAYS);
        let (code, message) = refused("another name", requests.create(&post, &wanted).await);
        assert!(code == 422 && message.contains("own name"), "{message}");
    }
    requests.create(&post, &request("own-a", true, pem("own-b"), NINETY_DAYS)).await.unwrap();
    let (answer, why) = verdict("mcp.own-a.renewal").await;
    assert!(answer == "Denied" && why.contains("subject"), "{why}");
    let approval = json!({ "status": { "conditions": [] } });
    forbidden(
        "approval",
        requests.patch_approval("mcp.own-a.renewal", &params, &patch(approval)).await,
    );
    assert_eq!(condition(&hub, "own-b", "Joined").await, Some(ConditionStatus::False));
}

#[tokio::test]
async fn a_hostile_member_can_neither_flood_nor_garble() {
    log();
    let world = world();
    let (hub, member) = (world.hub.admin(), world.member.admin());
    let spec = spec(&member).await;
    let mut agent = Agent::joined("hostile", &spec).await;
    agent.kill();
    let client = agent.at_the_hub().await;
    let registrations = Api::<ClusterRegistration>::all(client.clone());
    let params = PatchParams::default();
    let condition = |message: &str| {
        json!({ "conditions": [{
            "type": "Degraded", "status": "True", "reason": "X", "message": message,
            "lastTransitionTime": "2026-11-21T00:00:00Z",
        }]})
    };
    let resources = |cpu: &str| json!({ "capacity": { "cpu": cpu, "memory": "1Gi", "pods": "1" } });
    let many: Vec<Value> = (0..17)
        .map(|number| {
            let kind = format!("Kind{}", "x".repeat(number));
            json!({ "type": kind, "status": "True", "reason": "X", "message": "", "lastTransitionTime": "2026-11-21T00:00:00Z" })
        })
        .collect();
    for (what, status) in [
        ("long", json!({ "agentVersion": "x".repeat(65) })),
        ("colours", json!({ "kubernetesVersion": "v1\u{1b}[31m" })),
        ("newline", json!({ "kubernetesVersion": "v1\nv2" })),
        ("bidirectional", json!({ "agentVersion": "v1\u{202e}2v" })),
        ("long message", condition(&"x".repeat(513))),
        ("bell", condition("\u{7}")),
        ("quantity", resources("lots")),
        ("control in quantity", resources("4\u{1b}")),
        ("negative", json!({ "nodes": { "total": -1, "ready": 0 } })),
        ("huge", json!({ "nodes": { "total": 99_999_999_999_i64, "ready": 0 } })),
        ("exponent", json!({ "observedGeneration": 1e30 })),
        ("fraction", json!({ "observedGeneration": 0.5 })),
        ("far future", json!({ "lastSyncTime": "9999-12-31T23:59:59Z" })),
        (
            "more digits than there are",
            json!({ "lastSyncTime": "2026-11-21T00:00:00.1234567890123Z" }),
        ),
        ("etcd", json!({ "health": { "etcd": "e".repeat(129) } })),
        ("conditions", json!({ "conditions": many })),
        ("megabytes", json!({ "agentVersion": "x".repeat(2_000_000) })),
    ] {
        // As the agent writes: the conditions of the hub are not touched.
        let apply = json!({
            "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration", "status": status,
        });
        let manager = PatchParams::apply("mcp-agent").force();
        let written = registrations.patch_status("hostile", &manager, &Patch::Apply(apply)).await;
        let (code, message) = refused(what, written);
        assert!(matches!(code, 400 | 413 | 422 | 500), "{what}: {code} {message}");
        // By the definition's own limits, each of which names its field.
        assert!(code != 422 || message.contains("status."), "{what}: {message}");
    }
    // Under ever other names.
    let leases = Api::<Lease>::namespaced(client.clone(), "mcp-cluster-hostile");
    let (mut many, mut more) = (None, None);
    for number in 0..20 {
        let manager = PatchParams::apply(&format!("x{number}")).force();
        let status = Patch::Apply(json!({
            "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration",
            "status": { "agentVersion": "fine" },
        }));
        many = many.or(registrations.patch_status("hostile", &manager, &status).await.err());
        let lease = Patch::Apply(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "spec": { "holderIdentity": "me" },
        }));
        more = more.or(leases.patch("mcp-agent", &manager, &lease).await.err());
    }
    for error in [many, more] {
        let (_, message) = refused::<()>("many managers", Err(error.expect("refused in the end")));
        assert!(message.contains("none to sixteen field managers"), "{message}");
    }
    // Fields that nobody knows are dropped, not kept.
    let junk = json!({ "status": { "junk": "x".repeat(1000), "agentVersion": "fine" } });
    registrations.patch_status("hostile", &params, &Patch::Merge(junk)).await.unwrap();
    let request = http::Request::get("/apis/mcp.platform/v1/clusterregistrations/hostile")
        .body(Vec::new())
        .unwrap();
    let raw: Value = hub.request(request).await.unwrap();
    assert!(raw["status"].get("junk").is_none() && raw["status"]["agentVersion"] == "fine");
    // The controller reads what came through: it still lets others in.
    prepared("hostile-b").await;
    // Its Lease holds what a Lease holds, under a name that it has written it by.
    let params = PatchParams { field_manager: Some("mcp-agent".to_owned()), ..params };
    for (what, patch) in [
        ("annotations", json!({ "metadata": { "annotations": { "x": "y".repeat(200_000) } } })),
        ("labels", json!({ "metadata": { "labels": { "mcp.platform/cluster": "other" } } })),
        ("finalizers", json!({ "metadata": { "finalizers": ["a.example.com/b"] } })),
        ("holder", json!({ "spec": { "holderIdentity": "x".repeat(129) } })),
        ("controls", json!({ "spec": { "holderIdentity": "x\u{1b}[2J" } })),
        ("far future", json!({ "spec": { "renewTime": "9999-12-31T23:59:59.999999Z" } })),
    ] {
        let (code, message) =
            refused(what, leases.patch("mcp-agent", &params, &Patch::Merge(patch)).await);
        assert!(code == 422 && message.contains("mcp-leases"), "{what}: {message}");
    }
    // Dropped or refused, as the hub's version has it.
    let other = Patch::Merge(json!({ "spec": { "preferredHolder": "x".repeat(1_000_000) } }));
    let written = leases.patch("mcp-agent", &params, &other).await;
    assert!(written.is_err() || written.unwrap().spec.unwrap().preferred_holder.is_none());
}

/// A request of `group`'s power, under any name.
fn powerful(name: &str, group: &str) -> CertificateSigningRequest {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, "mallory");
    let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let mut wanted = request("any", false, pem, NINETY_DAYS);
    wanted.metadata.name = Some(name.to_owned());
    wanted
}

#[tokio::test]
async fn the_controllers_own_credential_makes_nobody_an_administrator() {
    log();
    let world = world();
    let admin = world.hub.admin();
    prepared("prize").await;
    let stolen = world.hub.with_token(&token(&admin, HUB_NAMESPACE, "mcp-hub").await);
    let post = PostParams::default();
    let (filed, requests) = (
        Api::<CertificateSigningRequest>::all(admin.clone()),
        Api::<CertificateSigningRequest>::all(stolen.clone()),
    );
    let answer = async |name: &str, kind: &str| {
        let condition = json!({ "type": kind, "status": "True", "reason": "Mine", "message": "" });
        let patch = Patch::Merge(json!({ "status": { "conditions": [condition] } }));
        requests.patch_approval(name, &PatchParams::default(), &patch).await
    };

    // This group's certificates the API server itself does not let anybody ask for.
    let masters = filed.create(&post, &powerful("masters", "system:masters")).await;
    assert_eq!(refused("system:masters", masters).0, 403);
    // kubeadm's administrators may do as much. Whoever filed it, under whatever name.
    for name in ["administrator", "mcp.nobody.bootstrap", "mcp.nobody.renewal", "mcp.a.b.renewal"] {
        filed.create(&post, &powerful(name, "kubeadm:cluster-admins")).await.unwrap();
        let (code, message) = refused(name, answer(name, "Approved").await);
        assert!(code == 422 && message.contains("mcp-hub-approvals"), "{name}: {code} {message}");
        let found = filed.get(name).await.unwrap().status.unwrap_or_default();
        assert!(found.conditions.is_none() && found.certificate.is_none(), "{name}: {found:?}");
    }
    // Nor does it answer others' requests with a no.
    let (code, message) = refused("a denial", answer("administrator", "Denied").await);
    assert!(code == 422 && message.contains("clusters' certificate requests only"), "{message}");
    // Other signers' requests it may not approve by its role.
    let mut serving = powerful("mcp.nobody2.bootstrap", "system:nodes");
    serving.spec.signer_name = "example.com/other".to_owned();
    filed.create(&post, &serving).await.unwrap();
    forbidden("another signer", answer("mcp.nobody2.bootstrap", "Approved").await);

    // It cannot become a cluster either, to ask by its name: not by a binding for itself, not elsewhere.
    let own = json!({ "kind": "ServiceAccount", "name": "mcp-hub", "namespace": HUB_NAMESPACE });
    let mut binding = token_binding("prize");
    binding.subjects.as_mut().unwrap().push(serde_json::from_value(own).unwrap());
    let bindings = |namespace| Api::<RoleBinding>::namespaced(stolen.clone(), namespace);
    let (code, message) =
        refused("a binding", bindings("mcp-cluster-prize").create(&post, &binding).await);
    assert!(code == 422 && message.contains("mcp-hub-token-bindings"), "{code} {message}");
    binding.metadata.namespace = Some("kube-system".to_owned());
    refused("elsewhere", bindings("kube-system").create(&post, &binding).await);
    // As it is meant, it may.
    bindings("mcp-cluster-prize").create(&post, &token_binding("prize")).await.unwrap();
    for namespace in ["mcp-cluster-prize", "kube-system"] {
        let accounts = Api::<ServiceAccount>::namespaced(stolen.clone(), namespace);
        let made = accounts.create_token_request("mcp-agent", &post, &Default::default()).await;
        forbidden("a token", made);
    }
}
