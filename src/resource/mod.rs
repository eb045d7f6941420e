//! The kinds of things that slipway manages on a node: files, packages, units, memberships. Each has three
//! pure functions: how to look at it, what differs, and which commands change it. Only [`crate::engine`] has
//! effects.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::command::{Cmd, Output};
use crate::diagnostic::Result;
use crate::probe::Probe;
use crate::secret::Secret;

mod block;
mod certificate;
mod cordon;
mod corefile;
mod deprecated;
mod diff;
mod dns;
mod drain;
mod ended;
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
mod snapshot;
mod stale;
mod system;
mod taints;
mod token;
mod unit;
mod vrrp;
mod written;

pub use block::Block;
pub use certificate::ApiServerCertificate;
pub use cordon::Cordon;
pub use corefile::Upstream;
pub use deprecated::DeprecatedApis;
pub use dns::{ClusterDns, DnsSpread};
pub use drain::{Drained, Evictions, Returned};
pub use ended::Ended;
pub use file::{Absent, Content, Directory, File, sha256};
pub use health::Healthy;
#[cfg(test)]
pub use health::lines;
pub use image::{Image, Images};
pub use join::{ApiServer, ControlPlaneJoin, EtcdJoin, Join, Reachable};
pub use kubernetes::{Init, SUPER_ADMIN, ServingCertificate, Synchronised, Token, Voter};
#[cfg(test)]
pub(crate) use manifest::APPLY;
pub use manifest::{Manifest, ServerKey};
pub use package::{Package, Packages};
pub use registration::{AtHub, Hub, Registration};
#[cfg(test)]
pub(crate) use reset::GONE;
pub use reset::{Reset, Undone};
pub use sandbox::{CalicoConfig, Component};
pub use snapshot::EtcdSnapshot;
pub use stale::{NoEtcdMember, NoNode, Recreated};
pub use system::{Hostname, Modules, NoSwap, Sysctls};
pub use taints::Taints;
pub use token::{NoAutoApproval, NoTokens};
pub use unit::Unit;
pub use vrrp::VrrpFilter;
pub use written::{DryRun, ETCD, KubeletFiles, Objects, STATIC_PODS, StaticPod};

/// The desired state of one thing on one node.
pub trait Resource: Send + Sync {
    /// Names it in plans, events and errors: its kind and which one, `file /etc/hosts`.
    fn id(&self) -> String;

    /// The question whose answer [`Resource::compare`] reads.
    fn probe(&self) -> Probe;

    /// What differs from the desired state.
    ///
    /// # Errors
    /// When slipway must not change what was seen: another cluster's keys, say.
    fn compare(&self, seen: &Output) -> Result<Drift>;

    /// The commands that reach the desired state, given what was seen. Empty where the cluster gets there
    /// without slipway, which then only waits.
    fn converge(&self, seen: &Output) -> Vec<Change>;

    /// Whether slipway only waits for it: none of its commands changes anything.
    fn wait_only(&self, seen: &Output) -> bool {
        self.converge(seen).iter().all(|change| change.waits)
    }

    /// Whether an earlier step of the same run replaces what a plan sees of it; the plan then treats it as
    /// absent.
    fn recreated_earlier(&self) -> bool {
        false
    }

    /// The last check before a change that could undo a living member.
    fn guard(&self) -> Option<Guard> {
        None
    }

    /// Why the change must not happen after what the guard saw, whatever the plan said.
    fn forbidden(&self, _seen: &Output) -> Option<String> {
        None
    }

    /// Whether its commands run on the control plane that acts for the cluster, and not on the node: no worker has
    /// the right to do such a thing.
    fn on_leader(&self) -> bool {
        false
    }

    /// What its commands disturb.
    fn disruption(&self, _seen: &Output) -> Option<Disruption> {
        None
    }

    /// How long after its commands it may still differ before that is an error.
    fn timeout(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether success of its commands proves the desired state, so that no second look is needed.
    fn self_verifying(&self) -> bool {
        false
    }

    /// Whether it may still differ after its commands without an error.
    fn best_effort(&self, _seen: &Output) -> bool {
        false
    }

    /// A line for the error when it still differs after its timeout, from what was seen last.
    fn explain(&self, _seen: &Output) -> Option<String> {
        None
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// It matches the desired state.
    None,
    /// It does not.
    Differs(Diff),
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// What becomes of the thing.
    pub action: Action,
    /// In a few words: `new, 0644`, `restart`.
    pub summary: String,
    /// What brought it about, where that is something else: `/etc/containerd/config.toml changed`.
    pub why: Option<String>,
    /// A unified diff, where there is text to show.
    pub text: Option<String>,
}

/// What becomes of a thing that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is not there, and will be.
    Create,
    /// It is there, and becomes another.
    Update,
    /// It is there, and goes.
    Delete,
}

impl Diff {
    /// A difference with this summary, of a thing that becomes another.
    pub fn update(summary: impl Into<String>) -> Self {
        Self { action: Action::Update, summary: summary.into(), why: None, text: None }
    }

    /// A difference with this summary, of a thing that is not there.
    pub fn create(summary: impl Into<String>) -> Self {
        Self { action: Action::Create, ..Self::update(summary) }
    }

    /// A difference with this summary, of a thing that must go.
    pub fn delete(summary: impl Into<String>) -> Self {
        Self { action: Action::Delete, ..Self::update(summary) }
    }

    /// With a unified diff, if there is one.
    #[must_use]
    pub fn text(mut self, text: Option<String>) -> Self {
        self.text = text;
        self
    }
}

impl<T: Into<String>> From<T> for Diff {
    fn from(summary: T) -> Self {
        Self::update(summary)
    }
}

impl Drift {
    /// A drift with this difference; a text alone is the summary of an update.
    pub fn differs(diff: impl Into<Diff>) -> Self {
        Self::Differs(diff.into())
    }

    /// [`Drift::None`] if `same`, else a drift with this difference.
    pub fn unless(same: bool, diff: impl Into<Diff>) -> Self {
        if same { Self::None } else { Self::differs(diff) }
    }
}

/// What a change disturbs besides what it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disruption {
    /// This unit restarts.
    Restart(String),
    /// `kubeadm reset`: what [`Reset::takes_away`] names is gone afterwards.
    Reset,
    /// etcd gets one more voting member.
    Voter,
    /// etcd loses a voting member.
    VoterLeaves {
        /// Whether it still answers; else it was dead already.
        alive: bool,
    },
    /// The pods of the node of this name go elsewhere.
    Drain(String),
}

/// The last check before a change that could undo a living member. A kubelet may register its node between
/// a look and the change that follows, so the engine asks the node, stops its kubelet, and asks again.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The question, both times; [`Resource::forbidden`] judges the answer.
    pub probe: Probe,
    /// Stops whatever could register meanwhile.
    pub hold: Change,
    /// Undoes `hold` where the change turns out to be forbidden.
    pub release: Change,
}

/// A command that changes a node.
#[derive(Debug, Clone)]
pub struct Change {
    /// What it does, for people: `write /etc/hosts`.
    pub what: String,
    /// The command.
    pub cmd: Cmd,
    /// Whether the command may be run again after it failed half-way.
    pub repeatable: bool,
    /// Whether the command only waits and changes nothing.
    pub waits: bool,
    /// What must happen elsewhere first; it returns the command's input.
    pub prerequisite: Option<Arc<dyn Prerequisite>>,
}

/// What must happen before a command, and not on a node: a request to the hub.
pub trait Prerequisite: Debug + Send + Sync {
    /// Does it, and returns what the command reads from its input. May be repeated.
    fn run(&self) -> Running<'_>;
}

/// A [`Prerequisite`] that is being met.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Secret<Vec<u8>>>> + Send + 'a>>;

impl Change {
    /// `cmd`, which does `what`.
    pub fn new(what: impl Into<String>, cmd: Cmd) -> Self {
        Self { what: what.into(), cmd, repeatable: false, waits: false, prerequisite: None }
    }

    /// Marks the command as one that may be run again after it failed half-way.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sets the prerequisite, which returns the command's input.
    #[must_use]
    pub fn after(mut self, prerequisite: Arc<dyn Prerequisite>) -> Self {
        self.prerequisite = Some(prerequisite);
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
