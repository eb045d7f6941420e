//! The rule for a kubelet's first client certificate, as a table of those who ask.

use super::super::client::{JOINS_OF, Join};
use super::*;

/// A request to become `node`, as its kubelet writes it.
fn pem(node: &str) -> String {
    pkcs10(subject_of(node), Vec::new())
}

fn subject_of(node: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "system:nodes");
    name.push(DnType::CommonName, format!("system:node:{node}"));
    name
}

/// The request of a joining node, as the API shows it, with its PKCS#10 replaced.
pub(super) fn asks(pem: &str) -> Value {
    let mut object = object(pem);
    object["spec"]["signerName"] = "kubernetes.io/kube-apiserver-client-kubelet".into();
    object["spec"]["usages"] = json!(["digital signature", "client auth"]);
    object["spec"]["username"] = "system:bootstrap:abc123".into();
    let groups = json!(["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"]);
    object["spec"]["groups"] = groups;
    object
}

fn but(key: &str, value: impl Into<Value>) -> Value {
    let mut object = asks(&pem("w-1"));
    object["spec"][key] = value.into();
    object
}

fn verdict(object: Value) -> Verdict {
    super::super::judge(&serde_json::from_value(object).unwrap(), &nodes())
}

#[track_caller]
fn refused(object: Value, expected: &str) {
    match verdict(object) {
        Verdict::Refuse(why) => assert!(why.contains(expected), "{why}"),
        other => panic!("{other:?}, not refused because {expected}"),
    }
}

#[test]
fn a_node_of_the_table_may_join_if_the_cluster_says_so() {
    let join = Join { node: "w-1".to_owned(), token: "abc123".to_owned() };
    assert_eq!(verdict(asks(&pem("w-1"))), Verdict::IfJoining(join.clone()));
    let rsa = json!(["key encipherment", "digital signature", "client auth"]);
    assert_eq!(verdict(but("usages", rsa)), Verdict::IfJoining(join));
}

#[tokio::test]
async fn a_request_made_by_another_library_is_read_alike() {
    let dir = tempfile::tempdir().unwrap();
    let line = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k \
                -subj /O=system:nodes/CN=system:node:w-1";
    let openssl = crate::process::Process::new("openssl").args(line.split_whitespace());
    let pem = openssl.dir(dir.path()).run().await.unwrap().text();
    assert!(matches!(verdict(asks(&format!("{pem}\n"))), Verdict::IfJoining(_)));
}

#[test]
fn a_name_that_is_not_in_the_inventory_is_refused() {
    refused(asks(&pem("w-9")), "`w-9` is not in the table");
    refused(asks(&pem("")), "`` is not in the table");
    refused(asks(&pem("W-1")), "`W-1` is not in the table");
}

#[test]
fn only_a_bootstrap_token_joins() {
    for user in ["kubernetes-admin", "system:bootstrap:", "system:bootstrap:ABC123"] {
        refused(but("username", user), "is no bootstrap token");
    }
    refused(but("username", "system:bootstrap:a -n x"), "is no bootstrap token");
    refused(but("username", "system:serviceaccount:default:x"), "is no bootstrap token");
    // A node's renewals are Kubernetes' own business.
    assert!(matches!(verdict(but("username", "system:node:w-1")), Verdict::Ignore(_)));
}

#[test]
fn nothing_but_a_node_can_be_had() {
    let of = |parts: &[(DnType, &str)]| {
        let mut name = DistinguishedName::new();
        parts.iter().for_each(|(kind, value)| name.push(kind.clone(), *value));
        asks(&pkcs10(name, Vec::new()))
    };
    let (o, cn) = (DnType::OrganizationName, DnType::CommonName);
    let node = "system:node:w-1";
    refused(of(&[(o.clone(), "system:masters"), (cn.clone(), "mallory")]), "`mallory` is no node");
    refused(of(&[(o.clone(), "system:masters"), (cn.clone(), node)]), "organization");
    refused(of(&[(cn.clone(), node)]), "organization");
    refused(of(&[(o.clone(), "system:nodes")]), "is no node");
    let unit = DnType::OrganizationalUnitName;
    refused(of(&[(o, "system:nodes"), (cn, node), (unit, "x")]), "more than name");
    refused(asks(&pkcs10(subject_of("w-1"), vec![dns("w-1")])), "another form");
    refused(asks(&pkcs10(subject_of("w-1"), vec![ip("10.77.0.11")])), "another form");
    refused(but("usages", json!(["client auth", "server auth"])), "`server auth`");
    refused(but("usages", json!(["digital signature"])), "`client auth` is missing");
    refused(but("request", "x"), "no PEM");
}

#[test]
fn the_cluster_says_who_is_joining() {
    let join = |node: &str| Join { node: node.to_owned(), token: "abc123".to_owned() };
    let described = |text: &str| BASE64.encode(text);
    let run = described(&format!("{JOINS_OF}cp-2 w-1"));
    assert_eq!(join("w-1").is_expected(&format!("{run}\n")), Ok(()));
    // A member, by a token of a run that lets others join.
    let refusal = join("cp-1").is_expected(&run).unwrap_err();
    assert_eq!(refusal, "`cp-1` is not joining now");
    assert!(join("w").is_expected(&run).is_err(), "part of a name");
    // The token is gone, or somebody else's.
    for description in ["", "%", &described("by hand"), &described("w-1")] {
        let refusal = join("w-1").is_expected(description).unwrap_err();
        assert!(refusal.contains("none of slipway's"), "{refusal}");
    }
    assert!(join("w-1").is_free("True\n").unwrap_err().contains("is a member"));
    for ready in ["", "False", "Unknown"] {
        assert_eq!(join("w-1").is_free(ready), Ok(()), "{ready}");
    }
}
