//! How a cluster is registered at a hub and unregistered, from the side of whoever provisions it.

mod leave;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;

use crate::access::{self, AGENT};
use crate::api::{
    BOOTSTRAP_USED, ClusterRegistration, ClusterRegistrationSpec, Condition, ConditionStatus,
    FINALIZER, is_true,
};
use crate::apply::{Applier, apply_status, delete, dynamic};
use crate::credential::{IssuedToken, issue_token};
use crate::error::{Context as _, Error, Result, within};
use crate::install::MANAGER;

pub use leave::{Left, abandon, end_access, end_bootstrap, release, unregister};

/// How long a bootstrap token lasts, in seconds: an hour.
pub const BOOTSTRAP_SECONDS: i64 = 3600;

/// How long the agent of a cluster that is replaced may take to clean up; most no longer run.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes sure that the hub has the registration `name` and the rights that its agent will need, and gives
/// no credential yet. Doing it again changes nothing.
///
/// # Errors
/// If the hub knows another cluster (another `clusterId`) by this name, and `replace` is not given;
/// if a registration of this name is being deleted; if the hub refuses.
pub async fn prepare(
    hub: &Client,
    name: &str,
    spec: &ClusterRegistrationSpec,
    labels: &[(&str, &str)],
    replace: bool,
) -> Result<ClusterRegistration> {
    let api = Api::<ClusterRegistration>::all(hub.clone());
    let found =
        api.get_opt(name).await.context(|| format!("looking for the registration {name}"))?;
    if let Some(found) = found {
        let other = found.spec.cluster_id.is_some() && found.spec.cluster_id != spec.cluster_id;
        if other && replace {
            unregister(hub, name, REPLACE_TIMEOUT, true).await?;
        } else if other {
            return Err(Error::Refused(format!(
                "the hub knows another cluster as {name}: its clusterId is {}, this cluster's is {}; \
                 choose another name, or say that this cluster replaces that one",
                found.spec.cluster_id.unwrap_or_default(),
                spec.cluster_id.as_deref().unwrap_or("not known"),
            )));
        } else if found.is_being_deleted() {
            return Err(Error::Refused(format!(
                "the registration {name} is being deleted; register once it is gone"
            )));
        }
    }
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut wanted = ClusterRegistration::new(name, spec.clone());
    wanted.metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels.collect()),
        finalizers: Some(vec![FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    leave::namespace_gone(hub, name).await?;
    let mut applier = Applier::new(hub.clone(), MANAGER);
    applier.apply(&dynamic(&wanted)?).await?;
    let registration = get(&api, name).await?;
    let owner = owner(&registration)?;
    for object in access::objects(name, &owner)? {
        applier.apply(&object).await?;
    }
    Ok(registration)
}

/// Makes the credential with which an agent of the cluster `name` may ask for its first certificate, once
/// and within an hour. Credentials that were made before end.
///
/// # Errors
/// If there is no such registration, or the hub refuses.
pub async fn bootstrap(hub: &Client, name: &str) -> Result<IssuedToken> {
    let api = Api::<ClusterRegistration>::all(hub.clone());
    let registration = get(&api, name).await?;
    let namespace = access::namespace(name);
    end_bootstrap(hub, name).await?;
    leave::delete_requests(hub, name).await?;
    // The binding may name the bootstrap account, which makes no tokens until its request was approved again.
    let bindings = Api::<RoleBinding>::namespaced(hub.clone(), &namespace);
    delete(&bindings, access::TOKEN_ROLE, &DeleteParams::default()).await?;
    let merge = PatchParams::default();
    let unused = json!({ "metadata": { "annotations": { BOOTSTRAP_USED: null } } });
    let unused = api.patch(name, &merge, &Patch::Merge(unused)).await;
    unused.context(|| format!("preparing {name} for a new credential"))?;
    // The old agent may still send heartbeats; until the new credential is used, nobody has joined.
    let leases = Api::<Lease>::namespaced(hub.clone(), &namespace);
    let reset = leases.patch(AGENT, &merge, &Patch::Merge(json!({ "spec": null }))).await;
    reset.context(|| format!("resetting the Lease of {name}"))?;
    not_joined(hub, name).await?;
    let mut applier = Applier::new(hub.clone(), MANAGER);
    for object in access::bootstrap_objects(name, &owner(&registration)?)? {
        applier.apply(&object).await?;
    }
    issue_token(hub, &namespace, &access::bootstrap_account(name), BOOTSTRAP_SECONDS).await
}

/// Resets the conditions of a cluster that had joined.
async fn not_joined(hub: &Client, name: &str) -> Result<()> {
    let condition = |kind, status| {
        let message = "a new bootstrap credential was made";
        Condition::new(kind, status, "NotJoined", message, None)
    };
    let conditions =
        [condition("Joined", ConditionStatus::False), condition("Ready", ConditionStatus::Unknown)];
    let written = write_conditions(hub, name, MANAGER, &conditions).await;
    written.context(|| format!("resetting the status of {name}"))
}

/// Writes the conditions of `manager` into the status of the registration `name`, and no others.
pub(crate) async fn write_conditions(
    hub: &Client,
    name: &str,
    manager: &str,
    conditions: &[Condition],
) -> Result<(), kube::Error> {
    let api = Api::<ClusterRegistration>::all(hub.clone());
    apply_status(&api, name, manager, &json!({ "conditions": conditions })).await
}

/// Whether the cluster's agent has joined: then there is nothing left to do.
#[must_use]
pub fn has_joined(registration: &ClusterRegistration) -> bool {
    is_true(registration.conditions(), "Joined")
}

/// Whether the hub says that the cluster is Ready.
#[must_use]
pub fn is_ready(registration: &ClusterRegistration) -> bool {
    is_true(registration.conditions(), "Ready")
}

/// Waits until the hub says that the cluster `name` has joined and is ready.
///
/// # Errors
/// If that takes longer than `limit`; the error has what the hub says instead.
pub async fn ready(hub: &Client, name: &str, limit: Duration) -> Result<ClusterRegistration> {
    let api = Api::<ClusterRegistration>::all(hub.clone());
    let joined = |found: Option<&ClusterRegistration>| {
        found.is_some_and(|found| has_joined(found) && is_ready(found))
    };
    let what = format!("waiting until {name} is ready");
    match within(limit, &what, await_condition(api.clone(), name, joined)).await {
        Ok(found) => {
            found.ok_or_else(|| Error::Refused(format!("the registration {name} was deleted")))
        }
        Err(Error::Timeout(what, limit)) => {
            let found = get(&api, name).await?;
            let conditions = found.conditions().iter().map(|one| {
                format!("{} is {:?} ({}: {})", one.kind, one.status, one.reason, one.message)
            });
            let conditions = match conditions.collect::<Vec<_>>() {
                none if none.is_empty() => "the hub's controller reports nothing".to_owned(),
                some => some.join("; "),
            };
            Err(Error::Timeout(format!("{what} ({conditions})"), limit))
        }
        Err(error) => Err(error),
    }
}

async fn get(api: &Api<ClusterRegistration>, name: &str) -> Result<ClusterRegistration> {
    api.get(name).await.context(|| format!("reading the registration {name}"))
}

fn owner(registration: &ClusterRegistration) -> Result<OwnerReference> {
    registration
        .owner_ref(&())
        .ok_or_else(|| Error::Invalid(format!("the hub gave {} no UID", registration.name_any())))
}
