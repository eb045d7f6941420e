//! Lost packets: rules of nftables on the bridge, about a node's cable.
//!
//! Each fault is a table of its own, so that one replaces or ends without touching another.

use std::time::Duration;

use serde::Deserialize;

use crate::diagnostic::{Error, Kind, Result};
use crate::lab::network;
use crate::lab::quantity::Share;
use crate::lab::spec::{Lab, Node};
use crate::process::Process;

/// The name of the table that makes a fault of a node.
pub(super) fn table(lab: &Lab, node: &Node, fault: &str) -> String {
    format!("{}{fault}", prefix(lab, node))
}

fn prefix(lab: &Lab, node: &Node) -> String {
    format!("{}_{}_", network::table(lab), node.name)
}

/// Loses every packet to and from a node. The kernel itself ends it in time.
pub(super) async fn cut(lab: &Lab, node: &Node, lasts: Option<Duration>) -> Result<()> {
    load(rules(lab, node, "cut", "", "cut", lasts), "CONFIG_NF_TABLES_BRIDGE").await
}

/// Loses a share of the packets to a node, and of those from it.
pub(super) async fn lose(lab: &Lab, node: &Node, share: Share) -> Result<()> {
    let chance = format!("numgen random mod 10000 < {}", share.of_ten_thousand());
    let rules = rules(lab, node, "loss", &chance, &format!("loss {share}"), None);
    load(rules, "CONFIG_NF_TABLES_BRIDGE or CONFIG_NFT_NUMGEN").await
}

/// A table that drops what goes through a node's cable and meets `condition`. `words` say in it
/// which fault it makes.
fn rules(
    lab: &Lab,
    node: &Node,
    fault: &str,
    condition: &str,
    words: &str,
    lasts: Option<Duration>,
) -> String {
    let table = table(lab, node, fault);
    let cable = lab.cable(node);
    let timeout = lasts.map(|time| format!("timeout {}ms", time.as_millis())).unwrap_or_default();
    format!(
        "table bridge {table}
delete table bridge {table}
table bridge {table} {{
  set cable {{ type ifname; flags timeout; elements = {{ \"{cable}\" {timeout} }}; }}
  chain from {{
    type filter hook prerouting priority -300;
    iifname @cable {condition} drop comment \"{words}\"
  }}
  chain to {{
    type filter hook postrouting priority 300;
    oifname @cable {condition} drop
  }}
}}
"
    )
}

/// Loads a table whose kernel options some kernels lack.
pub(super) async fn load(rules: String, options: &str) -> Result<()> {
    let loaded = Process::new("nft").args(["-f", "-"]).stdin(rules).run().await;
    loaded.map(drop).map_err(|error| {
        let what = format!("the kernel refused the rules; does it lack {options}?");
        Error::new(Kind::Machine, what).note(error.to_string())
    })
}

/// Deletes all tables that make faults of a node.
pub(super) async fn end(lab: &Lab, node: &Node) -> Result<()> {
    let prefix = prefix(lab, node);
    let tables = Process::new("nft").args(["list", "tables"]).run().await?.text();
    for words in tables.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
        if let ["table", family, name] = words.as_slice()
            && name.starts_with(&prefix)
        {
            Process::new("nft").args(["delete", "table", family, name]).run().await?;
        }
    }
    Ok(())
}

/// The faults of a node that tables make.
pub(super) async fn found(lab: &Lab, node: &Node) -> Result<Vec<String>> {
    let rules = Process::new("nft").args(["-j", "list", "ruleset"]).run().await?;
    parse(&rules.stdout, &prefix(lab, node))
}

#[derive(Deserialize)]
struct Ruleset {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    rule: Option<Rule>,
    set: Option<Set>,
}

#[derive(Deserialize)]
struct Rule {
    table: String,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Set {
    table: String,
    #[serde(default)]
    elem: Vec<serde_json::Value>,
}

fn parse(rules: &[u8], prefix: &str) -> Result<Vec<String>> {
    let Ruleset { nftables } = serde_json::from_slice(rules)
        .map_err(|e| Error::new(Kind::Command, format!("cannot read what nft lists: {e}")))?;
    let sets: Vec<&Set> = nftables.iter().filter_map(|item| item.set.as_ref()).collect();
    let words = |rule: &Rule| {
        let words = rule.comment.clone().filter(|_| rule.table.starts_with(prefix))?;
        let Some(set) = sets.iter().find(|set| set.table == rule.table) else { return Some(words) };
        // An empty set is a fault whose time is over.
        let left = set.elem.first()?.pointer("/elem/expires").and_then(serde_json::Value::as_u64);
        // nft leaves out what is less than a second.
        Some(left.map_or(words.clone(), |seconds| format!("{words} --for {}s", seconds + 1)))
    };
    Ok(nftables.iter().filter_map(|item| item.rule.as_ref()).filter_map(words).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_faults_are_read_from_the_ruleset() {
        let rules = br#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "bridge", "name": "slipway_lab_0_cp-1_cut"}},
            {"set": {"table": "slipway_lab_0_cp-1_cut", "name": "cable",
                "elem": [{"elem": {"val": "vb", "timeout": 20, "expires": 12}}]}},
            {"set": {"table": "slipway_lab_0_cp-1_loss", "name": "cable", "elem": ["vb"]}},
            {"set": {"table": "slipway_lab_0_cp-10_cut", "name": "cable", "elem": ["vb"]}},
            {"set": {"table": "slipway_lab_0_cp-2_cut", "name": "cable"}},
            {"set": {"table": "other", "name": "s", "elem": [{"range": ["1", "2"]}]}},
            {"rule": {"table": "slipway_lab_0_cp-1_cut", "comment": "cut", "expr": []}},
            {"rule": {"table": "slipway_lab_0_cp-1_cut", "expr": []}},
            {"rule": {"table": "slipway_lab_0_cp-1_loss", "comment": "loss 5%"}},
            {"rule": {"table": "slipway_lab_0_cp-1_delay", "comment": "delay 50ms"}},
            {"rule": {"table": "slipway_lab_0_cp-10_cut", "comment": "cut"}},
            {"rule": {"table": "slipway_lab_0_cp-2_cut", "comment": "cut"}},
            {"rule": {"table": "other", "comment": "cut"}}]}"#;
        let of = |node: &str| parse(rules, &format!("slipway_lab_0_{node}_")).unwrap();
        assert_eq!(of("cp-1"), ["cut --for 13s", "loss 5%", "delay 50ms"]);
        assert_eq!(of("cp-10"), ["cut"]);
        assert!(of("cp-2").is_empty());
        assert!(parse(b"no JSON", "x").is_err());
    }
}
