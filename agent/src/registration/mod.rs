//! How a cluster comes to a hub and leaves it, from the side of whoever provisions it.

mod leave;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;
use zeroize::Zeroizing;

use crate::access::{self, AGENT};
use crate::api::{
    BOOTSTRAP_USED, ClusterRegistration, ClusterRegistrationSpec, Condition, ConditionStatus,
    FINALIZER, find,
};
use crate::apply::{Applier, dynamic};
use crate::error::{Context as _, Error, Result};
use crate::install::MANAGER;

pub(crate) use leave::gone;
pub use leave::{Left, abandon, end_access, end_bootstrap, release, unregister};

/// How long a bootstrap token is good for, in seconds: an hour.
pub const BOOTSTRAP_SECONDS: i64 = 3600;

/// How long the agent of a cluster that is replaced may take to clean up; most are no more.
const REPLACED: Duration = Duration::from_secs(10);

/// How long a cluster's name may be at most, as `ClusterRegistration` says.
pub const NAME_LIMIT: usize = 46;

/// The labels of where a cluster is, as Kubernetes names them on nodes
/// (`k8s.io/api/core/v1/well_known_labels.go`).
pub const REGION: &str = "topology.kubernetes.io/region";
/// The same, of its zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// The one-time credential of one cluster.
pub struct Bootstrap {
    /// The token.
    pub token: Zeroizing<String>,
    /// When it stops being good.
    pub expires: Timestamp,
}

/// Makes sure that the hub knows the cluster `name` and has what its agent will need, without letting
/// anybody in yet. Doing it again changes nothing.
///
/// # Errors
/// If the hub knows another cluster (another `clusterId`) by this name, unless that is to be replaced;
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
            unregister(hub, name, REPLACED, true).await?;
        } else if other {
            return Err(Error::Refused(format!(
                "the hub knows another cluster as {name}: its clusterId is {}, this cluster's is {}; \
                 choose another name, or say that this cluster replaces that one",
                found.spec.cluster_id.unwrap_or_default(),
                spec.cluster_id.as_deref().unwrap_or("not known"),
            )));
        } else if found.metadata.deletion_timestamp.is_some() {
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
    leave::settled(hub, name).await?;
    let mut applier = Applier::new(hub.clone(), MANAGER);
    applier.apply(&dynamic(&wanted)?).await?;
    let registration = get(&api, name).await?;
    let owner = owner(&registration)?;
    for object in access::objects(name, &owner)? {
        applier.apply(&object).await?;
    }
    Ok(registration)
}

/// Makes the credential by which an agent of the cluster `name` may ask for its first certificate, once
/// and within an hour. Whatever was made before is dead.
///
/// # Errors
/// If there is no such registration, or the hub refuses.
pub async fn bootstrap(hub: &Client, name: &str) -> Result<Bootstrap> {
    let api = Api::<ClusterRegistration>::all(hub.clone());
    let registration = get(&api, name).await?;
    let namespace = access::namespace(name);
    end_bootstrap(hub, name).await?;
    let requests = Api::<CertificateSigningRequest>::all(hub.clone());
    for renewal in [false, true] {
        let request = access::request_name(name, renewal);
        leave::gone(requests.delete(&request, &DeleteParams::default()).await)
            .context(|| format!("removing the old request {request}"))?;
    }
    // It may name the bootstrap account, which makes no tokens until its request was approved again.
    let bindings = Api::<RoleBinding>::namespaced(hub.clone(), &namespace);
    leave::gone(bindings.delete(access::TOKEN_ROLE, &DeleteParams::default()).await)
        .context(|| format!("taking the right to make tokens from {name}"))?;
    let merge = PatchParams::default();
    let unused = json!({ "metadata": { "annotations": { BOOTSTRAP_USED: null } } });
    let unused = api.patch(name, &merge, &Patch::Merge(unused)).await;
    unused.context(|| format!("preparing {name} for a new credential"))?;
    // From here on nobody has joined, whoever beats: the new credential is not used.
    let leases = Api::<Lease>::namespaced(hub.clone(), &namespace);
    let reset = leases.patch(AGENT, &merge, &Patch::Merge(json!({ "spec": null }))).await;
    reset.context(|| format!("resetting the Lease of {name}"))?;
    not_joined(hub, name).await?;
    let mut applier = Applier::new(hub.clone(), MANAGER);
    for object in access::bootstrap_objects(name, &owner(&registration)?)? {
        applier.apply(&object).await?;
    }
    let accounts = Api::<ServiceAccount>::namespaced(hub.clone(), &namespace);
    let asked = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(BOOTSTRAP_SECONDS),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let account = access::bootstrap_account(name);
    let made = accounts.create_token_request(&account, &PostParams::default(), &asked).await;
    let made = made.context(|| format!("making a token for {account}"))?;
    let Some(status) = made.status else {
        return Err(Error::Invalid(format!("the hub made a token for {account} and hides it")));
    };
    Ok(Bootstrap { token: Zeroizing::new(status.token), expires: status.expiration_timestamp.0 })
}

/// Takes back that a cluster had joined.
async fn not_joined(hub: &Client, name: &str) -> Result<()> {
    let told = "a new bootstrap credential was made";
    let conditions = ["Joined", "Ready"].map(|kind| {
        let status =
            if kind == "Joined" { ConditionStatus::False } else { ConditionStatus::Unknown };
        Condition::new(kind, status, "NotJoined", told, None)
    });
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
    let patch = json!({
        "apiVersion": "mcp.platform/v1", "kind": "ClusterRegistration",
        "status": { "conditions": conditions },
    });
    let params = PatchParams::apply(manager).force();
    let api = Api::<ClusterRegistration>::all(hub.clone());
    api.patch_status(name, &params, &Patch::Apply(patch)).await.map(|_| ())
}

/// Whether the cluster's agent has joined: then there is nothing left to do.
#[must_use]
pub fn has_joined(registration: &ClusterRegistration) -> bool {
    is(registration, "Joined")
}

/// Whether the hub says that the cluster is Ready.
#[must_use]
pub fn is_ready(registration: &ClusterRegistration) -> bool {
    is(registration, "Ready")
}

fn is(registration: &ClusterRegistration, kind: &str) -> bool {
    let conditions = registration.status.as_ref().map(|status| status.conditions.as_slice());
    find(conditions.unwrap_or_default(), kind)
        .is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Waits until the hub says of the cluster `name` that it has joined and is ready.
///
/// # Errors
/// If that does not come true within `limit`; it says what the hub knows instead.
pub async fn ready(hub: &Client, name: &str, limit: Duration) -> Result<ClusterRegistration> {
    let api = Api::<ClusterRegistration>::all(hub.clone());
    let joined = |found: Option<&ClusterRegistration>| {
        found.is_some_and(|found| has_joined(found) && is_ready(found))
    };
    let waited = tokio::time::timeout(limit, await_condition(api.clone(), name, joined)).await;
    match waited {
        Ok(Ok(Some(registration))) => Ok(registration),
        Ok(Ok(None)) => Err(Error::Refused(format!("the registration {name} was deleted"))),
        Ok(Err(error)) => Err(Error::Refused(format!("waiting for {name}: {error}"))),
        Err(_) => {
            let found = get(&api, name).await?;
            let conditions = found.status.map(|status| status.conditions).unwrap_or_default();
            let told = conditions.iter().map(|one| {
                format!("{} is {:?} ({}: {})", one.kind, one.status, one.reason, one.message)
            });
            let told = told.collect::<Vec<_>>().join("; ");
            let told = if told.is_empty() { "the hub's controller says nothing" } else { &told };
            Err(Error::Timeout(format!("joining of {name} ({told})"), limit))
        }
    }
}

async fn get(api: &Api<ClusterRegistration>, name: &str) -> Result<ClusterRegistration> {
    api.get(name).await.context(|| format!("reading the registration {name}"))
}

fn owner(
    registration: &ClusterRegistration,
) -> Result<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    registration
        .owner_ref(&())
        .ok_or_else(|| Error::Invalid(format!("the hub gave {} no UID", registration.name_any())))
}
