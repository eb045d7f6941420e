//! The clusters that a hub knows, at a glance.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use slipway_agent::access::{self, AGENT};
use slipway_agent::api::{ClusterRegistration, ConditionStatus, REGION, ZONE, find};
use slipway_agent::install::HUB_NAMESPACE;

use super::reach;
use crate::diagnostic::{Result, printable};

/// One cluster, as its hub knows it. Everything that members wrote is escaped.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its region, and its zone after a slash.
    pub region: String,
    /// The version of its API server.
    pub version: String,
    /// Ready and all nodes.
    pub nodes: Option<(i32, i32)>,
    /// `True`, `False` or `Unknown`.
    pub ready: String,
    /// Why it is not Ready.
    pub why: String,
    /// etcd and the API's latency.
    pub health: String,
    /// When its agent last renewed its Lease: it does so by the clock, each `syncInterval`.
    #[serde(rename = "lastBeat")]
    pub last_heartbeat: Option<Timestamp>,
    /// When it last wrote its status, which it does less often while nothing changes.
    pub last_sync: Option<Timestamp>,
    /// When the certificate of its API server runs out.
    pub certificates: Option<Timestamp>,
}

/// All clusters that the hub knows, by name.
///
/// # Errors
/// When the hub does not answer, or is none.
pub async fn clusters(client: &Client) -> Result<Vec<Known>> {
    let api = Api::<ClusterRegistration>::all(client.clone());
    let found = api.list(&ListParams::default()).await;
    let found = found.map_err(|cause| {
        reach::unless_no_hub("this API server", "listing the hub's clusters", cause)
    })?;
    let leases = Api::<Lease>::all(client.clone());
    let agents = ListParams::default().fields(&format!("metadata.name={AGENT}"));
    let leases = leases.list(&agents).await;
    let leases = leases.map_err(|cause| reach::api("listing the agents' Leases", cause))?;
    let heartbeats = heartbeats(&leases.items);
    let heartbeat = |one: &ClusterRegistration| heartbeats.get(&one.name_any()).copied();
    let mut known: Vec<Known> = found.items.iter().map(|one| known(one, heartbeat(one))).collect();
    known.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(known)
}

/// When each cluster's agent last renewed its Lease, which lies in the cluster's own namespace.
fn heartbeats(leases: &[Lease]) -> BTreeMap<String, Timestamp> {
    let heartbeat = |lease: &Lease| {
        let cluster = access::cluster(lease.metadata.namespace.as_deref()?)?.to_owned();
        Some((cluster, lease.spec.as_ref()?.renew_time.as_ref()?.0))
    };
    leases.iter().filter_map(heartbeat).collect()
}

fn known(found: &ClusterRegistration, last_heartbeat: Option<Timestamp>) -> Known {
    let status = found.status.clone().unwrap_or_default();
    let label = |key: &str| found.labels().get(key).map(|value| printable(value));
    let region = [label(REGION), label(ZONE)].into_iter().flatten().collect::<Vec<_>>().join("/");
    let ready = find(&status.conditions, "Ready");
    let health = status.health.clone().unwrap_or_default();
    let told = [
        health.etcd.map(|etcd| format!("etcd {}", printable(&etcd))),
        health.api_latency_millis.map(|millis| format!("API {millis} ms")),
    ];
    Known {
        name: printable(&found.name_any()),
        region,
        version: printable(&status.kubernetes_version.unwrap_or_default()),
        nodes: status.nodes.map(|nodes| (nodes.ready, nodes.total)),
        ready: ready.map_or_else(|| "Unknown".to_owned(), |one| format!("{:?}", one.status)),
        why: ready
            .filter(|one| one.status != ConditionStatus::True)
            .map_or_else(String::new, |one| printable(&format!("{}: {}", one.reason, one.message))),
        health: told.into_iter().flatten().collect::<Vec<_>>().join(", "),
        last_heartbeat,
        last_sync: status.last_sync_time.map(|time| time.0),
        certificates: health.cert_expiry.map(|time| time.0),
    }
}

/// How the hub itself is, in a few lines.
///
/// # Errors
/// When the hub does not answer, or is none.
pub async fn status(client: &Client) -> Result<String> {
    let clusters = clusters(client).await?;
    let asked = |cause| reach::api("looking at the hub's controller", cause);
    let deployments = Api::<Deployment>::namespaced(client.clone(), HUB_NAMESPACE);
    let found = deployments.get_opt("mcp-hub").await.map_err(asked)?;
    let replicas = found.and_then(|one| one.status).map_or_else(
        || "not installed".to_owned(),
        |status| {
            let (ready, all) = (status.ready_replicas, status.replicas);
            format!("{} of {} ready", ready.unwrap_or(0), all.unwrap_or(0))
        },
    );
    let leases = Api::<Lease>::namespaced(client.clone(), HUB_NAMESPACE);
    let lease = leases.get_opt("mcp-hub").await.map_err(asked)?;
    let leader = lease.and_then(|one| one.spec?.holder_identity).unwrap_or_default();
    let count = |word: &str| clusters.iter().filter(|one| one.ready == word).count();
    Ok(format!(
        "controller  {replicas}\nleader      {}\nclusters    {}: {} ready, {} not ready, {} unknown",
        or_dash(printable(&leader)),
        clusters.len(),
        count("True"),
        count("False"),
        count("Unknown"),
    ))
}

/// A table for people, of `clusters` as they are at `now`.
#[must_use]
pub fn table(clusters: &[Known], now: Timestamp) -> String {
    const HEAD: [&str; 8] =
        ["CLUSTER", "READY", "REGION", "VERSION", "NODES", "HEALTH", "REPORTED", "CERTIFICATES"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    for one in clusters {
        rows.push([
            one.name.clone(),
            if one.why.is_empty() {
                one.ready.clone()
            } else {
                format!("{} ({})", one.ready, one.why)
            },
            or_dash(one.region.clone()),
            or_dash(one.version.clone()),
            one.nodes.map_or_else(|| "-".to_owned(), |(ready, all)| format!("{ready}/{all}")),
            or_dash(one.health.clone()),
            one.last_heartbeat
                .or(one.last_sync)
                .map_or_else(|| "-".to_owned(), |at| format!("{} ago", apart(at, now))),
            one.certificates
                .map_or_else(|| "-".to_owned(), |at| format!("{} left", apart(now, at))),
        ]);
    }
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// The time from `one` to `other` in its largest unit, `90d` or `12s`.
fn apart(one: Timestamp, other: Timestamp) -> String {
    let seconds = other.duration_since(one).max(SignedDuration::ZERO).as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600, seconds / 60);
    match () {
        () if days > 1 => format!("{days}d"),
        () if hours > 1 => format!("{hours}h"),
        () if minutes > 1 => format!("{minutes}m"),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn registration(name: &str, last_sync: &str) -> ClusterRegistration {
        serde_json::from_value(json!({
            "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration",
            "metadata": {"name": name}, "spec": {"apiEndpoint": "https://10.0.0.1:6443"},
            "status": {"lastSyncTime": last_sync},
        }))
        .unwrap()
    }

    fn lease(namespace: &str, spec: serde_json::Value) -> Lease {
        let metadata = json!({"name": AGENT, "namespace": namespace});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn the_last_heartbeat_is_shown_not_the_last_change() {
        let leases = [
            lease("mcp-cluster-one", json!({"renewTime": "2026-11-21T12:01:50.000000Z"})),
            // Let in, and not yet heard of.
            lease("mcp-cluster-two", json!({})),
            // Whatever lies elsewhere is no member's.
            lease("default", json!({"renewTime": "2026-11-21T12:01:59.000000Z"})),
        ];
        let heartbeats = heartbeats(&leases);
        let clusters: Vec<Known> = ["one", "two"]
            .iter()
            .map(|name| {
                known(&registration(name, "2026-11-21T12:00:05Z"), heartbeats.get(*name).copied())
            })
            .collect();
        let table = table(&clusters, "2026-11-21T12:02:00Z".parse().unwrap());
        let of = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(of("one").contains("10s ago"), "{table}");
        assert!(of("two").contains("115s ago"), "{table}");
    }
}
