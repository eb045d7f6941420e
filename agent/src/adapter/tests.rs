//! What other systems get, and which Secrets are accepted.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::*;

fn registration(change: &Value) -> ClusterRegistration {
    let mut all = json!({
        "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration",
        "metadata": {
            "name": "east", "uid": "u", "creationTimestamp": "2026-11-21T00:00:00Z",
            "labels": { "topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z" },
        },
        "spec": {
            "apiEndpoint": "https://api.example.com:6443", "caData": "UEVN", "syncInterval": "10s",
            "clusterId": "6f1c", "accepted": true,
        },
    });
    for (pointer, value) in change.as_object().unwrap() {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        all.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn object(kind: AdapterKind, change: &Value) -> Value {
    serde_json::to_value(adapter(kind).object(&registration(change))).unwrap()
}

fn data(kubeconfig: &str) -> BTreeMap<String, ByteString> {
    [(KUBECONFIG, kubeconfig), (MEMBER_TOKEN, "member-token\n")]
        .map(|(key, value)| (key.to_owned(), ByteString(value.into())))
        .into()
}

const KUBECONFIG_FILE: &str = r"
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: 'https://karmada.example.com', certificate-authority-data: UEVN}}]
users: [{name: u, user: {token: the-token}}]
";

#[test]
fn each_system_gets_its_own_kind() {
    let labels = json!({
        "topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z",
        "mcp.platform/cluster": "east", "mcp.platform/cluster-id": "6f1c",
    });
    assert_eq!(
        object(AdapterKind::Karmada, &json!({})),
        json!({
            "apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster",
            "metadata": { "name": "east", "labels": labels },
            "spec": {
                "id": "6f1c", "syncMode": "Push", "apiEndpoint": "https://api.example.com:6443",
                "secretRef": { "namespace": "karmada-cluster", "name": "mcp.east" },
                "impersonatorSecretRef": { "namespace": "karmada-cluster", "name": "mcp.east.impersonator" },
                "region": "r", "zones": ["z"],
            },
        })
    );
    assert_eq!(
        object(AdapterKind::OCM, &json!({})),
        json!({
            "apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster",
            "metadata": { "name": "east", "labels": labels },
            "spec": {
                "hubAcceptsClient": true, "leaseDurationSeconds": 10,
                "managedClusterClientConfigs": [
                    { "url": "https://api.example.com:6443", "caBundle": "UEVN" },
                ],
            },
        })
    );
    let profile = object(AdapterKind::ClusterProfile, &json!({}));
    assert_eq!(profile["metadata"]["namespace"], "mcp-system");
    assert_eq!(profile["metadata"]["labels"]["x-k8s.io/cluster-manager"], "mcp");
    assert_eq!(profile["metadata"]["ownerReferences"][0]["name"], "east");
    assert_eq!(profile["spec"]["clusterManager"]["name"], "mcp");
}

#[test]
fn a_profile_reports_health_only_while_the_cluster_is_ready() {
    let reported = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": reason,
            "lastTransitionTime": "2026-11-21T00:00:00Z",
        })
    };
    let healthy = reported("ControlPlaneHealthy", "True", "Healthy");
    for (conditions, status, reason) in [
        (json!([]), "Unknown", "NotReported"),
        (json!([healthy]), "Unknown", "NotReported"),
        (json!([reported("Ready", "True", "Synced")]), "Unknown", "NotReported"),
        (json!([healthy, reported("Ready", "True", "Synced")]), "True", "Healthy"),
        (json!([healthy, reported("Ready", "Unknown", "SyncMissed")]), "Unknown", "SyncMissed"),
        (
            json!([
                reported("ControlPlaneHealthy", "False", "Sick"),
                reported("Ready", "True", "x")
            ]),
            "False",
            "Sick",
        ),
    ] {
        let change =
            json!({ "/status": { "conditions": conditions, "kubernetesVersion": "v1.37.2" } });
        let written = adapter(AdapterKind::ClusterProfile).status(&registration(&change)).unwrap();
        assert_eq!(written["version"]["kubernetes"], "v1.37.2");
        let condition = &written["conditions"][0];
        assert_eq!((&condition["status"], &condition["reason"]), (&json!(status), &json!(reason)));
    }
}

#[test]
fn only_objects_that_were_written_for_this_cluster_are_ours() {
    let ours = registration(&json!({}));
    let found = |labels: Value| {
        let object = json!({ "metadata": { "name": "east", "labels": labels } });
        is_ours(&serde_json::from_value(object).unwrap(), &ours)
    };
    let label = "mcp.platform/cluster";
    assert!(is_ours(&adapter(AdapterKind::OCM).object(&ours), &ours));
    assert!(found(json!({ label: "east", "mcp.platform/cluster-id": "" })));
    assert!(!found(json!({})));
    assert!(!found(json!({ label: "west", "mcp.platform/cluster-id": "6f1c" })));
    assert!(!found(json!({ label: "east", "mcp.platform/cluster-id": "other" })));
}

#[test]
fn karmada_gets_both_tokens_or_an_error_that_names_what_is_missing() {
    let karmada = adapter(AdapterKind::Karmada);
    let mut data = data(KUBECONFIG_FILE);
    let made = |data: &BTreeMap<_, _>, change: &Value| {
        karmada.companions(&registration(change), &AdapterSecret::read(data).unwrap())
    };
    let token = |data: &BTreeMap<_, _>, number: usize| {
        let secrets = made(data, &json!({})).unwrap().unwrap().secrets;
        String::from_utf8(secrets[number].data.as_ref().unwrap()["token"].0.clone()).unwrap()
    };
    assert_eq!((token(&data, 0), token(&data, 1)), ("member-token".into(), "member-token".into()));
    data.insert("impersonatorToken".to_owned(), ByteString(b"other".into()));
    assert_eq!((token(&data, 0), token(&data, 1)), ("member-token".into(), "other".into()));
    let refused =
        |data: &BTreeMap<_, _>, change: &Value| made(data, change).err().unwrap().to_string();
    assert!(refused(&data, &json!({ "/spec/caData": "" })).contains("caData"));
    data.remove(MEMBER_TOKEN);
    assert!(refused(&data, &json!({})).contains("memberToken"));
}

#[test]
fn a_kubeconfig_is_inline_or_refused_without_repeating_it() {
    let read = |text: &str| AdapterSecret::read(&data(text));
    let good = read(KUBECONFIG_FILE).ok().unwrap();
    assert_eq!(good.endpoint.server, "https://karmada.example.com");
    assert_eq!(good.endpoint.ca, b"PEM");
    let pair = "{client-certificate-data: UEVN, client-key-data: UEVN}";
    assert!(read(&KUBECONFIG_FILE.replace("{token: the-token}", pair)).is_ok());
    for (is, becomes) in [
        ("https://", "http://"),
        ("UEVN", "''"),
        ("UEVN", "'***'"),
        ("current-context: c", "current-context: other"),
        ("token: the-token", "exec: {command: sh, args: [the-token]}"),
        ("token: the-token", "tokenFile: /var/run/secrets/the-token"),
        ("token: the-token", "client-key-data: UEVN"),
        ("token: the-token", "token: [the-token]"),
        ("current-context: c", "the-token"),
    ] {
        let error = read(&KUBECONFIG_FILE.replace(is, becomes)).err().unwrap().to_string();
        assert!(error.contains("kubeconfig") && !error.contains("the-token"), "{becomes}: {error}");
    }
    assert!(AdapterSecret::read(&BTreeMap::new()).is_err());
}

#[test]
fn secrets_that_a_server_repeats_are_redacted() {
    let secret = AdapterSecret::read(&data(KUBECONFIG_FILE)).ok().unwrap();
    let text = "bad header: Bearer the-token; bad Secret: bWVtYmVyLXRva2Vu";
    assert_eq!(secret.redact(text), "bad header: Bearer (hidden); bad Secret: (hidden)");
}

proptest::proptest! {
    #[test]
    fn any_secret_is_read_or_refused(text: String, at in 0..KUBECONFIG_FILE.len(), bytes: Vec<u8>) {
        let _ = AdapterSecret::read(&data(&text));
        let mut changed = KUBECONFIG_FILE.as_bytes().to_vec();
        changed.splice(at..at, bytes);
        let data = [(KUBECONFIG.to_owned(), ByteString(changed))].into();
        let _ = AdapterSecret::read(&data);
    }
}
