//! What a run is for, and the steps that it goes through.

use crate::steps::{STEPS, Step};

/// What a run is for.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    /// Its name: that of the command.
    pub name: &'static str,
    /// The steps that it goes through, in reading order.
    pub steps: &'static [Step],
    /// Whether it may change nodes: it takes their leases then.
    pub changes: bool,
}

impl Purpose {
    /// To look at the machines alone.
    pub const PREFLIGHT: Self = Self { name: "preflight", steps: &[], changes: false };
    /// To show what an apply would change.
    pub const PLAN: Self = Self { name: "plan", steps: STEPS, changes: false };
    /// To make the machines what the inventory means.
    pub const APPLY: Self = Self { name: "apply", steps: STEPS, changes: true };
}
