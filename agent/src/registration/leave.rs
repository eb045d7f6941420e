//! How a cluster leaves: its agent cleans up, its rights go, the registration goes.

use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions::is_deleted};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::access;
use crate::api::{ClusterRegistration, FINALIZER, NEIGHBOURS};
use crate::error::{Context as _, Error, Result};
use crate::install::AGENT_NAMESPACE;
use crate::neighbour;

/// How a cluster left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// There was no such registration.
    Unknown,
    /// Its agent cleaned up; nothing is left on either side.
    Clean,
    /// Its agent or a neighbour did not answer: this is left in the member, and elsewhere.
    Forced(Vec<String>),
}

/// Deletes the registration `name` and waits until its agent has cleaned up and its rights are gone.
/// With `force`, the hub's side is removed after `limit` in any case.
///
/// # Errors
/// If the agent does not answer within `limit` and `force` is not given, or the hub refuses.
pub async fn unregister(hub: &Client, name: &str, limit: Duration, force: bool) -> Result<Left> {
    let api = Api::<ClusterRegistration>::all(hub.clone());
    let found = api.get_opt(name).await.context(|| format!("reading the registration {name}"))?;
    let Some(uid) = found.and_then(|found| found.uid()) else { return Ok(Left::Unknown) };
    gone(api.delete(name, &DeleteParams::background()).await)
        .context(|| format!("deleting the registration {name}"))?;
    let deleted = await_condition(api.clone(), name, is_deleted(&uid));
    match tokio::time::timeout(limit, deleted).await {
        Ok(Ok(_)) => return Ok(Left::Clean),
        Ok(Err(error)) => return Err(Error::Refused(format!("waiting for {name} to go: {error}"))),
        Err(_) if !force => {
            return Err(Error::Timeout(
                format!("cleaning up of {name}: its agent or the hub's controller does not answer"),
                limit,
            ));
        }
        Err(_) => {}
    }
    end_access(hub, name).await?;
    let mut left = vec![
        format!(
            "namespace {AGENT_NAMESPACE}: the agent and its credential, which is worth nothing now"
        ),
        "objects of ManifestSets whose deletionPolicy is Delete".to_owned(),
    ];
    if let Some(found) = api.get_opt(name).await.context(|| format!("reading {name}"))? {
        without(hub, &found, &[FINALIZER, NEIGHBOURS]).await?;
        left.extend(neighbour::left(&found));
    }
    Ok(Left::Forced(left))
}

/// Removes the agent from its cluster, where there is no hub any more to ask it to. What it applied stays.
/// Returns whether there was one.
///
/// # Errors
/// If the member refuses, or the agent's namespace is not gone within `limit`.
pub async fn abandon(member: &Client, limit: Duration) -> Result<bool> {
    let (api, name) = (Api::<Namespace>::all(member.clone()), AGENT_NAMESPACE);
    let found = api.get_opt(name).await.context(|| format!("reading the namespace {name}"))?;
    let Some(uid) = found.and_then(|found| found.uid()) else { return Ok(false) };
    gone(api.delete(name, &DeleteParams::background()).await)
        .context(|| format!("removing the namespace {name}"))?;
    within(limit, name, await_condition(api, name, is_deleted(&uid))).await.map(|()| true)
}

/// Waits for a namespace to go.
async fn within<T>(
    limit: Duration,
    name: &str,
    gone: impl Future<Output = Result<T, kube::runtime::wait::Error>>,
) -> Result<()> {
    match tokio::time::timeout(limit, gone).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Error::Refused(format!("waiting for {name} to go: {error}"))),
        Err(_) => Err(Error::Timeout(format!("removal of the namespace {name}"), limit)),
    }
}

/// Ends the bootstrap credential of a cluster: its account (so its tokens) and its rights.
///
/// # Errors
/// If the hub refuses.
pub async fn end_bootstrap(hub: &Client, cluster: &str) -> Result<()> {
    let (params, role) = (DeleteParams::default(), access::role_name(cluster, true));
    let bindings = Api::<ClusterRoleBinding>::all(hub.clone());
    gone(bindings.delete(&role, &params).await).context(|| format!("removing {role}"))?;
    let roles = Api::<ClusterRole>::all(hub.clone());
    gone(roles.delete(&role, &params).await).context(|| format!("removing {role}"))?;
    let accounts = Api::<ServiceAccount>::namespaced(hub.clone(), &access::namespace(cluster));
    let account = access::bootstrap_account(cluster);
    gone(accounts.delete(&account, &params).await).context(|| format!("removing {account}"))
}

/// Takes all rights of a cluster at the hub away. Its certificate says who it is until it runs out, and
/// gives it nothing.
///
/// # Errors
/// If the hub refuses.
pub async fn end_access(hub: &Client, cluster: &str) -> Result<()> {
    let (params, role) = (DeleteParams::default(), access::role_name(cluster, false));
    let bindings = Api::<ClusterRoleBinding>::all(hub.clone());
    gone(bindings.delete(&role, &params).await).context(|| format!("removing {role}"))?;
    let roles = Api::<ClusterRole>::all(hub.clone());
    gone(roles.delete(&role, &params).await).context(|| format!("removing {role}"))?;
    end_bootstrap(hub, cluster).await?;
    let requests = Api::<CertificateSigningRequest>::all(hub.clone());
    for renewal in [false, true] {
        let name = access::request_name(cluster, renewal);
        gone(requests.delete(&name, &params).await).context(|| format!("removing {name}"))?;
    }
    let (namespaces, own) = (Api::<Namespace>::all(hub.clone()), access::namespace(cluster));
    gone(namespaces.delete(&own, &params).await).context(|| format!("removing {own}"))
}

/// Lets a registration that is being deleted go.
///
/// # Errors
/// If the hub refuses.
pub async fn release(hub: &Client, registration: &ClusterRegistration) -> Result<()> {
    without(hub, registration, &[FINALIZER]).await
}

/// Takes `finalizers` away from a registration.
async fn without(
    hub: &Client,
    registration: &ClusterRegistration,
    finalizers: &[&str],
) -> Result<()> {
    let (api, name) = (Api::<ClusterRegistration>::all(hub.clone()), registration.name_any());
    let kept = |one: &&String| !finalizers.contains(&one.as_str());
    let others: Vec<&String> = registration.finalizers().iter().filter(kept).collect();
    let patch = json!({ "metadata": {
        "resourceVersion": registration.resource_version(), "finalizers": others,
    }});
    gone(api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await)
        .context(|| format!("letting the registration {name} go"))
}

/// Waits until the namespace of a cluster that left under this name is gone.
pub(super) async fn settled(hub: &Client, cluster: &str) -> Result<()> {
    const LIMIT: Duration = Duration::from_mins(2);
    let (api, name) = (Api::<Namespace>::all(hub.clone()), access::namespace(cluster));
    let found = api.get_opt(&name).await.context(|| format!("reading the namespace {name}"))?;
    let Some(going) = found.filter(|one| one.metadata.deletion_timestamp.is_some()) else {
        return Ok(());
    };
    let uid = going.uid().unwrap_or_default();
    within(LIMIT, &name, await_condition(api, &name, is_deleted(&uid))).await
}

/// What is gone already need not go.
pub(crate) fn gone<T>(done: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match done {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
