//! Objects of any kind, and their status, written to an API server by server-side apply; and deleted.

use std::collections::HashMap;
use std::fmt::Debug;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, ApiCapabilities, Scope};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::json;

use crate::error::{Context as _, Error, Result};

/// The objects of a YAML file, in its order.
///
/// # Errors
/// If the text is not YAML, or a document is no object.
pub fn parse(yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents = serde_yaml::Deserializer::from_str(yaml);
    let objects = documents.map(DynamicObject::deserialize);
    objects
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Invalid(format!("the objects cannot be read: {error}")))
}

/// Any typed object as one that can be applied with others.
///
/// # Errors
/// If it cannot be written as JSON, which no object of Kubernetes fails at.
pub fn dynamic<T: Resource<DynamicType = ()> + Serialize>(object: &T) -> Result<DynamicObject> {
    let value = serde_json::to_value(object).and_then(|mut value| {
        if let Some(map) = value.as_object_mut() {
            map.insert("apiVersion".to_owned(), T::api_version(&()).into());
            map.insert("kind".to_owned(), T::kind(&()).into());
        }
        serde_json::from_value(value)
    });
    value.map_err(|error| Error::Invalid(format!("{}: {error}", T::kind(&()))))
}

/// Applies objects to one API server, as one field manager.
pub struct Applier {
    client: Client,
    manager: &'static str,
    known: HashMap<GroupVersionKind, (ApiResource, ApiCapabilities)>,
}

impl Applier {
    /// An applier that knows no kinds yet.
    #[must_use]
    pub fn new(client: Client, manager: &'static str) -> Self {
        Self { client, manager, known: HashMap::new() }
    }

    /// Makes the server's object what `object` says, and takes fields from whoever set them before.
    ///
    /// # Errors
    /// If the kind is unknown, the object has no name, or the server refuses it.
    pub async fn apply(&mut self, object: &DynamicObject) -> Result<DynamicObject> {
        let api = self.api(object).await?;
        let params = PatchParams::apply(self.manager).force();
        let name = object.name_any();
        let applied = api.patch(&name, &params, &Patch::Apply(object)).await;
        applied.context(|| format!("applying {}", title(object)))
    }

    /// The API for an object's kind and namespace.
    ///
    /// # Errors
    /// If the kind is unknown to the server, or the object lacks kind or name.
    pub async fn api(&mut self, object: &DynamicObject) -> Result<Api<DynamicObject>> {
        let client = self.client.clone();
        let (resource, namespace) = self.place(object).await?;
        Ok(match namespace {
            None => Api::all_with(client, &resource),
            Some(namespace) => Api::namespaced_with(client, &namespace, &resource),
        })
    }

    /// The namespace in which the server has an object: `default` where the object names none, `None`
    /// where its kind knows none, whatever the object says.
    ///
    /// # Errors
    /// As [`Applier::api`].
    pub async fn namespace(&mut self, object: &DynamicObject) -> Result<Option<String>> {
        Ok(self.place(object).await?.1)
    }

    async fn place(&mut self, object: &DynamicObject) -> Result<(ApiResource, Option<String>)> {
        let types = object.types.as_ref();
        let gvk = types.and_then(|types| GroupVersionKind::try_from(types).ok());
        let gvk =
            gvk.ok_or_else(|| Error::Invalid("an object has no apiVersion or kind".into()))?;
        if object.metadata.name.as_deref().unwrap_or_default().is_empty() {
            return Err(Error::Invalid(format!("a {} has no name", gvk.kind)));
        }
        let (resource, capabilities) = match self.known.get(&gvk) {
            Some(known) => known,
            None => {
                let found = discovery::pinned_kind(&self.client, &gvk).await;
                let found = found.context(|| format!("looking for the kind {}", gvk.kind))?;
                self.known.entry(gvk).or_insert(found)
            }
        };
        let namespace = object.metadata.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        Ok((resource.clone(), (capabilities.scope == Scope::Namespaced).then_some(namespace)))
    }
}

/// Writes `status`, those fields of the status of the object `name` that are `manager`'s.
///
/// # Errors
/// If the server refuses.
pub(crate) async fn apply_status<K>(
    api: &Api<K>,
    name: &str,
    manager: &str,
    status: &impl Serialize,
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let patch =
        json!({ "apiVersion": K::api_version(&()), "kind": K::kind(&()), "status": status });
    let params = PatchParams::apply(manager).force();
    api.patch_status(name, &params, &Patch::Apply(patch)).await.map(drop)
}

/// Deletes the object `name`, if there is one.
///
/// # Errors
/// If the server refuses.
pub(crate) async fn delete<K>(api: &Api<K>, name: &str, params: &DeleteParams) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    ignore_missing(api.delete(name, params).await)
        .context(|| format!("deleting {} {name}", K::kind(&())))
}

/// The failure of a call, unless it is that the object does not exist.
pub(crate) fn ignore_missing<T>(called: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match called {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        called => called.map(drop),
    }
}

/// Kind and name of an object, for messages.
#[must_use]
pub fn title(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("object", |types| types.kind.as_str());
    match &object.metadata.namespace {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}
