//! A hub that is away, and a hub that signs nothing: credentials in hard times.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use slipway_agent::api::{ClusterRegistration, ConditionStatus, CredentialType, find};
use slipway_agent::{install, registration};

use crate::support::keys::claims;
use crate::support::plane::Plane;
use crate::support::world::{Agent, CONTROLLERS, PATIENCE, becomes, controller, log, spec};
use crate::support::{eventually, refused};

/// A field of the agent's Secret.
async fn kept(member: &Plane, agent: &Agent, key: &str) -> Option<String> {
    let secrets = Api::<Secret>::namespaced(member.admin(), agent.namespace());
    let data = secrets.get("mcp-hub").await.ok()?.data?;
    String::from_utf8(data.get(key)?.0.clone()).ok()
}

/// When the agent last renewed its Lease.
async fn renewed(hub: &Plane, cluster: &str) -> Option<Timestamp> {
    let leases = Api::<Lease>::namespaced(hub.admin(), &format!("mcp-cluster-{cluster}"));
    let lease = tokio::time::timeout(Duration::from_secs(5), leases.get("mcp-agent")).await;
    Some(lease.ok()?.ok()?.spec?.renew_time?.0)
}

#[tokio::test]
async fn a_certificate_is_renewed_though_the_hub_was_away_and_no_sync_is_lost_afterwards() {
    log();
    let (hub, member) = tokio::join!(
        Plane::start("renewal-hub", Some(CONTROLLERS)),
        Plane::start("renewal-member", Some(CONTROLLERS)),
    );
    install::hub(&hub.admin(), "slipway-agent:test").await.unwrap();
    let running = controller(&hub, Duration::from_mins(1)).await;
    let mut spec = spec(&member.admin()).await;
    // The shortest that the API allows. The signer backdates a certificate by five minutes, so of its
    // 900 seconds 600 are left at first, and 0.63 of them a good half minute later.
    spec.credential.duration = "600s".to_owned();
    let mut agent = Agent::register(&hub, &member, "renews", &spec).await;
    agent.options().renew_at = 0.63;
    agent.start();
    registration::ready(&hub.admin(), "renews", PATIENCE).await.unwrap();
    let first = kept(&member, &agent, "tls.crt").await.unwrap();
    let key = kept(&member, &agent, "tls.key").await.unwrap();
    // The signer comes back later than the API: that is no reason to take a token.
    agent.kill();
    agent.options().issue_limit = Duration::from_secs(1);
    agent.start();

    let registrations = Api::<ClusterRegistration>::all(hub.admin());
    let joined = async || {
        let status = registrations.get("renews").await.unwrap().status.unwrap();
        find(&status.conditions, "Joined").unwrap().last_transition_time.0
    };
    let since = joined().await;
    // The renewal falls due while the hub is away.
    hub.stop_api();
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(kept(&member, &agent, "tls.crt").await.unwrap(), first);
    hub.start_api().await;
    // The signer takes up to a minute to come back, and the agent asks ever more seldom.
    let second = eventually("a new certificate", PATIENCE * 2, || async {
        kept(&member, &agent, "tls.crt").await.filter(|now| *now != first)
    })
    .await;
    assert_ne!(
        kept(&member, &agent, "tls.key").await.unwrap(),
        key,
        "a new key for each certificate"
    );
    becomes(&hub.admin(), "renews", "Ready", ConditionStatus::True, PATIENCE).await;

    assert_eq!(joined().await, since, "the controller began anew, and knew nobody for a while");

    // From here on no sync is lost, over another renewal.
    let (mut last, mut longest) = (renewed(&hub, "renews").await.unwrap(), 0.0_f64);
    let start = Instant::now();
    let mut third = None;
    while start.elapsed() < Duration::from_mins(4) && third.is_none() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Some(now) = renewed(&hub, "renews").await {
            longest = longest.max((now.as_second() - last.as_second()) as f64);
            last = now;
        }
        third = kept(&member, &agent, "tls.crt").await.filter(|now| *now != second);
    }
    third.expect("another renewal within four minutes");
    assert!(longest < 15.0, "{longest}s between two syncs of an interval of 5s");
    println!("the longest time between two syncs over a renewal: {longest}s");
    // The same client goes on with the new certificate.
    let before = renewed(&hub, "renews").await.unwrap();
    eventually("a sync with the new certificate", PATIENCE, || async {
        renewed(&hub, "renews").await.filter(|now| *now > before)
    })
    .await;
    running.abort();
}

#[tokio::test]
async fn where_the_hub_signs_nothing_a_token_takes_the_certificates_place() {
    log();
    let controllers = CONTROLLERS
        .split(',')
        .filter(|name| !name.contains("certificatesigningrequest-signing"))
        .collect::<Vec<_>>()
        .join(",");
    let (hub, member) = tokio::join!(
        Plane::start("token-hub", Some(&controllers)),
        Plane::start("token-member", Some(CONTROLLERS)),
    );
    install::hub(&hub.admin(), "slipway-agent:test").await.unwrap();
    let crds = Api::<CustomResourceDefinition>::all(hub.admin());
    assert_eq!(crds.list(&Default::default()).await.unwrap().items.len(), 2);
    let running = controller(&hub, Duration::from_secs(3)).await;
    let mut spec = spec(&member.admin()).await;
    let mut agent = Agent::register(&hub, &member, "token", &spec).await;
    agent.options().issue_limit = Duration::from_secs(5);
    agent.start();
    registration::ready(&hub.admin(), "token", PATIENCE).await.unwrap();
    let first = kept(&member, &agent, "token").await.expect("a token");
    assert!(kept(&member, &agent, "tls.crt").await.is_none());
    assert!(kept(&member, &agent, "bootstrap-token").await.is_none());
    let claims = claims(&first);
    assert_eq!(claims["sub"], "system:serviceaccount:mcp-cluster-token:mcp-agent");
    assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 24 * 3600);
    // It renews itself: with a threshold of nearly all its life, soon.
    agent.kill();
    agent.options().renew_at = 0.9999;
    agent.start();
    eventually("another token", PATIENCE, || async {
        kept(&member, &agent, "token").await.filter(|now| *now != first)
    })
    .await;
    becomes(&hub.admin(), "token", "Ready", ConditionStatus::True, PATIENCE).await;
    // Another replica takes over when the leader is gone.
    let second = controller(&hub, Duration::from_secs(3)).await;
    running.abort();
    // Who asked for a token gets one, and waits for no certificate.
    spec.credential.kind = CredentialType::Token;
    let mut asked = Agent::register(&hub, &member, "asked", &spec).await;
    asked.options().issue_limit = Duration::from_hours(1);
    asked.start();
    registration::ready(&hub.admin(), "asked", PATIENCE).await.unwrap();
    kept(&member, &asked, "token").await.expect("a token");
    // A new credential makes no tokens before a request with it was approved.
    let bootstrap = registration::bootstrap(&hub.admin(), "asked").await.unwrap();
    let accounts = hub.with_token(&bootstrap.token);
    let accounts = Api::<ServiceAccount>::namespaced(accounts, "mcp-cluster-asked");
    let made =
        accounts.create_token_request("mcp-agent", &Default::default(), &Default::default()).await;
    assert_eq!(refused("a token at once", made).0, 403);
    second.abort();
}
