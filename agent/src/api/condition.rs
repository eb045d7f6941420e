//! Conditions: what is true of an object, since when, and why.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{PRINTABLE, TIME, clip};

/// The most that a JSON number can count exactly.
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

/// Stands for [`Time`] in schemas: the times that Go and Rust read alike, in this and the next
/// centuries. One that only Go could read would blind the hub's controller.
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
    /// A condition that came about just now; `message` is made fit for the API.
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

    /// Whether both say the same, whenever they began to.
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

/// Puts `new` in the place of the condition of its type; its time stays while its status does.
/// Returns whether anything changed.
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
