//! The cluster's keys, read back from a node that has them.

use std::collections::BTreeMap;

use crate::diagnostic::{Error, Kind, Result};
use crate::engine::Node;
use crate::host::Transport;
use crate::pki::{self, Pki};
use crate::probe::Probe;
use crate::secret::Secret;
use crate::survey::Survey;

/// The cluster's keys from a living control plane, for an operator's machine that has lost its own.
/// Only from a member of the cluster that the inventory names.
pub(super) async fn read_back<T: Transport>(
    survey: &Survey,
    cluster: &str,
    nodes: &BTreeMap<String, Node<T>>,
) -> Result<Pki> {
    let configuration = survey.configuration.as_deref().unwrap_or_default();
    let live: serde_json::Value = crate::yaml::read(configuration).unwrap_or_default();
    let found = live.get("clusterName").and_then(|name| name.as_str());
    if found != Some(cluster) {
        let identity = survey.identity.as_ref().map(ToString::to_string).unwrap_or_default();
        let what = match found {
            Some(name) => {
                let name = crate::diagnostic::printable(name);
                format!("the nodes belong to the cluster `{name}` ({identity})")
            }
            None => format!(
                "a cluster's certificates ({identity}) are on the nodes, and no API answers"
            ),
        };
        return Err(Error::new(Kind::Preflight, format!("{what}; nothing was changed")).hint(
            "to go on with that cluster, bring its `.slipway` directory back, or start its \
                   control planes; to give it up, run `kubeadm reset` on the nodes",
        ));
    }
    let leader = nodes.get(&survey.leader);
    let leader = leader.ok_or_else(|| Error::new(Kind::Bug, "the leader is no node"))?;
    let answer = leader.look(&[Probe::keys(&pki::FILES)]).await?;
    let answer: Secret<Vec<u8>> = Secret::new(answer.into_iter().next().unwrap_or_default().stdout);
    let files = key_files(answer.expose());
    Pki::from_files(|name| files.get(name).map(|bytes| bytes.expose().clone()))
        .map_err(|e| e.context(format!("keys read back from {}", survey.leader)))
}

/// Takes apart what [`Probe::keys`] prints: each file's name, size and bytes.
pub(crate) fn key_files(mut rest: &[u8]) -> BTreeMap<String, Secret<Vec<u8>>> {
    let mut files = BTreeMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, tail) = rest.split_at(end);
        let line = String::from_utf8_lossy(line);
        let Some((name, size)) = line.split_once(' ') else { break };
        let Some(size) = size.parse::<usize>().ok() else { break };
        let Some(bytes) = tail.get(1..=size) else { break };
        files.insert(name.to_owned(), Secret::new(bytes.to_vec()));
        rest = tail.get(size + 1..).unwrap_or_default();
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn key_files_are_taken_apart_by_size() {
        let files = key_files(b"ca.crt 6\na b\nc\nsa.key 0\netcd/ca.crt 1\nx");
        assert_eq!(files.get("ca.crt").unwrap().expose(), b"a b\nc\n");
        assert!(files.get("sa.key").unwrap().expose().is_empty());
        assert_eq!(files.get("etcd/ca.crt").unwrap().expose(), b"x");
    }

    proptest! {
        #[test]
        fn hostile_key_files_do_not_panic(bytes: Vec<u8>, size: usize) {
            let _ = key_files(&[format!("x {size}\n").as_bytes(), &bytes].concat());
        }
    }
}
