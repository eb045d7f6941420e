//! What probes make of answers of the API, as a real shell says it.

use super::Probe;

/// Exit code and output of a probe, where the API gives these answers: bodies, and a status after each.
#[expect(clippy::disallowed_methods, reason = "asks a real shell")]
fn ask(probe: &Probe, answers: &[(&str, &str)]) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let said: Vec<String> =
        answers.iter().map(|(body, status)| format!("{body}\n\n{status}\n")).collect();
    std::fs::write(dir.path().join("answers"), said.concat()).unwrap();
    let text = probe.text().replace(crate::command::api!(), "api() { cat answers; }\n");
    assert_ne!(text, probe.text(), "it asks nobody");
    let mut sh = std::process::Command::new("sh");
    sh.args(["-c", &text, "sh"]).args(probe.words()).current_dir(dir.path());
    let out = sh.output().unwrap();
    (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap())
}

fn list(kind: &str, items: &[&str]) -> String {
    format!(r#"{{"kind":"{kind}List","apiVersion":"v1","items":[{}]}}"#, items.join(","))
}

/// Names of the objects of a look at the cluster's health, if it is one.
fn healthy(nodes: &str, pods: &str, services: (&str, &str)) -> Option<Vec<String>> {
    let (deployments, daemons) = (list("Deployment", &[]), list("DaemonSet", &[]));
    let lists = [nodes, pods, &deployments, &daemons].map(|list| (list, "200.0"));
    let (code, said) = ask(&Probe::health(), &[&lists[..], &[services]].concat());
    let object = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let name = |line: &str| object(line)["metadata"]["name"].as_str().unwrap().to_owned();
    (code == 0).then(|| said.lines().map(name).collect())
}

#[test]
fn objects_come_whole_whatever_they_say() {
    // A kubelet lists images without a name so; a person may write anything, and names templates.
    let one = r#"{"metadata":{"name":"cp-1"},"status":{"images":[{"names":["a@b","a:1"],"sizeBytes":7},{"names":null,"sizeBytes":3}]}}"#;
    let two = r#"{"metadata":{"name":"w-1","annotations":{"a":",{\"metadata\":{\"name\":\"x\"}]}"}},"status":{"images":[{"names":null,"sizeBytes":3},{"names":["c"],"sizeBytes":1}]}}"#;
    let ready = |name: &str, labels: &str, ready: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{{labels}}}}},"status":{{"conditions":[{{"type":"Ready","observedGeneration":1,"status":"{ready}"}}]}}}}"#
        )
    };
    let pods = [
        ready("kube-proxy-a", "", "True"),
        ready("kube-proxy-b", "", "False"),
        ready("coredns-a", r#""k8s-app":"kube-dns""#, "True"),
        ready("etcd-cp-1", "", "True"),
    ];
    let pods = list("Pod", &pods.each_ref().map(String::as_str));
    let service = list(
        "APIService",
        &[r#"{"metadata":{"name":"v1."},"spec":{"template":{"metadata":{"name":"t"}}}}"#],
    );
    let found = healthy(&list("Node", &[one, two]), &pods, (&service, "200.0")).unwrap();
    assert_eq!(found, ["cp-1", "w-1", "kube-proxy-b", "coredns-a", "etcd-cp-1", "v1."]);
}

#[test]
fn an_answer_that_is_not_whole_is_none() {
    let (nodes, none) = (list("Node", &[r#"{"metadata":{"name":"a"}}"#]), list("Pod", &[]));
    for status in ["200.18", "403.0", "500.0", "000.7"] {
        let cut =
            r#"{"kind":"APIServiceList","items":[{"metadata":{"name":"v1."}},{"metadata":{"na"#;
        assert_eq!(healthy(&nodes, &none, (cut, status)), None, "{status}");
        assert_eq!(
            ask(&Probe::tokens(), &[(r#"{"kind":"SecretList","items":[{"metadata""#, status)]).0,
            1
        );
        let namespace = r#"{"metadata":{"name":"kube-system","uid":"u"}}"#;
        let both = [(namespace, "200.0"), (r#"{"data":{"cluster":"YQ==","#, status)];
        assert_eq!(ask(&Probe::registration(), &both).0, 1, "{status}");
        assert_eq!(ask(&Probe::object("/x"), &[(r#"{"a""#, status)]).0, 1, "{status}");
        assert_eq!(ask(&Probe::cluster_role_binding("x"), &[("{}", status)]).0, 1, "{status}");
    }
    assert!(healthy(&nodes, &none, (&list("APIService", &[]), "200.0")).is_some());
}

#[test]
fn a_tokens_secret_half_is_not_told() {
    let secret = r#"{"metadata":{"name":"bootstrap-token-abcdef","annotations":{"data":"{\"description\":\"x\"}"}},"data":{"description":"am9pbnM=","token-id":"YWJj","token-secret":"c2VjcmV0"}}"#;
    let other =
        r#"{"metadata":{"name":"bootstrap-token-uvwxyz"},"data":{"token-secret":"c2VjcmV0"}}"#;
    let (code, said) = ask(&Probe::tokens(), &[(&list("Secret", &[secret, other]), "200.0")]);
    assert_eq!(
        (code, said.as_str()),
        (0, "bootstrap-token-abcdef am9pbnM=\nbootstrap-token-uvwxyz \n")
    );
}

#[test]
fn an_agents_credential_is_not_told() {
    let namespace = (r#"{"metadata":{"name":"kube-system","uid":"u-1"}}"#, "200.0");
    let with = |data: &str| {
        let secret = format!(r#"{{"kind":"Secret","data":{{{data}}},"type":"Opaque"}}"#);
        ask(&Probe::registration(), &[namespace, (&secret, "200.0")])
    };
    let told = r#""ca.crt":"Yw==","cluster":"YQ==","server":"Yg==""#;
    assert_eq!(
        with(&format!(r#"{told},"token":"c2VjcmV0""#)),
        (0, "u-1\nYQ== Yg== Yw== credential\n".to_owned())
    );
    assert_eq!(with(told), (0, "u-1\nYQ== Yg== Yw==\n".to_owned()));
    let none = ask(&Probe::registration(), &[namespace, (r#"{"kind":"Status"}"#, "404.0")]);
    assert_eq!(none, (0, "u-1\n".to_owned()));
}
