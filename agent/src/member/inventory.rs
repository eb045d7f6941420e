//! What the agent applied, in one ConfigMap for each `ManifestSet`, so that a restart loses nothing.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, TypeMeta};
use kube::core::ObjectMeta as DynamicMeta;
use kube::{Client, ResourceExt as _};
use serde::{Deserialize, Serialize};

use super::MANAGER;
use super::shared::Shared;
use crate::api::Deletion;
use crate::apply::{Applier, delete, dynamic, ignore_missing};
use crate::error::{Context as _, Error, Result};

/// The label of these ConfigMaps; its value is the set's name.
const LABEL: &str = "mcp.platform/manifest-set";

/// An object of a set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// What was applied for a set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inventory {
    pub(super) deletion: Deletion,
    pub(super) objects: Vec<Entry>,
}

/// Reads and writes the inventories.
pub(super) struct Inventories {
    member: Client,
    api: Api<ConfigMap>,
    namespace: String,
}

impl Entry {
    /// The entry of an object that has a kind and a name.
    pub(super) fn of(object: &DynamicObject) -> Option<Self> {
        let types = object.types.as_ref()?;
        let name = object.metadata.name.clone().filter(|name| !name.is_empty())?;
        Some(Self {
            api_version: types.api_version.clone(),
            kind: types.kind.clone(),
            namespace: object.metadata.namespace.clone(),
            name,
        })
    }

    /// The same, with the namespace in which the server has the object, if it knows the kind.
    pub(super) async fn placed(mut self, applier: &mut Applier) -> Self {
        if let Ok(namespace) = applier.namespace(&self.object()).await {
            self.namespace = namespace;
        }
        self
    }

    /// Whether the object is, or may be, among `all`.
    pub(super) fn is_among(&self, all: &[Self]) -> bool {
        all.iter().any(|one| self.is(one))
    }

    /// Whether both are one object at the server, whatever versions of its kind they were written in. Where
    /// the namespace of one is unknown, they may be.
    fn is(&self, other: &Self) -> bool {
        let group = |entry: &Self| {
            entry
                .api_version
                .split_once('/')
                .map_or_else(String::new, |(group, _)| group.to_owned())
        };
        group(self) == group(other)
            && self.kind == other.kind
            && (self.namespace == other.namespace
                || self.namespace.is_none()
                || other.namespace.is_none())
            && self.name == other.name
    }

    fn object(&self) -> DynamicObject {
        DynamicObject {
            types: Some(TypeMeta {
                api_version: self.api_version.clone(),
                kind: self.kind.clone(),
            }),
            metadata: DynamicMeta {
                name: Some(self.name.clone()),
                namespace: self.namespace.clone(),
                ..DynamicMeta::default()
            },
            data: serde_json::Value::Null,
        }
    }

    /// Deletes the object, if it is there.
    pub(super) async fn delete(&self, applier: &mut Applier) -> Result<()> {
        let api = applier.api(&self.object()).await?;
        ignore_missing(api.delete(&self.name, &DeleteParams::background()).await)
            .context(|| format!("deleting {} {}", self.kind, self.name))
    }
}

impl Inventories {
    pub(super) fn new(shared: &Shared) -> Self {
        let (member, namespace) = (shared.member.clone(), shared.options.namespace.clone());
        Self { api: Api::namespaced(member.clone(), &namespace), member, namespace }
    }

    /// The names of all sets that have an inventory.
    pub(super) async fn sets(&self) -> Result<Vec<String>> {
        let found = self.api.list_metadata(&ListParams::default().labels(LABEL)).await;
        let found = found.context(|| "listing what was applied".to_owned())?;
        Ok(found.items.iter().filter_map(|one| one.labels().get(LABEL).cloned()).collect())
    }

    pub(super) async fn load(&self, set: &str) -> Result<Inventory> {
        let found = self.api.get_opt(&name(set)).await;
        let found = found.context(|| format!("reading what was applied for {set}"))?;
        let text = found.and_then(|found| found.data?.remove("inventory"));
        let Some(text) = text else { return Ok(Inventory::default()) };
        serde_json::from_str(&text)
            .map_err(|error| Error::Invalid(format!("what was applied for {set}: {error}")))
    }

    pub(super) async fn save(&self, set: &str, inventory: &Inventory) -> Result<()> {
        let text = serde_json::to_string(inventory);
        let text = text.map_err(|error| Error::Invalid(error.to_string()))?;
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name(set)),
                namespace: Some(self.namespace.clone()),
                labels: Some([(LABEL.to_owned(), set.to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some([("inventory".to_owned(), text)].into()),
            ..ConfigMap::default()
        };
        let params = PatchParams::apply(MANAGER).force();
        let written = self.api.patch(&name(set), &params, &Patch::Apply(dynamic(&map)?)).await;
        written.context(|| format!("saving what is applied for {set}")).map(drop)
    }

    /// The objects of all other sets: one that has moved to another set is not deleted.
    pub(super) async fn others(&self, set: &str) -> Result<Vec<Entry>> {
        let found = self.api.list(&ListParams::default().labels(LABEL)).await;
        let found = found.context(|| "listing what was applied".to_owned())?;
        let mut others = Vec::new();
        for map in found.items.into_iter().filter(|map| map.name_any() != name(set)) {
            let text = map.data.and_then(|mut data| data.remove("inventory")).unwrap_or_default();
            let inventory = serde_json::from_str::<Inventory>(&text);
            others.extend(inventory.unwrap_or_default().objects);
        }
        Ok(others)
    }

    /// Deletes a deleted set's inventory, and its objects if its policy says so. Returns the failures; objects
    /// that could not be deleted stay in the inventory.
    pub(super) async fn drop_set(&self, set: &str) -> Result<Vec<String>> {
        let mut inventory = self.load(set).await?;
        let (mut left, mut failures) = (Vec::new(), Vec::new());
        if inventory.deletion == Deletion::Delete {
            let mut applier = Applier::new(self.member.clone(), MANAGER);
            let others = self.others(set).await?;
            // In reverse: a namespace after what is in it.
            for entry in inventory.objects.iter().rev().filter(|one| !one.is_among(&others)) {
                if let Err(error) = entry.delete(&mut applier).await {
                    failures.push(error.to_string());
                    left.push(entry.clone());
                }
            }
        }
        if left.is_empty() {
            delete(&self.api, &name(set), &DeleteParams::default()).await?;
        } else {
            left.reverse();
            inventory.objects = left;
            self.save(set, &inventory).await?;
        }
        Ok(failures)
    }
}

fn name(set: &str) -> String {
    format!("mcp-set-{set}")
}
