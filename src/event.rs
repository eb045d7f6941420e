//! Events: all that the engine reports. Reporters decide what a person or program sees.

use serde::Serialize;

use crate::diagnostic::Error;

/// The version of the events' form, raised when a reader of the JSON would have to change.
pub const SCHEMA: u32 = 1;

/// Something that happened during a run.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run began.
    RunStarted {
        /// `preflight`, `plan` or `apply`.
        run: &'static str,
        /// The cluster.
        cluster: String,
        /// Its nodes, in the inventory's order.
        nodes: Vec<String>,
    },
    /// A node is connected and was surveyed.
    Connected {
        /// The node.
        node: String,
        /// Its operating system and Kubernetes membership, in words.
        about: String,
    },
    /// Preflight found something.
    Finding {
        /// The node, if it is about one.
        node: Option<String>,
        /// The check's name.
        check: &'static str,
        /// `error` or `warning`.
        severity: &'static str,
        /// What was found.
        what: String,
        /// What to do.
        todo: String,
    },
    /// A node begins a step in which something differs.
    StepStarted {
        /// The node.
        node: String,
        /// The step.
        step: &'static str,
    },
    /// A node waits for its turn, or for another node.
    Waiting {
        /// The node.
        node: String,
        /// The step that it may not begin yet.
        step: &'static str,
        /// What for, in words.
        reason: String,
    },
    /// A command that changes the node starts.
    Changing {
        /// The node.
        node: String,
        /// The step.
        step: &'static str,
        /// The resource.
        resource: String,
        /// What the command does, in words.
        what: String,
    },
    /// A change was made, or not.
    Changed {
        /// The node.
        node: String,
        /// The step.
        step: &'static str,
        /// The resource.
        resource: String,
        /// How long the command took, in milliseconds.
        millis: u64,
    },
    /// A node finished a step.
    StepFinished {
        /// The node.
        node: String,
        /// The step.
        step: &'static str,
        /// Resources that were changed.
        changed: usize,
        /// How long it took, in milliseconds, without waiting for other nodes.
        millis: u64,
    },
    /// A node failed a step; it goes no further.
    StepFailed {
        /// The node.
        node: String,
        /// The step.
        step: &'static str,
        /// Why.
        #[serde(serialize_with = "as_text")]
        error: Error,
    },
    /// A node stopped before a step, because another failed.
    NotAttempted {
        /// The node.
        node: String,
        /// The step.
        step: &'static str,
        /// Why, in words.
        reason: String,
    },
    /// A node has nothing more to do.
    NodeFinished {
        /// The node.
        node: String,
    },
    /// The run is over.
    RunFinished {
        /// Resources that were changed.
        changed: usize,
        /// Nodes that failed or were held back.
        failed: usize,
        /// How long it took, in milliseconds.
        millis: u64,
    },
}

fn as_text<S: serde::Serializer>(error: &Error, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(error)
}

/// Takes events; called from many tasks at once.
pub trait Sink: Send + Sync {
    /// Takes one event. Must not block for long.
    fn take(&self, event: Event);
}

/// A sink that drops everything.
pub struct Quiet;

impl Sink for Quiet {
    fn take(&self, _event: Event) {}
}
