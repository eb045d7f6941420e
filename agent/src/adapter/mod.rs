//! Adapters make other systems know a cluster: for each system, the objects that it gets, as pure
//! functions of the registration. The hub's controller writes them.

mod cluster_profile;
mod karmada;
mod ocm;
mod secret;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use crate::access::CLUSTER_LABEL;
use crate::api::{AdapterKind, ClusterRegistration, GROUP};
use crate::error::Result;

pub use secret::{AdapterSecret, KUBECONFIG, MEMBER_TOKEN};

/// The label that says which cluster an object stands for: the `clusterId` of its registration.
const ID_LABEL: &str = "mcp.platform/cluster-id";

/// What one system gets: one object for each cluster, and what belongs to that.
pub trait Adapter: Sync {
    /// The kind of the object.
    fn resource(&self) -> ApiResource;

    /// The namespace of the hub that the object is written to. `None` where it is written to an API server
    /// of the system's own, outside namespaces; a Secret says how to reach that server.
    fn hub_namespace(&self) -> Option<&'static str> {
        None
    }

    /// What to do where an API server does not serve the kind.
    fn install_hint(&self) -> &'static str;

    /// The object, without what needs an answer of the system's API server.
    fn object(&self, registration: &ClusterRegistration) -> DynamicObject;

    /// The object's status, where the hub is to write that too.
    fn status(&self, _registration: &ClusterRegistration) -> Option<Value> {
        None
    }

    /// What belongs to the object and is deleted with it.
    ///
    /// # Errors
    /// If the registration or the Secret lacks something that the system needs.
    fn companions(&self, _: &ClusterRegistration, _: &AdapterSecret) -> Result<Option<Companions>> {
        Ok(None)
    }
}

/// Secrets that belong to an adapter's object.
pub struct Companions {
    /// Their namespace; one that exists is not changed.
    pub namespace: Namespace,
    /// The Secrets.
    pub secrets: Vec<Secret>,
}

/// The adapter of this kind.
#[must_use]
pub fn adapter(kind: AdapterKind) -> &'static dyn Adapter {
    match kind {
        AdapterKind::Karmada => &karmada::Karmada,
        AdapterKind::OCM => &ocm::Ocm,
        AdapterKind::ClusterProfile => &cluster_profile::Profile,
    }
}

/// An object of the adapter's kind and the cluster's name, labelled as this cluster's, with the
/// registration's own labels.
fn labelled(
    adapter: &dyn Adapter,
    registration: &ClusterRegistration,
    spec: &Value,
) -> DynamicObject {
    let cluster = registration.name_any();
    let mut object = DynamicObject::new(&cluster, &adapter.resource());
    let mut labels = registration.labels().clone();
    labels.insert(ID_LABEL.to_owned(), registration.spec.cluster_id.clone().unwrap_or_default());
    labels.insert(CLUSTER_LABEL.to_owned(), cluster);
    object.metadata.labels = Some(labels);
    object.metadata.namespace = adapter.hub_namespace().map(str::to_owned);
    object.data = json!({ "spec": spec });
    object
}

/// The fields that have a value.
fn without_nulls(mut fields: Value) -> Value {
    if let Some(map) = fields.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    fields
}

/// Whether the hub wrote an object, for the cluster of this registration. An object that was written
/// before the cluster's id was known has none.
#[must_use]
pub fn is_ours(found: &DynamicObject, registration: &ClusterRegistration) -> bool {
    let label = |key: &str| found.labels().get(key).map(String::as_str);
    let id = label(ID_LABEL).unwrap_or_default();
    label(CLUSTER_LABEL) == Some(&registration.name_any())
        && (id.is_empty() || Some(id) == registration.spec.cluster_id.as_deref())
}

/// The annotation of a registration with the name of the Secret that an adapter has written with.
#[must_use]
pub fn record(kind: AdapterKind) -> String {
    format!("{GROUP}/adapter-{}", kind.name())
}

/// The adapters that may have written something for a cluster, each with the name of its Secret.
#[must_use]
pub fn recorded(registration: &ClusterRegistration) -> Vec<(AdapterKind, String)> {
    let secret = |kind| registration.annotations().get(&record(kind)).cloned();
    AdapterKind::ALL.into_iter().filter_map(|kind| Some((kind, secret(kind)?))).collect()
}

/// What other systems may still have of a cluster whose registration is deleted without its adapters.
#[must_use]
pub fn left_behind(registration: &ClusterRegistration) -> Vec<String> {
    let elsewhere = |kind: &AdapterKind| adapter(*kind).hub_namespace().is_none();
    let kinds = recorded(registration).into_iter().map(|(kind, _)| kind).filter(elsewhere);
    let title = |kind: AdapterKind| {
        let resource = adapter(kind).resource();
        format!("{} {} at {}", resource.kind, registration.name_any(), kind.name())
    };
    kinds.map(title).collect()
}

#[cfg(test)]
mod tests;
