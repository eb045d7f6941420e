//! A node that is without pods while its kubelet becomes another.

use std::time::Duration;

use super::{Change, Disruption, Drift, Resource};
use crate::command::{Cmd, Output, admin};
use crate::diagnostic::Result;
use crate::probe::Probe;

const DRAIN: &str = concat!(admin!(), include_str!("uncordon.sh"), include_str!("drain.sh"));
const RETURN: &str = concat!(admin!(), include_str!("uncordon.sh"), include_str!("return.sh"));

/// As long as [`RETURN`] waits, and its requests may take.
const RETURNS: Duration = Duration::from_secs(330);

/// The node runs no pods but its own, before its kubelet becomes one of another minor version: these keep
/// nothing of what the other one knew of its pods (kubernetes.io, "Version Skew Policy": in-place minor version
/// kubelet upgrades are not supported).
pub struct Drained {
    /// The node.
    pub node: String,
    /// How long pods' budgets are waited for.
    pub timeout: Duration,
    /// Whether pods go that lose what is in their emptyDir.
    pub empty_dirs: bool,
    /// Whether pods go that nobody makes anew.
    pub unowned: bool,
}

/// The node is Ready with its new kubelet, and takes pods again, unless a person keeps them away.
pub struct Returned {
    /// The node.
    pub node: String,
    /// The kubelet's version, `v1.37.2`.
    pub version: String,
}

/// What the kubelet says of itself is known from the survey; on the node there is nothing to ask.
fn nothing() -> Probe {
    Probe::exist(&[])
}

impl Resource for Drained {
    fn id(&self) -> String {
        format!("drain of {}", self.node)
    }

    fn probe(&self) -> Probe {
        nothing()
    }

    fn compare(&self, _seen: &Output) -> Result<Drift> {
        let limit = self.timeout.as_secs();
        Ok(Drift::differs(format!("its pods go elsewhere, within {limit} s")))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let flag = |given: bool, flag: &str| {
            if given { flag.to_owned() } else { "--force=false".to_owned() }
        };
        let cmd = Cmd::shell(DRAIN)
            .args([self.node.clone(), self.timeout.as_secs().to_string()])
            .args([flag(self.empty_dirs, "--delete-emptydir-data"), flag(self.unowned, "--force")])
            .within(self.timeout + Duration::from_secs(120));
        vec![Change::new(format!("drain {}", self.node), cmd).repeatable()]
    }

    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        Some(Disruption::Drain)
    }

    fn on_leader(&self) -> bool {
        true
    }

    fn self_verifying(&self) -> bool {
        true
    }
}

impl Resource for Returned {
    fn id(&self) -> String {
        format!("return of {}", self.node)
    }

    fn probe(&self) -> Probe {
        nothing()
    }

    fn compare(&self, _seen: &Output) -> Result<Drift> {
        Ok(Drift::differs(format!("Ready with {}, and takes pods", self.version)))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::shell(RETURN).args([&self.node, &self.version]).within(RETURNS);
        vec![Change::new(format!("wait for {}, and let pods come", self.node), cmd).repeatable()]
    }

    fn on_leader(&self) -> bool {
        true
    }

    fn self_verifying(&self) -> bool {
        true
    }
}
