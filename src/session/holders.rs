//! At the end of an apply: that exactly one control plane holds the virtual IP. No node can tell that
//! of itself, so it is asked of all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cluster::{Cluster, Endpoint, Role};
use crate::diagnostic::{Error, Kind, Result};
use crate::engine::Node;
use crate::host::Transport;
use crate::probe::Probe;

/// keepalived chooses within seconds; a busy machine takes longer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Waits until exactly one control plane holds the virtual IP, where there is one.
///
/// # Errors
/// [`Kind::Timeout`], with the holders' names, when it stays with none or several.
pub async fn one_holder<T: Transport + 'static>(
    cluster: &Cluster,
    nodes: &BTreeMap<String, Node<T>>,
) -> Result<()> {
    let Endpoint::Vip { address, .. } = &cluster.endpoint else { return Ok(()) };
    let probe = [Probe::address(&address.to_string())];
    let began = tokio::time::Instant::now();
    loop {
        let mut holders = Vec::new();
        for meant in cluster.machines().filter(|node| node.role == Role::ControlPlane) {
            let Some(node) = nodes.get(&meant.name) else { continue };
            let seen = node.look(&probe).await?;
            if seen.first().is_some_and(|seen| !seen.stdout.is_empty()) {
                holders.push(meant.name.as_str());
            }
        }
        if holders.len() == 1 {
            return Ok(());
        }
        if began.elapsed() >= TIMEOUT {
            return Err(disputed(&address.to_string(), &holders));
        }
        // Between two looks.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

fn disputed(address: &str, holders: &[&str]) -> Error {
    let (what, todo) = if holders.is_empty() {
        ("no control plane holds it".to_owned(), "`journalctl -u keepalived` on them says why")
    } else {
        (
            format!("{} hold it at once", holders.join(" and ")),
            "let VRRP (IP protocol 112) through between the control planes",
        )
    };
    Error::new(
        Kind::Timeout,
        format!("the virtual IP {address} must be held by one control plane: {what}"),
    )
    .hint(todo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_disputes_it_is_named() {
        let both = disputed("10.0.0.100", &["cp-1", "cp-3"]).to_string();
        assert!(both.contains("cp-1 and cp-3 hold it at once"), "{both}");
        assert!(disputed("10.0.0.100", &[]).to_string().contains("no control plane holds it"));
    }
}
