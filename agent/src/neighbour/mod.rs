//! Other systems that are to know a cluster: what each of them is told, as pure functions. The hub's
//! controller writes it there.

mod cluster_profile;
mod held;
mod karmada;
mod ocm;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use crate::access::CLUSTER_LABEL;
use crate::api::{AdapterKind, ClusterRegistration, GROUP};
use crate::error::Result;

pub use held::{Held, KUBECONFIG, MEMBER_TOKEN};

/// The label that says which cluster an object stands for: the `clusterId` of its registration.
const ID_LABEL: &str = "mcp.platform/cluster-id";

/// A system that can know a cluster, by one object for each.
pub trait Neighbour: Sync {
    /// The kind of that object.
    fn resource(&self) -> ApiResource;

    /// The namespace of the hub that the object is written to. `None`: it goes to an API server of the
    /// neighbour's own, where it is in no namespace, and a Secret says how that is reached.
    fn home(&self) -> Option<&'static str> {
        None
    }

    /// What to do where an API server does not serve the kind.
    fn missing(&self) -> &'static str;

    /// The object, without what only the neighbour's own API server can add.
    fn object(&self, registration: &ClusterRegistration) -> DynamicObject;

    /// The object's status, where it is not the neighbour that writes it.
    fn status(&self, _registration: &ClusterRegistration) -> Option<Value> {
        None
    }

    /// What belongs to the object and goes with it.
    ///
    /// # Errors
    /// If registration or Secret lack something that the neighbour cannot do without.
    fn companions(&self, _: &ClusterRegistration, _: &Held) -> Result<Option<Companions>> {
        Ok(None)
    }
}

/// Secrets that belong to a neighbour's object.
pub struct Companions {
    /// Where they are; stays as it is where there is one already.
    pub namespace: Namespace,
    /// The Secrets.
    pub secrets: Vec<Secret>,
}

/// The neighbour that an adapter stands for.
#[must_use]
pub fn neighbour(kind: AdapterKind) -> &'static dyn Neighbour {
    match kind {
        AdapterKind::Karmada => &karmada::Karmada,
        AdapterKind::OCM => &ocm::Ocm,
        AdapterKind::ClusterProfile => &cluster_profile::Profile,
    }
}

/// An object of this name and kind, marked as this cluster's, with the registration's own labels.
fn marked(
    neighbour: &dyn Neighbour,
    registration: &ClusterRegistration,
    spec: &Value,
) -> DynamicObject {
    let cluster = registration.name_any();
    let mut object = DynamicObject::new(&cluster, &neighbour.resource());
    let mut labels = registration.labels().clone();
    labels.insert(ID_LABEL.to_owned(), registration.spec.cluster_id.clone().unwrap_or_default());
    labels.insert(CLUSTER_LABEL.to_owned(), cluster);
    object.metadata.labels = Some(labels);
    object.metadata.namespace = neighbour.home().map(str::to_owned);
    object.data = json!({ "spec": spec });
    object
}

/// The fields that have a value.
fn present(mut fields: Value) -> Value {
    if let Some(map) = fields.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    fields
}

/// Whether an object that was found stands for the cluster of this registration, and was written here.
/// One that was written before the cluster's identity was known has none.
#[must_use]
pub fn is_ours(found: &DynamicObject, registration: &ClusterRegistration) -> bool {
    let label = |key: &str| found.labels().get(key).map(String::as_str);
    let id = label(ID_LABEL).unwrap_or_default();
    label(CLUSTER_LABEL) == Some(&registration.name_any())
        && (id.is_empty() || Some(id) == registration.spec.cluster_id.as_deref())
}

/// The annotation of a registration that says by which Secret a neighbour was told of the cluster.
#[must_use]
pub fn record(kind: AdapterKind) -> String {
    format!("{GROUP}/adapter-{}", kind.name())
}

/// The neighbours that may have been told of a cluster, and by which Secrets.
#[must_use]
pub fn recorded(registration: &ClusterRegistration) -> Vec<(AdapterKind, String)> {
    let secret = |kind| registration.annotations().get(&record(kind)).cloned();
    AdapterKind::ALL.into_iter().filter_map(|kind| Some((kind, secret(kind)?))).collect()
}

/// What neighbours may still know of a cluster whose registration goes without them.
#[must_use]
pub fn left(registration: &ClusterRegistration) -> Vec<String> {
    let elsewhere = |kind: &AdapterKind| neighbour(*kind).home().is_none();
    let kinds = recorded(registration).into_iter().map(|(kind, _)| kind).filter(elsewhere);
    let tell = |kind: AdapterKind| {
        let resource = neighbour(kind).resource();
        format!("{} {} at {}", resource.kind, registration.name_any(), kind.name())
    };
    kinds.map(tell).collect()
}

#[cfg(test)]
mod tests;
