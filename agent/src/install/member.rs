//! The agent's objects in its cluster: namespace, rights, credential, deployment.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Client;
use kube::api::DynamicObject;
use zeroize::Zeroizing;

use super::{AGENT_NAMESPACE, AGENT_SECRET, MANAGER, set_image};
use crate::access::AGENT;
use crate::api::{Capability, Credential};
use crate::apply::{Applier, dynamic, parse};
use crate::credential::Endpoint;
use crate::error::{Error, Result};

/// What an agent needs to know of its cluster and its hub.
pub struct Member<'a> {
    /// The cluster's name at the hub.
    pub cluster: &'a str,
    /// Where the hub is.
    pub hub: &'a Endpoint,
    /// The one-time token; `None` where the agent has joined already.
    pub token: Option<&'a Zeroizing<String>>,
    /// What the agent is to authenticate with, as in the registration.
    pub credential: &'a Credential,
    /// What the agent may do.
    pub capabilities: &'a [Capability],
    /// The image that it runs.
    pub image: &'a str,
}

/// Applies the agent and its rights to the member.
///
/// # Errors
/// If the member's API server refuses an object.
pub async fn member(client: &Client, member: &Member<'_>) -> Result<()> {
    within_namespace(client, &member_objects(member)?).await
}

/// Applies objects of which the first is a namespace. It owns those outside of it, so that deleting the
/// namespace deletes them all.
///
/// # Errors
/// If the API server refuses an object.
pub async fn within_namespace(client: &Client, objects: &[DynamicObject]) -> Result<()> {
    let mut applier = Applier::new(client.clone(), MANAGER);
    let mut owner: Option<OwnerReference> = None;
    for object in objects {
        let mut object = object.clone();
        if object.metadata.namespace.is_none() {
            object.metadata.owner_references = owner.clone().map(|owner| vec![owner]);
        }
        let applied = applier.apply(&object).await?;
        if owner.is_none() {
            owner = Some(OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Namespace".to_owned(),
                name: applied.metadata.name.unwrap_or_default(),
                uid: applied.metadata.uid.unwrap_or_default(),
                ..OwnerReference::default()
            });
        }
    }
    Ok(())
}

/// All objects of the agent, its namespace first, its deployment last.
///
/// # Errors
/// None: the file is part of the program.
pub fn member_objects(member: &Member<'_>) -> Result<Vec<DynamicObject>> {
    let mut objects = parse(include_str!("../../manifests/member/agent.yaml"))?;
    objects.iter_mut().for_each(|object| set_image(object, member.image));
    let before = objects.len().saturating_sub(1);
    for (capability, role) in [
        (Capability::ApplyManifests, "mcp-agent-manifests"),
        (Capability::Policies, "mcp-agent-policies"),
    ] {
        let granted = member.capabilities.contains(&capability);
        objects.insert(before, dynamic(&binding(role, granted))?);
    }
    let credential = serde_json::to_string(member.credential);
    let credential = credential.map_err(|error| Error::Invalid(error.to_string()))?;
    let mut data = vec![
        ("cluster", member.cluster.as_bytes()),
        ("server", member.hub.server.as_bytes()),
        ("credential", credential.as_bytes()),
        ("ca.crt", member.hub.ca.as_slice()),
    ];
    data.extend(member.token.map(|token| ("bootstrap-token", token.as_bytes())));
    let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.to_vec())));
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(AGENT_SECRET.to_owned()),
            namespace: Some(AGENT_NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        ..Secret::default()
    };
    objects.insert(before, dynamic(&secret)?);
    Ok(objects)
}

/// The binding of a capability's role, to the agent if it is `granted`; else to nobody, so that applying
/// it revokes what was granted before.
fn binding(role: &str, granted: bool) -> ClusterRoleBinding {
    let agent = Subject {
        kind: "ServiceAccount".to_owned(),
        name: AGENT.to_owned(),
        namespace: Some(AGENT_NAMESPACE.to_owned()),
        api_group: None,
    };
    ClusterRoleBinding {
        metadata: ObjectMeta { name: Some(role.to_owned()), ..ObjectMeta::default() },
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(granted.then_some(agent).into_iter().collect()),
    }
}
