//! Open Cluster Management: the hub's half of a registration, which lets the cluster in. The other half
//! is OCM's own klusterlet in the cluster, which is not ours to install.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;

use super::{Neighbour, marked, present};
use crate::api::ClusterRegistration;

/// Open Cluster Management.
pub(super) struct Ocm;

impl Neighbour for Ocm {
    fn resource(&self) -> ApiResource {
        let kind =
            GroupVersionKind::gvk("cluster.open-cluster-management.io", "v1", "ManagedCluster");
        ApiResource::from_gvk_with_plural(&kind, "managedclusters")
    }

    fn missing(&self) -> &'static str {
        "the kubeconfig must lead to a hub of Open Cluster Management (`clusteradm init` makes one)"
    }

    fn object(&self, registration: &ClusterRegistration) -> DynamicObject {
        let spec = &registration.spec;
        let client = present(json!({ "url": spec.api_endpoint, "caBundle": spec.ca_data }));
        let wanted = json!({
            "hubAcceptsClient": true,
            "leaseDurationSeconds": spec.interval().as_secs(),
            "managedClusterClientConfigs": [client],
        });
        marked(self, registration, &wanted)
    }
}
