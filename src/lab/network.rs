//! A lab's bridge, and the NAT that lets its nodes out.

use ipnet::Ipv4Net;

use super::spec::{self, Lab};
use crate::diagnostic::Result;
use crate::process::Process;

/// A network index that is free on this machine: no route of it and no other lab uses it.
///
/// # Errors
/// As [`spec::free_index`].
pub(super) async fn free_index(labs: &[Lab]) -> Result<u8> {
    let routes = ip(&["-4", "route", "show", "table", "all"]).await?;
    let mut taken = parse_routes(&routes);
    taken.extend(labs.iter().map(Lab::subnet));
    spec::free_index(&taken)
}

/// Makes the bridge and the rules; what is there already stays as it is.
///
/// # Errors
/// [`crate::diagnostic::Kind::Command`] when the kernel refuses.
pub(super) async fn make(lab: &Lab) -> Result<()> {
    let bridge = lab.bridge();
    if !exists(&bridge).await? {
        ip(&["link", "add", "name", &bridge, "type", "bridge"]).await?;
    }
    let address = format!("{}/24", lab.gateway());
    ip(&["address", "replace", &address, "dev", &bridge]).await?;
    ip(&["link", "set", &bridge, "up"]).await?;
    // Where the bridge had gone, the cables of running nodes hang loose.
    for node in &lab.nodes {
        let cable = lab.cable(node);
        if exists(&cable).await? {
            ip(&["link", "set", &cable, "master", &bridge, "up"]).await?;
        }
    }
    Process::new("nft").args(["-f", "-"]).stdin(rules(lab)).run().await?;
    if forwards_nothing().await {
        pass(lab, "-I").await;
    }
    Ok(())
}

/// Removes the bridge and the rules.
///
/// # Errors
/// As [`make`].
pub(super) async fn remove(lab: &Lab) -> Result<()> {
    pass(lab, "-D").await;
    let table = table(lab);
    let gone = format!("table ip {table}\ndelete table ip {table}\n");
    Process::new("nft").args(["-f", "-"]).stdin(gone).run().await?;
    for node in &lab.nodes {
        remove_link(&lab.cable(node)).await?;
    }
    remove_link(&lab.bridge()).await
}

/// Whether this machine drops what it shall forward, unless a rule says otherwise. Docker sets
/// that; no table of ours can overrule it.
async fn forwards_nothing() -> bool {
    let policy = Process::new("iptables").args(["-w", "-S", "FORWARD"]).output().await;
    policy.is_ok_and(|seen| seen.text().lines().any(|line| line == "-P FORWARD DROP"))
}

/// Adds (`-I`) or deletes (`-D`) the two rules that let the nodes' packets pass, once each. A
/// machine without iptables has no such policy, so a failure is none.
async fn pass(lab: &Lab, change: &str) {
    let bridge = lab.bridge();
    for direction in ["-i", "-o"] {
        let rule = ["FORWARD", direction, &bridge, "-j", "ACCEPT"];
        let there = Process::new("iptables").args(["-w", "-C"]).args(rule).output().await;
        if there.is_ok_and(|seen| (seen.code == 0) == (change == "-D")) {
            let _ = Process::new("iptables").args(["-w", change]).args(rule).output().await;
        }
    }
}

/// Removes a link; none of that name is as good.
pub(super) async fn remove_link(name: &str) -> Result<()> {
    if exists(name).await? {
        let removed = ip(&["link", "delete", name]).await;
        // The kernel removes a dead node's cable by itself, perhaps just now.
        if exists(name).await? {
            removed?;
        }
    }
    Ok(())
}

async fn exists(link: &str) -> Result<bool> {
    Ok(Process::new("ip").args(["link", "show", link]).output().await?.code == 0)
}

async fn ip(args: &[&str]) -> Result<String> {
    Ok(Process::new("ip").args(args).run().await?.text())
}

/// The name of the table that lets the nodes out; those for faults begin with it.
pub(super) fn table(lab: &Lab) -> String {
    format!("slipway_lab_{}", lab.index)
}

/// The whole table, which replaces an older one in a single transaction.
fn rules(lab: &Lab) -> String {
    let (table, net) = (table(lab), lab.subnet());
    format!(
        "table ip {table}
delete table ip {table}
table ip {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {net} ip daddr != {net} masquerade
  }}
  chain forward {{
    type filter hook forward priority mangle;
    ip saddr {net} tcp flags syn tcp option maxseg size set rt mtu
  }}
}}
"
    )
}

fn parse_routes(routes: &str) -> Vec<Ipv4Net> {
    let kinds = ["local", "broadcast", "unreachable", "blackhole", "prohibit", "throw"];
    let destination = |line: &str| {
        let word = line.split_whitespace().find(|word| !kinds.contains(word))?;
        if word.contains('/') { word.parse().ok() } else { format!("{word}/32").parse().ok() }
    };
    routes.lines().filter_map(destination).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_of_all_kinds_of_routes_count_as_taken() {
        let routes = "default via 172.16.0.1 dev eth0\n10.77.0.0/24 dev slw0 scope link\n\
                      local 10.77.1.1 dev x table local\nbroadcast 10.0.0.255 dev x\n";
        let taken = parse_routes(routes).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(taken, ["10.77.0.0/24", "10.77.1.1/32", "10.0.0.255/32"]);
    }
}
