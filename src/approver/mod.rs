//! Approves the certificates of kubelets: the one that makes a machine a node, and those that it serves
//! with, from the first and at each rotation.
//!
//! A kubelet with `serverTLSBootstrap` asks the cluster for the certificate that it serves logs,
//! exec and metrics with. Kubernetes signs such a request but by design never approves it (signer
//! `kubernetes.io/kubelet-serving`): whether an address belongs to a node is known outside the
//! cluster only. It is known here: from the inventory, as a table on every control plane. Where
//! each runs this service, any of them may be down.
//!
//! - [`judge()`]: the rules, without any effect; [`client`] has the one for joins.
//! - `request`: what every request must be; `der`: what it must look like, byte by byte.
//! - `objects`: requests out of what `kubectl get --watch` prints.
//! - `service`: watching and approving, for ever.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use crate::bounded;
use crate::diagnostic::{Error, Kind, Result};

pub mod client;
mod der;
pub(crate) mod judge;
pub(crate) mod objects;
mod request;
mod service;
#[cfg(test)]
mod tests;

pub use judge::{Verdict, judge};
pub use request::Csr;
pub use service::Approver;

/// The nodes of the cluster and the addresses of each: what the inventory says.
pub type Nodes = BTreeMap<String, Vec<IpAddr>>;

/// A table of the largest cluster that Kubernetes supports (5000 nodes) has less than a fifth.
const MAX_TABLE: u64 = 1024 * 1024;

/// Reads a table of nodes: `{"cp-1": ["10.77.0.11"], …}`.
///
/// # Errors
/// [`Kind::Machine`] when it is missing, too large, or something else.
pub fn read_nodes(path: &Path) -> Result<Nodes> {
    let failed = |why: String| Error::new(Kind::Machine, format!("{}: {why}", path.display()));
    let bytes = bounded::read(path, MAX_TABLE).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > MAX_TABLE {
        return Err(failed("is too large".to_owned()));
    }
    serde_json::from_slice(&bytes)
        .map_err(|e| failed(format!("is no table of nodes and their addresses: {e}")))
}
