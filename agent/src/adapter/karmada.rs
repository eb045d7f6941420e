//! Karmada, in push mode: its control plane reaches the cluster's API server with a token, which whoever
//! registers the cluster makes for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;

use super::{Adapter, AdapterSecret, Companions, MEMBER_TOKEN, labelled, without_nulls};
use crate::access::CLUSTER_LABEL;
use crate::api::{ClusterRegistration, REGION, ZONE};
use crate::error::{Error, Result};

/// Where Karmada keeps its clusters' credentials; `karmadactl` writes there, too.
const NAMESPACE: &str = "karmada-cluster";

/// Karmada.
pub(super) struct Karmada;

/// The names of a cluster's Secrets. Names of clusters have no dots, so no two clusters share one.
fn secret_name(cluster: &str, impersonator: bool) -> String {
    format!("mcp.{cluster}{}", if impersonator { ".impersonator" } else { "" })
}

impl Adapter for Karmada {
    fn resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk("cluster.karmada.io", "v1alpha1", "Cluster");
        ApiResource::from_gvk_with_plural(&kind, "clusters")
    }

    fn install_hint(&self) -> &'static str {
        "the kubeconfig must lead to Karmada's own API server, not to the cluster that Karmada runs in"
    }

    fn object(&self, registration: &ClusterRegistration) -> DynamicObject {
        let (cluster, spec) = (registration.name_any(), &registration.spec);
        let secret = |impersonator| {
            let name = secret_name(&cluster, impersonator);
            json!({ "namespace": NAMESPACE, "name": name })
        };
        let wanted = without_nulls(json!({
            "id": spec.cluster_id,
            "syncMode": "Push",
            "apiEndpoint": spec.api_endpoint,
            "secretRef": secret(false),
            "impersonatorSecretRef": secret(true),
            "region": registration.labels().get(REGION),
            "zones": registration.labels().get(ZONE).map(|zone| [zone]),
        }));
        labelled(self, registration, &wanted)
    }

    fn companions(
        &self,
        registration: &ClusterRegistration,
        secret: &AdapterSecret,
    ) -> Result<Option<Companions>> {
        let cluster = registration.name_any();
        let ca = registration.spec.ca_data.as_deref().unwrap_or_default();
        let ca = BASE64.decode(ca).ok().filter(|ca| !ca.is_empty()).ok_or_else(|| {
            Error::Refused(
                "spec.caData has no certificates: Karmada trusts an API server by those alone"
                    .to_owned(),
            )
        })?;
        let token = secret.member_token.as_ref().ok_or_else(|| {
            Error::Refused(format!(
                "the Secret has no key {MEMBER_TOKEN}: a token of the cluster with the rights that \
                 Karmada is to have there"
            ))
        })?;
        let impersonator = secret.impersonator_token.as_ref().unwrap_or(token);
        let object = |impersonator, data: Vec<(&str, &[u8])>| Secret {
            metadata: ObjectMeta {
                name: Some(secret_name(&cluster, impersonator)),
                namespace: Some(NAMESPACE.to_owned()),
                labels: Some([(CLUSTER_LABEL.to_owned(), cluster.clone())].into()),
                ..ObjectMeta::default()
            },
            data: Some(
                data.into_iter()
                    .map(|(key, value)| (key.to_owned(), ByteString(value.into())))
                    .collect(),
            ),
            ..Secret::default()
        };
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(NAMESPACE.to_owned()),
                labels: Some([("karmada.io/system".to_owned(), "true".to_owned())].into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let secrets = vec![
            object(false, vec![("caBundle", &ca), ("token", token.as_bytes())]),
            object(true, vec![("token", impersonator.as_bytes())]),
        ];
        Ok(Some(Companions { namespace, secrets }))
    }
}
