//! Findings, and the checks that they come from.

use std::fmt;

use crate::diagnostic::{Error, Kind, Result};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The run would fail, or do harm: nothing is changed.
    Error,
    /// The cluster will work, though worse or not for ever.
    Warning,
}

impl Severity {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something that preflight looks at.
#[derive(Debug)]
pub struct Check {
    /// Its name, for programs and for the documentation.
    pub name: &'static str,
    /// How much its findings weigh.
    pub severity: Severity,
    /// Which nodes it looks at.
    pub of: &'static str,
    /// What it finds, and why that matters; a sentence or two of Markdown.
    pub about: &'static str,
    /// What to do then; a clause of Markdown.
    pub todo: &'static str,
}

/// All nodes.
pub(super) const ALL: &str = "all";
/// Nodes that are not members yet.
pub(super) const JOINING: &str = "not joined";
/// Control planes that are not members yet.
pub(super) const JOINING_CONTROL_PLANES: &str = "control planes, not joined";

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The node; `None`: several, or the cluster.
    pub node: Option<String>,
    /// The [`Check::name`] that it comes from.
    pub check: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What was found; escaped.
    pub what: String,
    /// What to do.
    pub todo: String,
}

impl Check {
    /// A finding on `node`. Whatever of `what` a node printed must be escaped.
    pub(super) fn on(&self, node: &str, what: impl Into<String>) -> Finding {
        Finding { node: Some(node.to_owned()), ..self.overall(what) }
    }

    /// A finding about several nodes, or the cluster.
    pub(super) fn overall(&self, what: impl Into<String>) -> Finding {
        Finding {
            node: None,
            check: self.name,
            severity: self.severity,
            what: what.into(),
            todo: self.todo.to_owned(),
        }
    }
}

impl Finding {
    /// Says something else to do than the check does.
    pub(super) fn todo(self, todo: impl Into<String>) -> Self {
        Self { todo: todo.into(), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if let Some(node) = &self.node {
            write!(f, "{node}: ")?;
        }
        write!(f, "{}; {}", self.what, self.todo)
    }
}

/// Passes if none of `findings` is an error.
///
/// # Errors
/// One error that lists all findings, errors first.
pub fn refuse(findings: &[Finding]) -> Result<()> {
    let of = |severity| findings.iter().filter(move |one| one.severity == severity);
    let message = match of(Severity::Error).count() {
        0 => return Ok(()),
        1 => "1 error stops this run; nothing was changed".to_owned(),
        count => format!("{count} errors stop this run; nothing was changed"),
    };
    let all = of(Severity::Error).chain(of(Severity::Warning));
    let error = all.fold(Error::new(Kind::Preflight, message), |e, one| e.note(one.to_string()));
    Err(error.hint("`slipway preflight` looks again"))
}
