//! Whether two values mean the same to a kubelet, however they are written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::form::{Form, amount, is_nothing, nanoseconds};
use super::values::{Must, must};
use super::{Fields, ROOT};

/// Whether the setting `key` is the same for a kubelet with these `fields` when it is `now` as when it
/// is `wanted`; null stands for a setting that is not there.
///
/// kubeadm writes what it was given in its own way: the duration `120s` as `2m0s`, and what is empty or
/// zero not at all.
#[must_use]
pub fn same(fields: Fields, key: &str, now: &Value, wanted: &Value) -> bool {
    match fields.struct_of(ROOT).find(|(name, _)| *name == key) {
        Some((_, form)) => alike(fields, form, must(ROOT, key), now, wanted),
        None => now == wanted,
    }
}

fn alike(fields: Fields, form: &str, must: Option<&Must>, now: &Value, wanted: &Value) -> bool {
    if now == wanted || (is_nothing(form, now, fields) && is_nothing(form, wanted, fields)) {
        return true;
    }
    match (Form::read(form), now, wanted) {
        (Form::Duration | Form::Flush, ..) => equal(nanoseconds(now), nanoseconds(wanted)),
        (Form::Quantity, ..) => equal(amount(now), amount(wanted)),
        (Form::Number, ..) => equal(now.as_f64(), wanted.as_f64()),
        (Form::Text, ..) => match must {
            Some(Must::Duration) => equal(nanoseconds(now), nanoseconds(wanted)),
            Some(must) if must.is_amount() => equal(amount(now), amount(wanted)),
            _ => false,
        },
        (Form::List(inner), Value::Array(now), Value::Array(wanted)) => {
            let pairs = || now.iter().zip(wanted);
            now.len() == wanted.len()
                && pairs().all(|(now, wanted)| alike(fields, inner, None, now, wanted))
        }
        (Form::Map(inner), Value::Object(now), Value::Object(wanted)) => {
            let each = match must {
                Some(Must::Keys(_, each) | Must::Each(each)) => Some(*each),
                _ => None,
            };
            now.len() == wanted.len()
                && now.iter().all(|(key, now)| {
                    wanted.get(key).is_some_and(|want| alike(fields, inner, each, now, want))
                })
        }
        (Form::Struct(_), Value::Null, _) | (Form::Struct(_), _, Value::Null)
            if form.ends_with('?') =>
        {
            false
        }
        (Form::Struct(of), Value::Null | Value::Object(_), Value::Null | Value::Object(_)) => {
            structs_alike(fields, of, now, wanted)
        }
        _ => false,
    }
}

/// A field that is not there is as one that is nothing.
fn structs_alike(fields: Fields, of: &str, now: &Value, wanted: &Value) -> bool {
    let absent = Value::Null;
    let known: BTreeMap<&str, &str> = fields.struct_of(of).collect();
    let keys = [now, wanted].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys());
    keys.collect::<BTreeSet<_>>().into_iter().all(|key| {
        let part = |value: &'_ Value| value.get(key).unwrap_or(&absent).clone();
        known
            .get(key.as_str())
            .is_some_and(|form| alike(fields, form, must(of, key), &part(now), &part(wanted)))
    })
}

/// Whether both are there, and equal.
fn equal<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
    a.is_some() && a == b
}

#[cfg(test)]
mod tests {
    use semver::Version;
    use serde_json::json;

    use super::*;

    fn check(cases: &[(&str, Value, Value)], expected: bool) {
        let fields = Fields::of(&Version::new(1, 37, 2)).unwrap();
        for (key, now, wanted) in cases {
            assert_eq!(same(fields, key, now, wanted), expected, "{key}: {now}, {wanted}");
            assert_eq!(same(fields, key, wanted, now), expected, "{key}: {wanted}, {now}");
        }
    }

    #[test]
    fn another_form_of_the_same_value_is_no_difference() {
        check(
            &[
                ("imageMinimumGCAge", json!("2m0s"), json!("120s")),
                ("imageMinimumGCAge", json!("1h40m0s"), json!("100m")),
                ("imageMinimumGCAge", json!("0s"), json!(null)),
                ("cpuCFSQuotaPeriod", json!("100ms"), json!("0.1s")),
                ("systemReserved", json!({"cpu": "1"}), json!({"cpu": "1000m"})),
                ("systemReserved", json!({"cpu": "1"}), json!({"cpu": 1})),
                (
                    "evictionHard",
                    json!({"memory.available": "1Gi"}),
                    json!({"memory.available": "1024Mi"}),
                ),
                (
                    "evictionHard",
                    json!({"memory.available": "5%"}),
                    json!({"memory.available": "5%"}),
                ),
                (
                    "evictionSoftGracePeriod",
                    json!({"memory.available": "90s"}),
                    json!({"memory.available": "1m30s"}),
                ),
                ("evictionHard", json!(null), json!({})),
                ("registerWithTaints", json!(null), json!([])),
                ("maxPods", json!(null), json!(0)),
                ("podCIDR", json!(null), json!("")),
                ("runOnce", json!(null), json!(false)),
                ("memoryThrottlingFactor", json!(1), json!(1.0)),
                ("containerLogMaxSize", json!("10Mi"), json!("10240Ki")),
                (
                    "logging",
                    json!({"flushFrequency": 0, "format": "json", "verbosity": 0, "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}}}),
                    json!({"format": "json"}),
                ),
                (
                    "logging",
                    json!({"flushFrequency": 5_000_000_000_i64}),
                    json!({"flushFrequency": "5s"}),
                ),
                ("memorySwap", json!({}), json!(null)),
                (
                    "reservedMemory",
                    json!([{"numaNode": 0, "limits": {"memory": "1Gi"}}]),
                    json!([{"limits": {"memory": "1024Mi"}}]),
                ),
            ],
            true,
        );
    }

    #[test]
    fn another_value_is_a_difference() {
        check(
            &[
                ("imageMinimumGCAge", json!("10m0s"), json!("10s")),
                ("imageMinimumGCAge", json!("1m0s"), json!("1s")),
                ("imageMinimumGCAge", json!("10m0s"), json!("1m0s")),
                ("imageMinimumGCAge", json!(null), json!("2m")),
                ("imageMinimumGCAge", json!("soon"), json!("now")),
                ("maxPods", json!(110), json!(200)),
                ("maxPods", json!(null), json!(200)),
                // These tell absent from zero.
                ("registryPullQPS", json!(null), json!(0)),
                ("seccompDefault", json!(null), json!(false)),
                ("tracing", json!(null), json!({})),
                ("systemReserved", json!({"cpu": "1"}), json!({"cpu": "1m"})),
                ("systemReserved", json!({"cpu": "1"}), json!({"cpu": "1", "memory": "0"})),
                (
                    "evictionHard",
                    json!({"memory.available": "5%"}),
                    json!({"memory.available": "50%"}),
                ),
                ("hairpinMode", json!("none"), json!("0s")),
                ("podCIDR", json!("10m"), json!("600s")),
                ("logging", json!({"format": "json"}), json!({"format": "text"})),
                ("logging", json!({"format": "json", "more": 0}), json!({"format": "json"})),
                ("clusterDNS", json!(["10.96.0.10"]), json!(["10.96.0.10", "10.96.0.11"])),
                ("noSuchField", json!("2m0s"), json!("120s")),
                ("maxPods", json!({"a": 1}), json!([1])),
            ],
            false,
        );
    }
}
