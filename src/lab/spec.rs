//! What a lab is: its nodes, names and addresses. Pure; nothing here touches the machine.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::quantity::Size;
use crate::diagnostic::{Error, Kind, Result};

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the API server and etcd.
    ControlPlane,
    /// Runs workloads only.
    Worker,
}

impl Role {
    /// The role as an inventory writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
        }
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `cp-1`, `w-1`, …: also the host name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its address on the lab's bridge.
    pub address: Ipv4Addr,
    /// The root file system below its own disk.
    pub image: PathBuf,
    /// The size of its disk; without one, it shares this machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Size>,
}

/// One lab, as recorded on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lab {
    /// The name that the user gave.
    pub name: String,
    /// N in 10.77.N.0/24, which is this lab's alone.
    pub index: u8,
    /// Where the inventory and the key are.
    pub dir: PathBuf,
    /// The Kubernetes version that the inventory asks for.
    pub kubernetes: String,
    /// The inventory as last written, to tell a user's edits from ours.
    pub inventory: String,
    /// The nodes, control planes first.
    pub nodes: Vec<Node>,
}

/// Most nodes of one role: the addresses .11–.20 and .21–.99.
const MOST: [(Role, u8, &str, u8); 2] =
    [(Role::ControlPlane, 10, "cp", 9), (Role::Worker, 20, "w", 79)];

impl Lab {
    /// The lab's network.
    #[must_use]
    pub fn subnet(&self) -> Ipv4Net {
        subnet(self.index)
    }

    fn host(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.index, last)
    }

    /// This machine's address on the bridge: the nodes' router and time server.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.host(1)
    }

    /// The virtual address for the API, which no node has by itself.
    #[must_use]
    pub fn endpoint(&self) -> Ipv4Addr {
        self.host(100)
    }

    /// The bridge's name. Short, since the kernel allows 15 bytes.
    #[must_use]
    pub fn bridge(&self) -> String {
        format!("slw{}", self.index)
    }

    /// A node's name among all containers of this machine.
    #[must_use]
    pub fn machine(&self, node: &Node) -> String {
        format!("{}-{}", self.bridge(), node.name)
    }

    /// This machine's end of a node's cable; systemd-nspawn names it after the container.
    #[must_use]
    pub fn cable(&self, node: &Node) -> String {
        format!("vb-{}", self.machine(node))
    }

    /// The node called `name`.
    ///
    /// # Errors
    /// [`Kind::Usage`] when there is none.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            Error::new(Kind::Usage, format!("lab `{}` has no node `{name}`", self.name))
                .hint(format!("its nodes are {}", names.join(", ")))
        })
    }

    /// How many nodes have `role`.
    #[must_use]
    pub fn count(&self, role: Role) -> u8 {
        let count = self.nodes.iter().filter(|node| node.role == role).count();
        u8::try_from(count).unwrap_or(u8::MAX)
    }

    /// Adds nodes until `count` have `role`; those get `image` and `disk`.
    ///
    /// # Errors
    /// [`Kind::Usage`] for fewer than there are, or more than there are addresses.
    pub fn grow(&mut self, role: Role, count: u8, image: &Path, disk: Option<Size>) -> Result<()> {
        let have = self.count(role);
        if count < have {
            let what = format!("lab `{}` has {have} nodes of role {}", self.name, role.name());
            return Err(Error::new(Kind::Usage, format!("{what}: it cannot shrink to {count}"))
                .hint(format!("`slipway lab down --name {}` first", self.name)));
        }
        for (_, base, prefix, most) in MOST.iter().filter(|of| of.0 == role) {
            if count > *most {
                let what = format!("a lab has at most {most} nodes of role {}", role.name());
                return Err(Error::new(Kind::Usage, what));
            }
            self.nodes.extend((have + 1..=count).map(|number| Node {
                name: format!("{prefix}-{number}"),
                role,
                address: Ipv4Addr::new(10, 77, self.index, base + number),
                image: image.to_owned(),
                disk,
            }));
        }
        self.nodes.sort_by_key(|node| node.address);
        Ok(())
    }
}

/// The network of the lab with this index.
#[must_use]
pub fn subnet(index: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(10, 77, index, 0), 24)
}

/// The first index whose network overlaps none of `taken`.
///
/// # Errors
/// [`Kind::Machine`] when all 256 are taken.
pub fn free_index(taken: &[Ipv4Net]) -> Result<u8> {
    let free = |index: &u8| {
        let net = subnet(*index);
        !taken.iter().any(|other| other.contains(&net) || net.contains(other))
    };
    (0..=u8::MAX)
        .find(free)
        .ok_or_else(|| Error::new(Kind::Machine, "no network 10.77.N.0/24 is free on this machine"))
}

/// Checks the name of `what`: a lab's becomes a directory, a control group and a cluster name, a
/// snapshot's a directory.
///
/// # Errors
/// [`Kind::Usage`] for anything but up to 30 lower-case letters, digits and inner hyphens.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.len() <= 30
        && name.starts_with(plain)
        && name.ends_with(plain)
        && name.chars().all(|c| plain(c) || c == '-');
    if good {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("`{name}` cannot be the name of {what}"))
        .hint("use up to 30 lower-case letters, digits and hyphens, say `lab-2`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab(control_planes: u8, workers: u8) -> Result<Lab> {
        let mut lab = Lab {
            name: "x".into(),
            index: 3,
            dir: "/d".into(),
            kubernetes: "1.0.0".into(),
            inventory: String::new(),
            nodes: Vec::new(),
        };
        lab.grow(Role::ControlPlane, control_planes, Path::new("/i"), None)?;
        lab.grow(Role::Worker, workers, Path::new("/i"), None)?;
        Ok(lab)
    }

    #[test]
    fn nodes_have_names_and_addresses_by_role() {
        let lab = lab(2, 1).unwrap();
        let nodes: Vec<String> =
            lab.nodes.iter().map(|node| format!("{} {}", node.name, node.address)).collect();
        assert_eq!(nodes, ["cp-1 10.77.3.11", "cp-2 10.77.3.12", "w-1 10.77.3.21"]);
    }

    #[test]
    fn growing_keeps_the_nodes_there_are() {
        let mut grown = lab(1, 1).unwrap();
        grown.grow(Role::ControlPlane, 3, Path::new("/i"), None).unwrap();
        assert_eq!(grown, lab(3, 1).unwrap());
        let fewer = grown.grow(Role::Worker, 0, Path::new("/i"), None);
        assert_eq!(fewer.unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn interface_names_fit_the_kernel() {
        let mut lab = lab(9, 79).unwrap();
        lab.index = 255;
        assert!(lab.nodes.iter().all(|node| lab.cable(node).len() <= 15));
        assert!(super::tests::lab(10, 0).is_err());
    }

    #[test]
    fn a_taken_network_is_passed_over() {
        let taken = ["10.77.0.0/24", "10.77.1.128/25", "10.77.2.0/23"].map(|n| n.parse().unwrap());
        assert_eq!(free_index(&taken).unwrap(), 4);
        assert!(free_index(&["10.0.0.0/8".parse().unwrap()]).is_err());
    }

    #[test]
    fn names_are_checked() {
        for good in ["lab", "t-lab-a", "7"] {
            check_name("a lab", good).unwrap();
        }
        for bad in ["", "-a", "a-", "A", "a/b", "..", "a_b", &"x".repeat(31)] {
            assert_eq!(check_name("a lab", bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }
}
