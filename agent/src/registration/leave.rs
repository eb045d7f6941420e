//! How a cluster leaves: its agent cleans up, its rights are removed, then its registration.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions::is_deleted};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::access;
use crate::adapter;
use crate::api::{ADAPTERS, ClusterRegistration, FINALIZER};
use crate::apply::{delete, ignore_missing};
use crate::error::{Context as _, Error, Result, within};
use crate::install::AGENT_NAMESPACE;

/// How long the namespace of a cluster that left may take to be gone.
const NAMESPACE_TIMEOUT: Duration = Duration::from_mins(2);

/// How a cluster left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// There was no such registration.
    Unknown,
    /// Its agent cleaned up; nothing is left on either side.
    Clean,
    /// Its agent or an adapter did not clean up: this is left in the member, and in other systems.
    Forced(Vec<String>),
}

/// Deletes the registration `name` and waits until its agent has cleaned up and its rights are gone.
/// With `force`, the hub's side is removed after `limit` in any case.
///
/// # Errors
/// If the agent does not clean up within `limit` and `force` is not given, or the hub refuses.
pub async fn unregister(hub: &Client, name: &str, limit: Duration, force: bool) -> Result<Left> {
    let api = Api::<ClusterRegistration>::all(hub.clone());
    let found = api.get_opt(name).await.context(|| format!("reading the registration {name}"))?;
    let Some(uid) = found.and_then(|found| found.uid()) else { return Ok(Left::Unknown) };
    delete(&api, name, &DeleteParams::background()).await?;
    match deleted(api.clone(), name, &uid, limit).await {
        Ok(()) => return Ok(Left::Clean),
        Err(Error::Timeout(..)) if force => {}
        Err(Error::Timeout(..)) => {
            let what = format!(
                "cleaning up after {name} (its agent or the hub's controller does not answer)"
            );
            return Err(Error::Timeout(what, limit));
        }
        Err(error) => return Err(error),
    }
    end_access(hub, name).await?;
    let mut left = vec![
        format!(
            "namespace {AGENT_NAMESPACE}: the agent and its credential, which has no rights now"
        ),
        "objects of ManifestSets whose deletionPolicy is Delete".to_owned(),
    ];
    if let Some(found) = api.get_opt(name).await.context(|| format!("reading {name}"))? {
        remove_finalizers(hub, &found, &[FINALIZER, ADAPTERS]).await?;
        left.extend(adapter::left_behind(&found));
    }
    Ok(Left::Forced(left))
}

/// Removes the agent from its cluster, for where its hub no longer exists. What it applied stays.
/// Returns whether there was one.
///
/// # Errors
/// If the member refuses, or the agent's namespace is not gone within `limit`.
pub async fn abandon(member: &Client, limit: Duration) -> Result<bool> {
    let (api, name) = (Api::<Namespace>::all(member.clone()), AGENT_NAMESPACE);
    let found = api.get_opt(name).await.context(|| format!("reading the namespace {name}"))?;
    let Some(uid) = found.and_then(|found| found.uid()) else { return Ok(false) };
    delete(&api, name, &DeleteParams::background()).await?;
    deleted(api, name, &uid, limit).await.map(|()| true)
}

/// Ends the bootstrap credential of a cluster: its account, with that its tokens, and its rights.
///
/// # Errors
/// If the hub refuses.
pub async fn end_bootstrap(hub: &Client, cluster: &str) -> Result<()> {
    delete_role(hub, &access::role_name(cluster, true)).await?;
    let accounts = Api::<ServiceAccount>::namespaced(hub.clone(), &access::namespace(cluster));
    delete(&accounts, &access::bootstrap_account(cluster), &DeleteParams::default()).await
}

/// Removes all rights of a cluster at the hub. Its certificate still authenticates it until it expires,
/// and allows nothing.
///
/// # Errors
/// If the hub refuses.
pub async fn end_access(hub: &Client, cluster: &str) -> Result<()> {
    delete_role(hub, &access::role_name(cluster, false)).await?;
    end_bootstrap(hub, cluster).await?;
    delete_requests(hub, cluster).await?;
    let namespaces = Api::<Namespace>::all(hub.clone());
    delete(&namespaces, &access::namespace(cluster), &DeleteParams::default()).await
}

/// Deletes a cluster role and the binding of the same name, that one first.
async fn delete_role(hub: &Client, name: &str) -> Result<()> {
    let params = DeleteParams::default();
    delete(&Api::<ClusterRoleBinding>::all(hub.clone()), name, &params).await?;
    delete(&Api::<ClusterRole>::all(hub.clone()), name, &params).await
}

/// Deletes a cluster's certificate requests.
pub(super) async fn delete_requests(hub: &Client, cluster: &str) -> Result<()> {
    let requests = Api::<CertificateSigningRequest>::all(hub.clone());
    for renewal in [false, true] {
        let name = access::request_name(cluster, renewal);
        delete(&requests, &name, &DeleteParams::default()).await?;
    }
    Ok(())
}

/// Removes the controller's finalizer from a registration that is being deleted.
///
/// # Errors
/// If the hub refuses.
pub async fn release(hub: &Client, registration: &ClusterRegistration) -> Result<()> {
    remove_finalizers(hub, registration, &[FINALIZER]).await
}

async fn remove_finalizers(
    hub: &Client,
    registration: &ClusterRegistration,
    finalizers: &[&str],
) -> Result<()> {
    let (api, name) = (Api::<ClusterRegistration>::all(hub.clone()), registration.name_any());
    let others = registration.finalizers().iter().filter(|one| !finalizers.contains(&one.as_str()));
    let patch = json!({ "metadata": {
        "resourceVersion": registration.resource_version(),
        "finalizers": others.collect::<Vec<_>>(),
    }});
    ignore_missing(api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await)
        .context(|| format!("removing finalizers of the registration {name}"))
}

/// Waits until the namespace of a cluster that left under this name is gone.
pub(super) async fn namespace_gone(hub: &Client, cluster: &str) -> Result<()> {
    let (api, name) = (Api::<Namespace>::all(hub.clone()), access::namespace(cluster));
    let found = api.get_opt(&name).await.context(|| format!("reading the namespace {name}"))?;
    let Some(leaving) = found.filter(|one| one.metadata.deletion_timestamp.is_some()) else {
        return Ok(());
    };
    deleted(api, &name, &leaving.uid().unwrap_or_default(), NAMESPACE_TIMEOUT).await
}

/// Waits until the object `name` of this `uid` is gone.
async fn deleted<K>(api: Api<K>, name: &str, uid: &str, limit: Duration) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let what = format!("waiting until {} {name} is gone", K::kind(&()));
    within(limit, &what, await_condition(api, name, is_deleted(uid))).await.map(drop)
}
