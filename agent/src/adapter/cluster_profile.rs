//! SIG-Multicluster's ClusterProfile, written to the hub itself, for tools that read inventories of clusters.

use kube::Resource as _;
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::{Adapter, labelled};
use crate::api::{ClusterRegistration, ConditionStatus, REGION, ZONE, find, is_true};
use crate::install::HUB_NAMESPACE;

/// The cluster manager that the profiles name.
const CLUSTER_MANAGER: &str = "mcp";
/// The only condition that the API defines.
const HEALTHY: &str = "ControlPlaneHealthy";

/// The ClusterProfile API.
pub(super) struct Profile;

impl Adapter for Profile {
    fn resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk("multicluster.x-k8s.io", "v1alpha1", "ClusterProfile");
        ApiResource::from_gvk_with_plural(&kind, "clusterprofiles")
    }

    fn hub_namespace(&self) -> Option<&'static str> {
        Some(HUB_NAMESPACE)
    }

    fn install_hint(&self) -> &'static str {
        "install the definition of ClusterProfile at the hub, from sigs.k8s.io/cluster-inventory-api: \
         config/crd/bases/multicluster.x-k8s.io_clusterprofiles.yaml"
    }

    fn object(&self, registration: &ClusterRegistration) -> DynamicObject {
        let spec = json!({
            "displayName": registration.name_any(),
            "clusterManager": { "name": CLUSTER_MANAGER },
        });
        let mut object = labelled(self, registration, &spec);
        object
            .labels_mut()
            .insert("x-k8s.io/cluster-manager".to_owned(), CLUSTER_MANAGER.to_owned());
        // The hub's garbage collector removes it, even where no controller runs any more.
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
        // The API refuses empty values.
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

/// What the agent last reported of the control plane; `Unknown` while the cluster is not Ready.
fn healthy(registration: &ClusterRegistration) -> Value {
    let conditions = registration.conditions();
    let ready = is_true(conditions, "Ready");
    match find(conditions, if ready { HEALTHY } else { "Ready" }) {
        Some(source) => json!({
            "type": HEALTHY,
            "status": if ready { source.status } else { ConditionStatus::Unknown },
            "reason": source.reason,
            "message": source.message,
            "lastTransitionTime": source.last_transition_time,
        }),
        None => json!({
            "type": HEALTHY,
            "status": ConditionStatus::Unknown,
            "reason": "NotReported",
            "message": "the cluster's agent has reported nothing yet",
            "lastTransitionTime": registration.metadata.creation_timestamp,
        }),
    }
}
