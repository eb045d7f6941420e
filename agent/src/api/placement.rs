//! Placement: which clusters a `ManifestSet` travels to, and what came of it in each.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::ConditionStatus;
use super::text::PRINTABLE;

/// How many clusters a set's status tells of, one by one.
pub const MOST_RESULTS: usize = 128;

/// The value of a label, as Kubernetes has it.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$";
/// The key of a label, as Kubernetes has it: a name, perhaps after a DNS domain and a slash.
const LABEL_KEY: &str =
    "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$";

/// Chooses clusters by the labels of their registrations. All that it says must hold; one that says
/// nothing chooses every cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.matchLabels) || self.matchLabels.all(key, key.size() <= 317)",
    "message": "a label's key has at most 317 characters",
}]))]
pub struct ClusterSelector {
    /// Labels that a cluster must have, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, LabelValue>", extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, String>,
    /// What else must hold of its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<Requirement>,
}

/// What must hold of one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
    "message": "In and NotIn need values; Exists and DoesNotExist have none",
}]))]
pub struct Requirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317), regex(pattern = LABEL_KEY))]
    pub key: String,
    /// How its value is compared.
    pub operator: Operator,
    /// With what, for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<LabelValue>", length(max = 64))]
    pub values: Vec<String>,
}

/// Stands for a label's value in schemas.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct LabelValue(#[schemars(length(max = 63), regex(pattern = LABEL_VALUE))] String);

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// It is there, with one of the values.
    In,
    /// It is not there, or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl ClusterSelector {
    /// Whether a cluster with these labels is chosen.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|one| one.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// How far a set has come among the clusters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// How many clusters it is meant for.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub clusters: i32,
    /// In how many of them all objects are as the set means them.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub applied: i32,
    /// What came of it in each; where there are too many, in those that lack it first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_RESULTS))]
    pub results: Vec<ClusterResult>,
}

/// What came of a set in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterResult {
    /// The cluster's name.
    #[schemars(length(max = 63), regex(pattern = PRINTABLE))]
    pub name: String,
    /// Whether all objects are there as the set means them.
    pub applied: ConditionStatus,
    /// Why not, or why nobody can tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256), regex(pattern = PRINTABLE))]
    pub message: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_choose_as_kubernetes_own_do() {
        let one = |key: &str, operator: &str, values: &[&str]| {
            let mut one = json!({ "key": key, "operator": operator });
            if !values.is_empty() {
                one["values"] = json!(values);
            }
            json!({ "matchExpressions": [one] })
        };
        let table = [
            (json!({}), true),
            (json!({ "matchLabels": { "region": "east" } }), true),
            (json!({ "matchLabels": { "region": "east", "tier": "gold" } }), true),
            (json!({ "matchLabels": { "region": "west" } }), false),
            (json!({ "matchLabels": { "zone": "east" } }), false),
            (one("region", "In", &["west", "east"]), true),
            (one("region", "In", &["west"]), false),
            (one("zone", "In", &["east"]), false),
            (one("region", "NotIn", &["west"]), true),
            (one("region", "NotIn", &["east"]), false),
            (one("zone", "NotIn", &["east"]), true),
            (one("tier", "Exists", &[]), true),
            (one("zone", "Exists", &[]), false),
            (one("zone", "DoesNotExist", &[]), true),
            (one("tier", "DoesNotExist", &[]), false),
            (
                json!({
                    "matchLabels": { "region": "east" },
                    "matchExpressions": [{ "key": "tier", "operator": "DoesNotExist" }],
                }),
                false,
            ),
        ];
        let labels = [("region", "east"), ("tier", "gold")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        for (selector, expected) in table {
            let read: ClusterSelector = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(read.matches(&labels), expected, "{selector}");
            assert_eq!(serde_json::to_value(&read).unwrap(), selector);
        }
    }
}
