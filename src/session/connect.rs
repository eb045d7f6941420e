//! Connecting to all nodes, and leasing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Network;
use crate::cluster::Cluster;
use crate::diagnostic::{Error, Kind, Result};
use crate::engine::Node;
use crate::secret::Secret;

/// Nodes that were reached, and those that a run goes on without, and why.
pub(super) type Connected<T> = (BTreeMap<String, Node<T>>, BTreeMap<String, Error>);

/// Connects to all nodes at once. Whatever they print, `masked` is not shown.
///
/// # Errors
/// When a control plane that stays cannot be reached, or any node for a reason that does not pass.
pub(super) async fn connect<N: Network>(
    cluster: &Cluster,
    network: &Arc<N>,
    masked: &Arc<[Secret<String>]>,
) -> Result<Connected<N::Host>> {
    let mut connecting = JoinSet::new();
    for node in cluster.machines().cloned() {
        let network = Arc::clone(network);
        connecting.spawn(async move {
            let host = network.connect(&node).await;
            (node.name, host)
        });
    }
    let mut nodes = BTreeMap::new();
    let mut errors = BTreeMap::new();
    while let Some(joined) = connecting.join_next().await {
        let (name, host) = joined.map_err(|e| ended_early(&e))?;
        match host {
            Ok(host) => {
                nodes.insert(name.clone(), Node::new(&name, Arc::new(host), Arc::clone(masked)));
            }
            Err(error) => drop(errors.insert(name, error)),
        }
    }
    // A control plane's silence could hide the cluster; a machine that is not who it should be is
    // no accident.
    let dispensable = |name: &str| cluster.is_worker(name) || cluster.leaves(name);
    if errors.iter().all(|(name, error)| dispensable(name) && error.is_passing()) {
        return Ok((nodes, errors));
    }
    all_of(errors, cluster.machines().count(), "connect to").map(|()| (nodes, BTreeMap::new()))
}

/// Who holds the lease, for those who come second.
pub(super) fn holder() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let since = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
    format!("{user}@{host}, process {}, since {since}", std::process::id())
}

/// One error for all nodes that failed; the only one as it is.
pub(super) fn all_of(mut errors: BTreeMap<String, Error>, nodes: usize, verb: &str) -> Result<()> {
    if errors.len() < 2 {
        return errors.pop_first().map_or(Ok(()), |(_, error)| Err(error));
    }
    let kind = errors.values().next().map_or(Kind::Bug, Error::kind);
    let message = format!("cannot {verb} {} of {nodes} nodes; nothing was changed", errors.len());
    let error = Error::new(kind, message);
    Err(errors.values().fold(error, |all, one| all.note(one.to_string())))
}

pub(super) fn ended_early(e: &tokio::task::JoinError) -> Error {
    Error::new(Kind::Bug, format!("a task ended early: {e}"))
}
