//! What a run is for, and the steps that it goes through.

use crate::diagnostic::{Error, Kind, Result};
use crate::steps::{CORDON, DRAIN, REMOVAL, STEPS, Step, UNCORDON};

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
    pub const PREFLIGHT: Self = Self::of("preflight", &[], false);
    /// To show what an apply would change.
    pub const PLAN: Self = Self::of("plan", STEPS, false);
    /// To make the machines what the inventory means.
    pub const APPLY: Self = Self::of("apply", STEPS, true);

    /// To take nodes out of the cluster: those of [`crate::cluster::Cluster::leaving`].
    pub const REMOVE: Self = Self::of("remove", REMOVAL, true);

    /// That nodes take no new pods: those of [`crate::cluster::Cluster::maintained`], as below.
    pub const CORDON: Self = Self::of("cordon", CORDON, true);
    /// That their pods go elsewhere.
    pub const DRAIN: Self = Self::of("drain", DRAIN, true);
    /// That they take pods again.
    pub const UNCORDON: Self = Self::of("uncordon", UNCORDON, true);

    const fn of(name: &'static str, steps: &'static [Step], changes: bool) -> Self {
        Self { name, steps, changes }
    }

    /// The same with the steps named in `only`, if any is, and without those named in `skip`.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a step that there is not, or when none is left.
    pub fn select(self, only: &[String], skip: &[String]) -> Result<Self> {
        if only.is_empty() && skip.is_empty() {
            return Ok(self);
        }
        let steps = || self.steps.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
        let known = |name: &&String| self.steps.iter().any(|step| step.name == **name);
        if let Some(unknown) = only.iter().chain(skip).find(|name| !known(name)) {
            let message = format!("there is no step `{unknown}`");
            return Err(Error::new(Kind::Usage, message).hint(format!("steps are: {}", steps())));
        }
        let has = |names: &[String], step: &Step| names.iter().any(|name| name == step.name);
        let selected = |step: &&Step| (only.is_empty() || has(only, step)) && !has(skip, step);
        let left: Vec<Step> = self.steps.iter().filter(selected).copied().collect();
        if left.is_empty() {
            return Err(Error::new(Kind::Usage, "no step is left of --only and --skip"));
        }
        // A process has one run, and its steps live as long.
        Ok(Self { steps: left.leak(), ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str], skip: &[&str]) -> Result<Vec<&'static str>> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let purpose = Purpose::PLAN.select(&owned(only), &owned(skip))?;
        Ok(purpose.steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn steps_are_selected_in_reading_order() {
        assert_eq!(names(&["health", "time"], &[]).unwrap(), ["time", "health"]);
        assert_eq!(names(&["health", "time"], &["time"]).unwrap(), ["health"]);
        assert_eq!(names(&[], &["time"]).unwrap().len(), STEPS.len() - 1);
        assert_eq!(names(&[], &[]).unwrap().len(), STEPS.len());
    }

    #[test]
    fn an_unknown_step_is_named() {
        let error = names(&["helth"], &[]).unwrap_err().to_string();
        assert!(error.contains("`helth`") && error.contains("time, "), "{error}");
        assert!(names(&["time"], &["time"]).is_err());
    }
}
