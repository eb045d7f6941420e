//! What slipway can bring about on a node: each kind of thing knows how to look at itself, how to
//! tell what differs, and which commands make it so. All three are pure; [`crate::engine`] alone
//! has effects.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::command::{Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::secret::Secret;

mod block;
mod corefile;
mod dead;
mod diff;
mod dns;
mod file;
mod health;
mod image;
mod join;
mod kubernetes;
mod manifest;
mod package;
mod registration;
mod reset;
mod sandbox;
mod system;
mod token;
mod unit;
mod vrrp;
mod written;

pub use block::Block;
pub use corefile::Upstream;
pub use dead::{Anew, NoEtcdMember, NoNode};
pub use dns::{ClusterDns, DnsSpread};
pub use file::{Absent, Content, Directory, File, sha256};
pub use health::Healthy;
#[cfg(test)]
pub use health::lines;
pub use image::{Image, Images};
pub use join::{ApiServer, ControlPlaneJoin, EtcdJoin, Join, Reachable};
pub use kubernetes::{Init, SUPER_ADMIN, ServingCertificate, Synchronised, Token, Voter};
pub use manifest::{Manifest, ServerKey, Taints};
pub use package::{Package, Packages};
pub use registration::{AtHub, Hub, Registration};
pub use reset::{Reset, Undone};
pub use sandbox::{CalicoConfig, Component};
pub use system::{Hostname, Modules, NoSwap, Sysctls};
pub use token::{NoAutoApproval, NoTokens};
pub use unit::Unit;
pub use vrrp::VrrpFilter;
pub use written::{Asked, ETCD, KubeletFiles, Objects, STATIC_PODS, StaticPod};

/// One thing on one node, as it shall be.
pub trait Resource: Send + Sync {
    /// Names it in plans, events and errors: its kind and which one, `file /etc/hosts`.
    fn id(&self) -> String;

    /// How to look at it.
    fn probe(&self) -> Probe;

    /// What differs from what is meant.
    ///
    /// # Errors
    /// When what was seen must not be changed: another cluster's keys, say.
    fn compare(&self, seen: &Output) -> Result<Drift>;

    /// The commands that bring it about, given what was seen. Empty for what comes about by itself
    /// and is only waited for.
    fn converge(&self, seen: &Output) -> Vec<Change>;

    /// Whether it is only waited for: none of its commands changes anything.
    fn awaited(&self, seen: &Output) -> bool {
        self.converge(seen).iter().all(|change| change.waits)
    }

    /// Whether an earlier step of the same run takes away what a plan sees of it.
    fn goes_first(&self) -> bool {
        false
    }

    /// How what lives is looked for once more, at the moment of a change that could undo it.
    fn guard(&self) -> Option<Guard> {
        None
    }

    /// Why the change is forbidden by what the guard saw, whatever the plan said.
    fn forbidden(&self, _seen: &Output) -> Option<String> {
        None
    }

    /// What these commands disturb.
    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        None
    }

    /// How long it may take to come about after the commands.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether its commands' success already proves that it is as meant: no second look then.
    fn proven(&self) -> bool {
        false
    }

    /// Whether it may stay different after its commands: what nobody can bring about now.
    fn waived(&self, _seen: &Output) -> bool {
        false
    }

    /// A line for the error when it did not come about in time, from what was seen last.
    fn explain(&self, _seen: &Output) -> Option<String> {
        None
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// It is as meant.
    None,
    /// It is not.
    Differs(Diff),
}

/// What differs, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// In a few words: `new, 0644`, `restart`.
    pub summary: String,
    /// A unified diff, where there is text to show.
    pub text: Option<String>,
}

impl Drift {
    /// It differs, in these words.
    pub fn differs(summary: impl Into<String>) -> Self {
        Self::Differs(Diff { summary: summary.into(), text: None })
    }

    /// [`Drift::None`] if `same`, else these words.
    pub fn unless(same: bool, summary: impl Into<String>) -> Self {
        if same { Self::None } else { Self::differs(summary) }
    }
}

/// What a change disturbs beside what it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disruption {
    /// This unit restarts.
    Restart(String),
    /// `kubeadm reset`: what [`Reset::takes_away`] names is gone afterwards.
    Reset,
    /// etcd gets one more voting member.
    Voter,
    /// etcd loses a voting member, which was dead already.
    VoterLeaves,
}

/// The last guard of what lives. A kubelet may make its node a member between a look and the change
/// that follows it, so the node is asked, holds still, and is asked again.
#[derive(Debug, Clone)]
pub struct Guard {
    /// What is asked, both times; [`Resource::forbidden`] judges it.
    pub probe: Probe,
    /// Lets nothing come alive any more.
    pub hold: Change,
    /// Takes `hold` back, where the change is forbidden then.
    pub release: Change,
}

/// A command that changes a node.
#[derive(Debug, Clone)]
pub struct Change {
    /// What it does, for people: `write /etc/hosts`.
    pub what: String,
    /// The command.
    pub cmd: Cmd,
    /// Whether it may be run again after it failed half-way.
    pub repeatable: bool,
    /// Whether the command only waits: it changes nothing then.
    pub waits: bool,
    /// What must be done elsewhere before the command, whose input it gives.
    pub first: Option<Arc<dyn Elsewhere>>,
}

/// What is done neither on a node nor by a command: at the hub.
pub trait Elsewhere: Debug + Send + Sync {
    /// Does it; gives what the command reads then. May be done again.
    fn act(&self) -> Doing<'_>;
}

/// Something that is being done elsewhere.
pub type Doing<'a> = Pin<Box<dyn Future<Output = Result<Secret<Vec<u8>>>> + Send + 'a>>;

impl Change {
    /// `cmd`, which does `what`.
    pub fn new(what: impl Into<String>, cmd: Cmd) -> Self {
        Self { what: what.into(), cmd, repeatable: false, waits: false, first: None }
    }

    /// It may be run again after it failed half-way.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Before the command, this is done elsewhere; it gives what the command reads.
    #[must_use]
    pub fn after(mut self, first: Arc<dyn Elsewhere>) -> Self {
        self.first = Some(first);
        self
    }

    /// `cmd`, which only waits.
    pub fn wait(what: impl Into<String>, cmd: Cmd) -> Self {
        Self { waits: true, ..Self::new(what, cmd) }
    }
}

/// A boxed resource, as steps list them.
pub fn boxed(resource: impl Resource + 'static) -> Box<dyn Resource> {
    Box::new(resource)
}
