//! What the agent reports of its cluster: nodes, capacity, control plane.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::{BodyExt as _, Limited};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

use super::report::{condition, own_conditions};
use super::shared::{CALL_TIMEOUT, Shared};
use crate::api::{
    ClusterRegistration, ClusterRegistrationStatus, Condition, Health, LAST_ETCD_SNAPSHOT, Nodes,
    Resources, clip, put,
};
use crate::error::{Context as _, Error, Result, within};

/// The longest answer of `/readyz?verbose` that is read, in bytes; real ones are far shorter.
const READYZ_LIMIT: usize = 64 * 1024;
/// How often the agent looks at the API server's certificate.
const CERTIFICATE_INTERVAL: Duration = Duration::from_hours(1);
/// The first time that the API refuses: the year 3000.
const TIME_LIMIT: Timestamp = Timestamp::constant(32_503_680_000, 0);
/// How many nodes are listed per call.
const PAGE_SIZE: u32 = 500;

/// What `/readyz` says.
struct Readyz {
    millis: i32,
    ready: bool,
    etcd: Option<String>,
    failed: Vec<String>,
}

/// The agent's part of the status, as of now, without what cannot be found out.
pub(super) async fn status(
    shared: &Shared,
    registration: &ClusterRegistration,
) -> ClusterRegistrationStatus {
    let member = &shared.member;
    let (version, nodes, ready, snapshot, expiry) = tokio::join!(
        within(CALL_TIMEOUT, "reading the API server's version", member.apiserver_version()),
        within(CALL_TIMEOUT, "listing nodes", nodes(member)),
        within(CALL_TIMEOUT, "asking /readyz", readyz(member)),
        within(CALL_TIMEOUT, "reading kube-system", last_snapshot(member)),
        certificate_expiry(shared),
    );
    let mut conditions = own_conditions(registration);
    for new in conditions_now(shared, registration, &ready) {
        put(&mut conditions, new);
    }
    let (counted, capacity, allocatable) = match nodes {
        Ok((counted, capacity, allocatable)) => (Some(counted), Some(capacity), Some(allocatable)),
        Err(error) => {
            tracing::warn!(%error, "cannot count nodes");
            (None, None, None)
        }
    };
    ClusterRegistrationStatus {
        observed_generation: registration.metadata.generation,
        agent_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        kubernetes_version: version.ok().map(|info| clip(&info.git_version, 64)),
        nodes: counted,
        capacity,
        allocatable,
        health: ready.ok().map(|ready| Health {
            api_latency_millis: Some(ready.millis),
            etcd: ready.etcd,
            cert_expiry: expiry.filter(|expiry| *expiry < TIME_LIMIT).map(Time),
            last_etcd_snapshot: snapshot.ok().flatten().map(Time),
        }),
        last_sync_time: None,
        conditions,
    }
}

/// When the last snapshot of etcd was taken, if whoever took it set the annotation.
async fn last_snapshot(member: &Client) -> Result<Option<Timestamp>> {
    let api = Api::<Namespace>::all(member.clone());
    let found = api.get_metadata("kube-system").await;
    let found = found.context(|| "reading kube-system".to_owned())?;
    let noted = found.annotations().get(LAST_ETCD_SNAPSHOT);
    let noted = noted.and_then(|text| text.parse::<Timestamp>().ok());
    Ok(noted.filter(|time| (Timestamp::UNIX_EPOCH..TIME_LIMIT).contains(time)))
}

/// When the API server's certificate expires; from memory, if the agent looked within the hour.
async fn certificate_expiry(shared: &Shared) -> Option<Timestamp> {
    let server = shared.options.api_server.as_ref()?;
    let known = || *shared.certificate.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((expiry, _)) = known().filter(|(_, at)| at.elapsed() < CERTIFICATE_INTERVAL) {
        return Some(expiry);
    }
    match server.certificate_expiry().await {
        Ok(expiry) => {
            let mut known = shared.certificate.lock().unwrap_or_else(PoisonError::into_inner);
            *known = Some((expiry, Instant::now()));
            Some(expiry)
        }
        Err(error) => {
            tracing::warn!(%error, "cannot see the API server's certificate");
            known().map(|(expiry, _)| expiry)
        }
    }
}

/// The agent's conditions as of now.
fn conditions_now(
    shared: &Shared,
    registration: &ClusterRegistration,
    ready: &Result<Readyz>,
) -> Vec<Condition> {
    let set = |kind: &str, holds: bool, reason: &str, message: &str| {
        condition(kind, holds, reason, message, registration)
    };
    let renewal_fails = shared.metrics.renewal_fails.load(Ordering::Relaxed);
    let clock_differs = shared.metrics.clock_differs.load(Ordering::Relaxed);
    vec![
        match ready {
            Ok(ready) if ready.ready => set("ControlPlaneHealthy", true, "Readyz", ""),
            Ok(ready) => {
                let failed = format!("failing: {}", ready.failed.join(", "));
                set("ControlPlaneHealthy", false, "Readyz", &failed)
            }
            Err(error) => set("ControlPlaneHealthy", false, "NoAnswer", &error.to_string()),
        },
        match clock_differs {
            false => set("ClockSynced", true, "Compared", ""),
            true => set(
                "ClockSynced",
                false,
                "Compared",
                "the clocks of hub and member differ by more than five seconds",
            ),
        },
        match renewal_fails {
            false => set("CredentialsRotated", true, "Valid", ""),
            true => set("CredentialsRotated", false, "RenewalFails", "see the agent's log"),
        },
        match shared.is_own(registration) {
            true => set("Degraded", false, "AsMeant", ""),
            false => {
                set("Degraded", true, "OtherCluster", "spec.clusterId is that of another cluster")
            }
        },
    ]
}

/// How many nodes there are, their capacity and what is allocatable.
async fn nodes(member: &Client) -> Result<(Nodes, Resources, Resources)> {
    let api = Api::<Node>::all(member.clone());
    let (mut nodes, mut capacity, mut allocatable) =
        (Nodes { total: 0, ready: 0 }, Sum::default(), Sum::default());
    let mut params = ListParams::default().limit(PAGE_SIZE);
    loop {
        let page = api.list(&params).await.context(|| "listing nodes".to_owned())?;
        for node in &page.items {
            let Some(status) = &node.status else { continue };
            let conditions = status.conditions.as_deref().unwrap_or_default();
            let ready = conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
            nodes.ready = nodes.ready.saturating_add(i32::from(ready));
            capacity.add(status.capacity.as_ref());
            allocatable.add(status.allocatable.as_ref());
        }
        nodes.total =
            nodes.total.saturating_add(i32::try_from(page.items.len()).unwrap_or(i32::MAX));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok((nodes, capacity.resources(), allocatable.resources())),
        }
    }
}

/// Sums over nodes: thousandths of processors, bytes, pods.
#[derive(Default)]
struct Sum {
    cpu: u64,
    memory: u64,
    pods: u64,
}

impl Sum {
    fn add(&mut self, has: Option<&std::collections::BTreeMap<String, Quantity>>) {
        let thousandths = |key: &str| {
            has.and_then(|has| has.get(key))
                .and_then(|quantity| thousandths(&quantity.0))
                .unwrap_or(0)
        };
        self.cpu = self.cpu.saturating_add(thousandths("cpu"));
        self.memory = self.memory.saturating_add(thousandths("memory") / 1000);
        self.pods = self.pods.saturating_add(thousandths("pods") / 1000);
    }

    fn resources(&self) -> Resources {
        Resources {
            cpu: match self.cpu % 1000 {
                0 => format!("{}", self.cpu / 1000),
                _ => format!("{}m", self.cpu),
            },
            memory: format!("{}Mi", self.memory / (1024 * 1024)),
            pods: self.pods.to_string(),
        }
    }
}

/// A quantity as Kubernetes writes it, in thousandths; `None` for other text, and for fractions.
fn thousandths(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor = match unit {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Asks the API server's `/readyz`, as `kubectl get --raw` does.
async fn readyz(member: &Client) -> Result<Readyz> {
    let request = Request::get("/readyz?verbose").body(kube::client::Body::empty());
    let request = request.map_err(|error| Error::Invalid(error.to_string()))?;
    let began = Instant::now();
    let response = member.send(request).await.context(|| "asking /readyz".to_owned())?;
    let ready = response.status().is_success();
    let body = Limited::new(response.into_body(), READYZ_LIMIT).collect().await;
    let millis = i32::try_from(began.elapsed().as_millis()).unwrap_or(i32::MAX).min(1_000_000);
    let body = body.map_err(|error| Error::Invalid(format!("/readyz: {error}")))?.to_bytes();
    let (etcd, failed) = checks(&String::from_utf8_lossy(&body));
    Ok(Readyz { millis, ready, etcd, failed })
}

/// What `/readyz?verbose` says of etcd, and which checks fail.
fn checks(text: &str) -> (Option<String>, Vec<String>) {
    let (mut etcd, mut failed) = (None, Vec::new());
    for line in text.lines() {
        let passed = line.starts_with("[+]");
        let Some(rest) = line.strip_prefix("[+]").or_else(|| line.strip_prefix("[-]")) else {
            continue;
        };
        let (name, said) = rest.split_once(' ').unwrap_or((rest, ""));
        if name == "etcd" {
            etcd = Some(clip(if passed { "ok" } else { said }, 128));
        }
        if !passed {
            failed.push(clip(name, 64));
        }
    }
    (etcd, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let table = [
            ("4", Some(4000)),
            ("3900m", Some(3900)),
            ("16323212Ki", Some(16_323_212_u64 * 1024 * 1000)),
            ("110", Some(110_000)),
            ("", None),
            ("1.5", None),
            ("x", None),
            ("99999999999999999999Ti", None),
        ];
        for (text, expected) in table {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }

    #[test]
    fn checks_of_readyz() {
        let text = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\nreadyz check failed\n";
        let expected = (Some("failed: reason withheld".to_owned()), vec!["etcd".to_owned()]);
        assert_eq!(checks(text), expected);
        assert_eq!(checks("[+]etcd ok\nreadyz check passed\n"), (Some("ok".to_owned()), vec![]));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_quantity_or_not(text: String) {
            let _ = thousandths(&text);
        }

        #[test]
        fn any_answer_is_read(text in "(\\[[+-]\\](etcd|.{0,5}) .{0,9}\n){0,4}.{0,30}") {
            let (etcd, failed) = checks(&text);
            proptest::prop_assert!(etcd.is_none_or(|said| said.chars().count() <= 128));
            proptest::prop_assert!(failed.iter().all(|name| name.chars().count() <= 64));
        }
    }
}
