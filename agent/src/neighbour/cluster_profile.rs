//! SIG-Multicluster's ClusterProfile, at the hub itself, for whoever reads inventories of clusters.

use kube::Resource as _;
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::{Neighbour, marked};
use crate::api::{ClusterRegistration, ConditionStatus, find};
use crate::install::HUB_NAMESPACE;
use crate::registration::{REGION, ZONE};

/// The cluster manager that the profiles name.
const CLUSTER_MANAGER: &str = "mcp";
/// The one condition that the API itself names.
const HEALTHY: &str = "ControlPlaneHealthy";

/// The ClusterProfile API.
pub(super) struct Profile;

impl Neighbour for Profile {
    fn resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk("multicluster.x-k8s.io", "v1alpha1", "ClusterProfile");
        ApiResource::from_gvk_with_plural(&kind, "clusterprofiles")
    }

    fn home(&self) -> Option<&'static str> {
        Some(HUB_NAMESPACE)
    }

    fn missing(&self) -> &'static str {
        "install the definition of ClusterProfile at the hub, from sigs.k8s.io/cluster-inventory-api: \
         config/crd/bases/multicluster.x-k8s.io_clusterprofiles.yaml"
    }

    fn object(&self, registration: &ClusterRegistration) -> DynamicObject {
        let spec = json!({
            "displayName": registration.name_any(),
            "clusterManager": { "name": CLUSTER_MANAGER },
        });
        let mut object = marked(self, registration, &spec);
        object
            .labels_mut()
            .insert("x-k8s.io/cluster-manager".to_owned(), CLUSTER_MANAGER.to_owned());
        // Whatever becomes of the controller, the hub's garbage collector knows what to do.
        object.metadata.owner_references = registration.owner_ref(&()).map(|owner| vec![owner]);
        object
    }

    fn status(&self, registration: &ClusterRegistration) -> Option<Value> {
        let (spec, labels) = (&registration.spec, registration.labels());
        let status = registration.status.clone().unwrap_or_default();
        let nodes = status.nodes.map(|nodes| nodes.ready.to_string());
        let properties = [
            ("cluster.clusterset.k8s.io", spec.cluster_id.as_deref()),
            ("mcp.platform/api-endpoint", Some(spec.api_endpoint.as_str())),
            ("mcp.platform/nodes-ready", nodes.as_deref()),
            (REGION, labels.get(REGION).map(String::as_str)),
            (ZONE, labels.get(ZONE).map(String::as_str)),
        ];
        // The API has no room for an empty value.
        let properties = properties.into_iter().filter_map(|(name, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            Some(json!({ "name": name, "value": value }))
        });
        Some(json!({
            "conditions": [healthy(registration)],
            "properties": properties.collect::<Vec<_>>(),
            "version": { "kubernetes": status.kubernetes_version.unwrap_or_default() },
        }))
    }
}

/// What the agent last said of the control plane, as long as it lives.
fn healthy(registration: &ClusterRegistration) -> Value {
    let conditions = registration.status.as_ref().map(|status| status.conditions.as_slice());
    let conditions = conditions.unwrap_or_default();
    let ready = find(conditions, "Ready");
    let lives = ready.is_some_and(|ready| ready.status == ConditionStatus::True);
    let told = if lives { find(conditions, HEALTHY) } else { ready };
    match told {
        Some(told) => json!({
            "type": HEALTHY,
            "status": if lives { told.status } else { ConditionStatus::Unknown },
            "reason": told.reason,
            "message": told.message,
            "lastTransitionTime": told.last_transition_time,
        }),
        None => json!({
            "type": HEALTHY,
            "status": ConditionStatus::Unknown,
            "reason": "NotReported",
            "message": "the cluster's agent has said nothing yet",
            "lastTransitionTime": registration.metadata.creation_timestamp,
        }),
    }
}
