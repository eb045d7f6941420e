//! Open Cluster Management: the hub's half of a registration, which accepts the cluster. The other half is
//! OCM's own klusterlet in the cluster, which slipway does not install.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;

use super::{Adapter, labelled, without_nulls};
use crate::api::ClusterRegistration;

/// Open Cluster Management.
pub(super) struct Ocm;

impl Adapter for Ocm {
    fn resource(&self) -> ApiResource {
        let kind =
            GroupVersionKind::gvk("cluster.open-cluster-management.io", "v1", "ManagedCluster");
        ApiResource::from_gvk_with_plural(&kind, "managedclusters")
    }

    fn install_hint(&self) -> &'static str {
        "the kubeconfig must lead to a hub of Open Cluster Management (`clusteradm init` makes one)"
    }

    fn object(&self, registration: &ClusterRegistration) -> DynamicObject {
        let spec = &registration.spec;
        let client = without_nulls(json!({ "url": spec.api_endpoint, "caBundle": spec.ca_data }));
        let wanted = json!({
            "hubAcceptsClient": true,
            "leaseDurationSeconds": spec.interval().as_secs(),
            "managedClusterClientConfigs": [client],
        });
        labelled(self, registration, &wanted)
    }
}
