//! Nodes that a person takes out of the cluster.

use super::{Cluster, Node};

/// A node that a person takes out of the cluster, with `slipway node remove`.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// Its name.
    pub name: String,
    /// Its line of the inventory, by which its machine is reached; `None` where it has none any more.
    pub node: Option<Node>,
    /// Whether it goes even if it is not Ready: nobody can move its pods then.
    pub even_silent: bool,
}

impl Cluster {
    /// Takes these nodes out: what is meant is a cluster without them.
    pub fn take_out(&mut self, names: &[String], even_silent: bool) {
        for name in names {
            if !self.leaves(name) {
                let at = self.nodes.iter().position(|node| node.name == *name);
                let node = at.map(|at| self.nodes.remove(at));
                self.leaving.push(Leaving { name: name.clone(), node, even_silent });
            }
        }
    }

    /// Whether the node of that name is taken out.
    #[must_use]
    pub fn leaves(&self, name: &str) -> bool {
        self.leaving.iter().any(|leaving| leaving.name == name)
    }

    /// All machines that the inventory has: the nodes, and those that are taken out.
    pub fn machines(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().chain(self.leaving.iter().filter_map(|leaving| leaving.node.as_ref()))
    }
}
