//! A node that is without pods while its kubelet becomes another.

use std::time::Duration;

use super::{Change, Diff, Disruption, Drift, Resource};
use crate::cluster::Drain;
use crate::command::{Cmd, Output, admin};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// What kubectl says where a budget allows no eviction now.
const RETRIED: &str = " (will retry after 5s)";

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
    /// How its pods go.
    pub drain: Drain,
    /// The nodes that are drained after it: what leaves it does not go there.
    pub later: Vec<String>,
}

/// The pods of nodes that will be drained may go. Nothing is done here: a plan says beforehand who would be in the
/// way, and each drain asks again.
pub struct Evictions {
    /// The nodes.
    pub nodes: Vec<String>,
    /// How their pods go.
    pub drain: Drain,
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

/// kubectl's flags for pods that would lose something. Each is there, whether it is given or not.
fn flags(drain: &Drain) -> [String; 2] {
    [
        format!("--delete-emptydir-data={}", drain.delete_empty_dir_data),
        format!("--force={}", drain.force),
    ]
}

impl Resource for Drained {
    fn id(&self) -> String {
        format!("drain of {}", self.node)
    }

    fn probe(&self) -> Probe {
        nothing()
    }

    fn compare(&self, _seen: &Output) -> Result<Drift> {
        let limit = self.drain.timeout.as_secs();
        let mut what = format!("its pods go elsewhere, within {limit} s");
        if !self.drain.past.is_empty() {
            what.push_str(&format!(", past the budgets {}", self.drain.past.join(", ")));
        }
        Ok(Drift::differs(what))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        let cmd = Cmd::shell(DRAIN)
            .args([self.node.clone(), self.drain.timeout.as_secs().to_string()])
            .args(flags(&self.drain))
            .arg(self.drain.past.join(" "))
            .args(&self.later)
            .within(self.drain.timeout + Duration::from_secs(120));
        vec![Change::new(format!("drain {}", self.node), cmd).repeatable()]
    }

    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        Some(Disruption::Drain(self.node.clone()))
    }

    fn on_leader(&self) -> bool {
        true
    }

    fn self_verifying(&self) -> bool {
        true
    }
}

/// Who is in the way, and why, by a line of kubectl's; of what it says twice, one.
fn refused(line: &str) -> Option<String> {
    let (node, said) = line.split_once(' ')?;
    let said = match said.strip_prefix("error when evicting ") {
        Some(said) if said.contains(RETRIED) => said.replacen(RETRIED, "", 1),
        None if said.starts_with("cannot delete ") => {
            said.replace("use --force to override", "unless `spec.drain.force`").replace(
                "use --delete-emptydir-data to override",
                "unless `spec.drain.deleteEmptyDirData`",
            )
        }
        _ => return None,
    };
    Some(format!("{node}: {said}"))
}

impl Resource for Evictions {
    fn id(&self) -> String {
        "evictions".to_owned()
    }

    fn probe(&self) -> Probe {
        let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        Probe::evictions(&flags(&self.drain), &nodes)
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = seen.text();
        let refused: Vec<String> = text.lines().filter_map(refused).collect();
        if refused.is_empty() {
            return Ok(Drift::None);
        }
        let mut now = format!("{} would be refused now: drains wait for them", refused.len());
        if !self.drain.past.is_empty() {
            now.push_str(&format!(", but not for the budgets {}", self.drain.past.join(", ")));
        }
        Ok(Drift::Differs(Diff::update(now).text(Some(refused.join("\n")))))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        Vec::new()
    }

    fn best_effort(&self, _seen: &Output) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_once_who_would_be_in_the_way() {
        let evictions = Evictions { nodes: Vec::new(), drain: Drain::default() };
        let compare = |text: &str| {
            let seen = Output { stdout: text.into(), ..Output::default() };
            match evictions.compare(&seen).unwrap() {
                Drift::None => String::new(),
                Drift::Differs(diff) => format!("{}\n{}", diff.summary, diff.text.unwrap()),
            }
        };
        assert_eq!(compare(""), "");
        let said = concat!(
            "w-1 error when evicting pods/\"web-0\" -n \"shop\" (will retry after 5s): Cannot evict pod as it would \
             violate the pod's disruption budget.\n",
            "w-1 error: unable to drain node \"w-1\" due to error: error when evicting pods/\"web-0\" -n \"shop\": \
             Cannot evict pod\n",
            "w-2 cannot delete Pods that declare no controller (use --force to override): shop/alone\n",
        );
        let expected = "2 would be refused now: drains wait for them\n\
            w-1: pods/\"web-0\" -n \"shop\": Cannot evict pod as it would violate the pod's disruption budget.\n\
            w-2: cannot delete Pods that declare no controller (unless `spec.drain.force`): shop/alone";
        assert_eq!(compare(said), expected);
    }
}
