//! The rights of one cluster at the hub: names and objects, as pure functions of the cluster's name.
//!
//! A bootstrap account may ask for one certificate, under one name. A member may read its own
//! registration and manifest sets and write their status, renew its Lease and its certificate. Neither
//! reads a Secret or writes a spec.

mod request;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::DynamicObject;

use crate::api::GROUP;
use crate::apply::dynamic;
use crate::error::Result;

pub use request::{ParsedRequest, key_of, request, signing_request};

/// The group of all members, the organisation of their certificates.
pub const MEMBERS: &str = "mcp:clusters";
/// The member's account where the hub signs no certificates; also the name of its Lease.
pub const AGENT: &str = "mcp-agent";
/// The role that lets an account make tokens for [`AGENT`].
pub const TOKEN_ROLE: &str = "mcp-token";
/// The signer of client certificates.
pub const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// The label by which all of a cluster's objects at the hub are found.
pub const CLUSTER_LABEL: &str = "mcp.platform/cluster";

/// The namespace of a cluster at the hub.
#[must_use]
pub fn namespace(cluster: &str) -> String {
    format!("mcp-cluster-{cluster}")
}

/// The cluster of a namespace at the hub.
#[must_use]
pub fn cluster(namespace: &str) -> Option<&str> {
    namespace.strip_prefix("mcp-cluster-")
}

/// The account that asks for a cluster's first certificate.
#[must_use]
pub fn bootstrap_account(cluster: &str) -> String {
    format!("mcp-bootstrap-{cluster}")
}

/// The user whom a bootstrap token authenticates.
#[must_use]
pub fn bootstrap_user(cluster: &str) -> String {
    format!("system:serviceaccount:{}:{}", namespace(cluster), bootstrap_account(cluster))
}

/// The user whom a member's certificate authenticates: its common name.
#[must_use]
pub fn member_user(cluster: &str) -> String {
    format!("mcp:cluster:{cluster}:agent")
}

/// The user whom a member's token authenticates.
#[must_use]
pub fn token_user(cluster: &str) -> String {
    format!("system:serviceaccount:{}:{AGENT}", namespace(cluster))
}

/// The names of a cluster's certificate requests: the first, and each renewal. Names of clusters
/// have no dots, so no two clusters share one.
#[must_use]
pub fn request_name(cluster: &str, renewal: bool) -> String {
    format!("mcp.{cluster}.{}", if renewal { "renewal" } else { "bootstrap" })
}

/// The cluster whose request has this name.
#[must_use]
pub fn request_cluster(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("mcp.")?;
    rest.strip_suffix(".bootstrap").or_else(|| rest.strip_suffix(".renewal"))
}

/// The name of the cluster roles and bindings of a member and of its bootstrap account.
#[must_use]
pub fn role_name(cluster: &str, bootstrap: bool) -> String {
    format!("mcp:{}:{cluster}", if bootstrap { "bootstrap" } else { "cluster" })
}

/// All objects that give a member its rights, in the order in which they are applied. The registration
/// `owner` owns them, so the hub's garbage collector removes what the controller does not.
///
/// # Errors
/// None that depends on the name.
pub fn objects(cluster: &str, owner: &OwnerReference) -> Result<Vec<DynamicObject>> {
    let own = namespace(cluster);
    let role = role_name(cluster, false);
    let namespaced = |name: &str| namespaced(cluster, name);
    let member = || Some(vec![user(&member_user(cluster)), account(&own, AGENT)]);
    Ok(vec![
        dynamic(&Namespace {
            metadata: cluster_scoped(cluster, &own, owner),
            ..Namespace::default()
        })?,
        dynamic(&ClusterRole {
            metadata: cluster_scoped(cluster, &role, owner),
            rules: Some(member_rules(cluster)),
            aggregation_rule: None,
        })?,
        dynamic(&ClusterRoleBinding {
            metadata: cluster_scoped(cluster, &role, owner),
            role_ref: role_ref("ClusterRole", &role),
            subjects: member(),
        })?,
        dynamic(&Role { metadata: namespaced(AGENT), rules: Some(own_rules()) })?,
        dynamic(&RoleBinding {
            metadata: namespaced(AGENT),
            role_ref: role_ref("Role", AGENT),
            subjects: member(),
        })?,
        dynamic(&Role {
            metadata: namespaced(TOKEN_ROLE),
            rules: Some(vec![rule(&[""], &["serviceaccounts/token"], &["create"], &[AGENT])]),
        })?,
        dynamic(&unmounted_account(namespaced(AGENT)))?,
        dynamic(&Lease { metadata: namespaced(AGENT), spec: None })?,
    ])
}

/// The objects that let a cluster ask for its first certificate; removed once it has joined.
///
/// # Errors
/// None that depends on the name.
pub fn bootstrap_objects(cluster: &str, owner: &OwnerReference) -> Result<Vec<DynamicObject>> {
    let (own, role) = (namespace(cluster), role_name(cluster, true));
    let bootstrap = bootstrap_account(cluster);
    Ok(vec![
        dynamic(&unmounted_account(namespaced(cluster, &bootstrap)))?,
        dynamic(&ClusterRole {
            metadata: cluster_scoped(cluster, &role, owner),
            rules: Some(request_rules(&request_name(cluster, false), &["get"])),
            aggregation_rule: None,
        })?,
        dynamic(&ClusterRoleBinding {
            metadata: cluster_scoped(cluster, &role, owner),
            role_ref: role_ref("ClusterRole", &role),
            subjects: Some(vec![account(&own, &bootstrap)]),
        })?,
    ])
}

/// The metadata of an object outside the cluster's namespace.
fn cluster_scoped(cluster: &str, name: &str, owner: &OwnerReference) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some([(CLUSTER_LABEL.to_owned(), cluster.to_owned())].into()),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// The metadata of an object in the cluster's namespace.
fn namespaced(cluster: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace(cluster)),
        labels: Some([(CLUSTER_LABEL.to_owned(), cluster.to_owned())].into()),
        ..ObjectMeta::default()
    }
}

/// An account whose tokens are not mounted into pods.
fn unmounted_account(metadata: ObjectMeta) -> ServiceAccount {
    ServiceAccount {
        metadata,
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// Lets a member make tokens for itself, and its bootstrap account the first of them. The hub's controller
/// writes this only where a certificate was approved and not issued.
#[must_use]
pub fn token_binding(cluster: &str) -> RoleBinding {
    let own = namespace(cluster);
    let subjects = vec![
        user(&member_user(cluster)),
        account(&own, AGENT),
        account(&own, &bootstrap_account(cluster)),
    ];
    RoleBinding {
        metadata: namespaced(cluster, TOKEN_ROLE),
        role_ref: role_ref("Role", TOKEN_ROLE),
        subjects: Some(subjects),
    }
}

/// What a member may do outside its namespace.
fn member_rules(cluster: &str) -> Vec<PolicyRule> {
    let mut rules = request_rules(&request_name(cluster, true), &["get", "delete"]);
    rules.extend([
        rule(&[GROUP], &["clusterregistrations"], &["get", "list", "watch"], &[cluster]),
        rule(&[GROUP], &["clusterregistrations/status"], &["patch"], &[cluster]),
    ]);
    rules
}

/// What a member may do in its namespace.
fn own_rules() -> Vec<PolicyRule> {
    vec![
        rule(&["coordination.k8s.io"], &["leases"], &["get", "patch"], &[AGENT]),
        rule(&[GROUP], &["manifestsets"], &["get", "list", "watch"], &[]),
        rule(&[GROUP], &["manifestsets/status"], &["patch"], &[]),
    ]
}

/// Creating certificate requests, and `verbs` on the one that is called `name`.
fn request_rules(name: &str, verbs: &[&str]) -> Vec<PolicyRule> {
    let (group, requests) = (&["certificates.k8s.io"], &["certificatesigningrequests"]);
    vec![rule(group, requests, &["create"], &[]), rule(group, requests, verbs, &[name])]
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]) -> PolicyRule {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(owned(groups)),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        resource_names: (!names.is_empty()).then(|| owned(names)),
        non_resource_urls: None,
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn user(name: &str) -> Subject {
    Subject {
        api_group: Some("rbac.authorization.k8s.io".to_owned()),
        kind: "User".to_owned(),
        name: name.to_owned(),
        namespace: None,
    }
}

fn account(namespace: &str, name: &str) -> Subject {
    Subject {
        api_group: None,
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: Some(namespace.to_owned()),
    }
}
