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
use super::known::News;
use super::plan::{Cluster, Placed};
use crate::access;
use crate::api::{ClusterRegistration, ManifestSet};
use crate::hub::lock;

/// A set may be a megabyte: so many are listed at once.
const PAGE: u32 = 16;

/// Which sets are to be looked at: one by its name, or all.
pub(super) type Wake = Option<String>;

/// Follows the clusters. Which sets a change is about, their selectors know: all of them look.
pub(super) async fn clusters(placing: Arc<Placing>, wakes: mpsc::Sender<Wake>) {
    let api = Api::<ClusterRegistration>::all(placing.shared.client.clone());
    follow(api, watcher::Config::default(), wakes, |event| {
        let read = |one: &ClusterRegistration| Some((one.name_any(), Cluster::of(one)));
        match lock(&placing.clusters).take(&event, read) {
            News::Nothing => None,
            News::Of(_) | News::Everything => Some(None),
        }
    })
    .await;
}

/// Follows the sets of all clusters.
pub(super) async fn sets(placing: Arc<Placing>, wakes: mpsc::Sender<Wake>) {
    let api = Api::<ManifestSet>::all(placing.shared.client.clone());
    follow(api, watcher::Config::default().page_size(PAGE), wakes, |event| {
        let read = |set: &ManifestSet| {
            let namespace = set.namespace().unwrap_or_default();
            let cluster = access::cluster(&namespace)?.to_owned();
            Some(((set.name_any(), cluster), Placed::of(set)))
        };
        match lock(&placing.sets).take(&event, read) {
            News::Nothing => None,
            News::Of((set, _)) => Some(Some(set)),
            News::Everything => Some(None),
        }
    })
    .await;
}

/// Has every event noted, and wakes whom that concerns.
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
                    // The receiver lives as long as this does.
                    let _ = wakes.send(wake).await;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot watch what sets are placed by"),
        }
    }
}
