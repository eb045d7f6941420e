//! Conditions: what is true of an object, since when, and why.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{PRINTABLE, TIME, clip};

/// The largest integer that every JSON parser reads exactly.
pub(super) const GENERATIONS: i64 = (1 << 53) - 1;

/// One condition, of the form of Kubernetes' own, with bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, in CamelCase.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Za-z]*$"))]
    pub kind: String,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// Why, in one CamelCase word.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Z][A-Za-z0-9]*$"))]
    pub reason: String,
    /// Why, for a person.
    #[serde(default)]
    #[schemars(length(max = 512), regex(pattern = PRINTABLE))]
    pub message: String,
    /// Since when `status` has been what it is.
    #[schemars(with = "TimeSchema")]
    pub last_transition_time: Time,
    /// The generation of the object that this was judged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = GENERATIONS))]
    pub observed_generation: Option<i64>,
}

/// Stands for [`Time`] in schemas: times from 2000 to 2999, which Go and Rust both read. The hub's
/// controller could not read an object with any other time.
#[derive(JsonSchema)]
#[schemars(extend("format" = "date-time"))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct TimeSchema(#[schemars(length(max = 30), regex(pattern = TIME))] String);

/// Whether a condition is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Nobody can tell.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl Condition {
    /// A condition whose status changed now; `message` is escaped and cut as the API demands.
    #[must_use]
    pub fn new(
        kind: &str,
        status: impl Into<ConditionStatus>,
        reason: &str,
        message: &str,
        generation: Option<i64>,
    ) -> Self {
        Self {
            kind: kind.to_owned(),
            status: status.into(),
            reason: reason.to_owned(),
            message: clip(message, 512),
            last_transition_time: Time(Timestamp::now()),
            observed_generation: generation,
        }
    }

    /// Whether both are equal but for the time of their last transition.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let last_transition_time = other.last_transition_time.clone();
        Self { last_transition_time, ..self.clone() } == *other
    }
}

/// The condition of this type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Whether the condition of this type is `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Sets the condition of `new`'s type; while the status stays, so does the time of its last transition.
/// Returns whether anything but that time changed.
pub fn put(conditions: &mut Vec<Condition>, mut new: Condition) -> bool {
    let Some(old) = conditions.iter_mut().find(|condition| condition.kind == new.kind) else {
        conditions.push(new);
        return true;
    };
    if old.status == new.status {
        new.last_transition_time = old.last_transition_time.clone();
    }
    let changed = !old.same(&new);
    *old = new;
    changed
}
