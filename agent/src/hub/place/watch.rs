//! What placement watches: clusters, and the sets in their namespaces.

use std::fmt::Debug;
use std::sync::Arc;

use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _};
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::Placing;
use super::known::Change;
use super::plan::{Cluster, Placed};
use crate::access;
use crate::api::{ClusterRegistration, ManifestSet};
use crate::hub::shared::lock;

/// How many sets are listed per call: each may be a megabyte.
const PAGE_SIZE: u32 = 16;

/// Which sets are to be looked at: one by its name, or all.
pub(super) type Wake = Option<String>;

/// Watches the registrations. Any set may be for a cluster that changed, so all are looked at.
pub(super) async fn clusters(placing: Arc<Placing>, wakes: mpsc::Sender<Wake>) {
    let api = Api::<ClusterRegistration>::all(placing.shared.client.clone());
    follow(api, watcher::Config::default(), wakes, |event| {
        let read = |one: &ClusterRegistration| Some((one.name_any(), Cluster::of(one)));
        match lock(&placing.clusters).note(&event, read) {
            Change::None => None,
            Change::One(_) | Change::All => Some(None),
        }
    })
    .await;
}

/// Watches the sets in all clusters' namespaces.
pub(super) async fn sets(placing: Arc<Placing>, wakes: mpsc::Sender<Wake>) {
    let api = Api::<ManifestSet>::all(placing.shared.client.clone());
    follow(api, watcher::Config::default().page_size(PAGE_SIZE), wakes, |event| {
        let read = |set: &ManifestSet| {
            let namespace = set.namespace().unwrap_or_default();
            let cluster = access::cluster(&namespace)?.to_owned();
            Some(((set.name_any(), cluster), Placed::of(set)))
        };
        match lock(&placing.sets).note(&event, read) {
            Change::None => None,
            Change::One((set, _)) => Some(Some(set)),
            Change::All => Some(None),
        }
    })
    .await;
}

/// Watches objects, calls `note` with each event, and wakes the sets that it names.
async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    mut wakes: mpsc::Sender<Wake>,
    note: impl Fn(Event<K>) -> Option<Wake>,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = watcher(api, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if let Some(wake) = note(event) {
                    // The receiver lives as long as this future.
                    let _ = wakes.send(wake).await;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot watch registrations or sets"),
        }
    }
}
