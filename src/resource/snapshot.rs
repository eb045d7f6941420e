//! A copy of what etcd holds.

use std::time::Duration;

use super::{Change, Diff, Drift, Resource};
use crate::command::{Cmd, Output, admin};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// The cluster's state from before an upgrade. `etcdutl snapshot restore` makes a cluster of it again; an upgrade
/// of etcd's minor version has no other way back once all members have it.
pub struct EtcdSnapshot {
    /// The version of Kubernetes that the cluster has.
    pub before: String,
}

/// It holds every Secret of the cluster: only root may read it.
const SAVE: &str = concat!(
    admin!(),
    r#"umask 077
mkdir -p "${1%/*}" && $etcdctl --command-timeout=120s snapshot save "$1.part" >&2 && sync "$1.part" && mv -f "$1.part" "$1""#
);

impl EtcdSnapshot {
    fn path(&self) -> String {
        format!("/var/lib/slipway/snapshots/{}.db", self.before)
    }
}

impl Resource for EtcdSnapshot {
    fn id(&self) -> String {
        format!("etcd snapshot {}", self.path())
    }

    fn probe(&self) -> Probe {
        Probe::exist(&[&self.path()])
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        Ok(Drift::unless(!seen.text().trim().is_empty(), Diff::create("new, 0600")))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::shell(SAVE).arg(self.path()).within(Duration::from_secs(150));
        vec![Change::new("save what etcd holds", cmd).repeatable()]
    }
}
