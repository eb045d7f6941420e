//! Everything that makes an API server a hub, by server-side apply: applying it again changes nothing.

mod member;

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject};
use kube::{Client, ResourceExt as _};

use crate::api::crds;
use crate::apply::{Applier, dynamic, parse};
use crate::error::{Result, within};

pub use member::{Member, member, member_objects, within_namespace};

/// The field manager of everything that slipway applies.
pub const MANAGER: &str = "slipway";
/// The namespace of the hub's controller.
pub const HUB_NAMESPACE: &str = "mcp-system";
/// The namespace of the sets that the hub copies to all clusters that match their selector.
pub const FLEET_NAMESPACE: &str = "mcp-fleet";
/// The namespace of the agent in its cluster; not the hub's, since a hub may be a member too.
pub const AGENT_NAMESPACE: &str = "mcp-agent";
/// The agent's Secret there: where its hub is, and the agent's credential.
pub const AGENT_SECRET: &str = "mcp-hub";

/// How long the API server may take to serve new kinds.
const CRD_TIMEOUT: Duration = Duration::from_secs(30);

/// Applies definitions, policies, and the controller's rights and deployment, which runs `image`.
///
/// # Errors
/// If the API server refuses an object, or does not serve the new kinds in time.
pub async fn hub(client: &Client, image: &str) -> Result<()> {
    let mut applier = Applier::new(client.clone(), MANAGER);
    for crd in crds() {
        applier.apply(&dynamic(&crd)?).await?;
    }
    for crd in crds() {
        established(client, &crd.name_any()).await?;
    }
    for object in objects(image)? {
        applier.apply(&object).await?;
    }
    Ok(())
}

/// All objects but the definitions, in the order in which they are applied.
///
/// # Errors
/// None: the files are part of the program.
pub fn objects(image: &str) -> Result<Vec<DynamicObject>> {
    let mut objects = parse(include_str!("../../manifests/hub/policies.yaml"))?;
    objects.extend(parse(include_str!("../../manifests/hub/fleet.yaml"))?);
    objects.extend(parse(include_str!("../../manifests/hub/controller.yaml"))?);
    objects.iter_mut().for_each(|object| set_image(object, image));
    Ok(objects)
}

/// Sets the image of a Deployment's containers.
pub(crate) fn set_image(object: &mut DynamicObject, image: &str) {
    let containers = object.data.pointer_mut("/spec/template/spec/containers");
    for container in containers.and_then(|list| list.as_array_mut()).into_iter().flatten() {
        if let Some(field) = container.get_mut("image") {
            *field = image.into();
        }
    }
}

/// Waits until the API server serves a definition.
async fn established(client: &Client, name: &str) -> Result<()> {
    use kube::runtime::{conditions::is_crd_established, wait::await_condition};
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let served = await_condition(api, name, is_crd_established());
    within(CRD_TIMEOUT, &format!("waiting until {name} is served"), served).await.map(drop)
}
