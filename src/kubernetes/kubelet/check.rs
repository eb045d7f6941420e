//! Holds settings against the fields and their types.

use serde_json::Value;

use super::form::Form;
use super::values::{Must, must};
use super::{Fault, Fields, ROOT, Settings, What, form, rules};
use crate::kubernetes::duration;

/// Everything in `settings` that a kubelet with these `fields` would refuse or drop.
#[must_use]
pub fn check(fields: Fields, settings: &Settings) -> Vec<Fault> {
    let mut walk = Walk { fields, place: Vec::new(), faults: Vec::new() };
    walk.fields_of(ROOT, settings);
    let mut faults = walk.faults;
    rules::check(fields, settings, &mut faults);
    faults
}

struct Walk {
    fields: Fields,
    place: Vec<String>,
    faults: Vec<Fault>,
}

impl Walk {
    fn fault(&mut self, what: What) {
        self.faults.push(Fault { place: self.place.clone(), what });
    }

    fn expected(&mut self, what: impl Into<String>) {
        self.fault(What::Type(what.into()));
    }

    fn at(&mut self, key: &str, look: impl FnOnce(&mut Self)) {
        self.place.push(key.to_owned());
        look(self);
        self.place.pop();
    }

    fn fields_of(&mut self, of: &str, entries: &Settings) {
        for (key, value) in entries {
            let found = self.fields.struct_of(of).find(|(name, _)| name == key);
            self.at(key, |walk| match found {
                Some((_, form)) => walk.value(form, must(of, key), value),
                None => {
                    let known = walk.fields.struct_of(of).map(|(name, _)| name).collect();
                    walk.fault(What::Unknown(known));
                }
            });
        }
    }

    fn value(&mut self, form: &str, must: Option<&'static Must>, value: &Value) {
        let number_for_text = must.is_some_and(Must::is_amount) && value.is_number();
        match (Form::read(form), value) {
            (Form::Bool, Value::Bool(_)) => {}
            (Form::Bool, _) => return self.expected("true or false"),
            (Form::Text, Value::String(_)) => {}
            (Form::Text, _) if number_for_text => {}
            (Form::Text, _) => return self.expected("text"),
            (Form::Whole(least, most), value) => match value.as_i64() {
                Some(number) if (least..=most).contains(&number) => {}
                Some(_) => return self.expected(format!("a whole number from {least} to {most}")),
                None => return self.expected("a whole number"),
            },
            (Form::Number, value) if value.is_number() => {}
            (Form::Number, _) => return self.expected("a number"),
            (Form::Duration | Form::Flush, Value::String(text)) => {
                if duration::parse(text).is_none() {
                    let is = format!("cannot be `{text}`");
                    return self.fault(What::Value(is, duration::EXPECTED.to_owned()));
                }
            }
            (Form::Flush, value) if value.is_i64() => {}
            (Form::Duration | Form::Flush, _) => {
                return self.expected("a duration with its unit, such as `90s`");
            }
            (Form::Quantity, Value::String(_) | Value::Number(_)) => {
                if let Some(what) = Must::Amount.fault(value) {
                    return self.fault(what);
                }
            }
            (Form::Quantity, _) => return self.expected("a quantity, such as `512Mi`"),
            (Form::List(inner), Value::Array(items)) => {
                let each = if let Some(Must::Each(each)) = must { Some(*each) } else { None };
                for (index, item) in items.iter().enumerate() {
                    self.at(&index.to_string(), |walk| walk.value(inner, each, item));
                }
            }
            (Form::List(_), _) => return self.expected("a list"),
            (Form::Map(inner), Value::Object(entries)) => self.entries(inner, must, entries),
            (Form::Struct(of), Value::Object(entries)) => self.fields_of(of, entries),
            (Form::Map(_) | Form::Struct(_), _) => return self.expected("a mapping"),
        }
        if !form::is_nothing(form, value, self.fields)
            && let Some(what) = must.and_then(|must| must.fault(value))
        {
            self.fault(what);
        }
    }

    fn entries(&mut self, inner: &str, must: Option<&'static Must>, entries: &Settings) {
        let (keys, each) = match must {
            Some(Must::Keys(keys, each)) => (Some(*keys), Some(*each)),
            Some(Must::Each(each)) => (None, Some(*each)),
            _ => (None, None),
        };
        for (key, value) in entries {
            self.at(key, |walk| match keys {
                Some(keys) if !keys.contains(&key.as_str()) => {
                    walk.fault(What::Unknown(keys.to_vec()));
                }
                _ => walk.value(inner, each, value),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use semver::Version;
    use serde_json::json;

    use super::*;

    fn faults(minor: u64, settings: &Value) -> Vec<String> {
        let fields = Fields::of(&Version::new(1, minor, 0)).unwrap();
        let all = check(fields, settings.as_object().unwrap());
        all.into_iter()
            .map(|fault| {
                let what = match fault.what {
                    What::Unknown(_) => "unknown".to_owned(),
                    What::Type(wanted) => wanted,
                    What::Value(is, _) => is,
                };
                format!("{}: {what}", fault.place.join("/"))
            })
            .collect()
    }

    #[test]
    fn what_a_kubelet_takes_has_no_fault() {
        let all = [
            json!({}),
            json!({"maxPods": 0, "podPidsLimit": -1, "port": 0, "cpuManagerPolicy": ""}),
            json!({"imageMinimumGCAge": "120s", "syncFrequency": "0", "memoryThrottlingFactor": 0.9, "port": 10250}),
            json!({"systemReserved": {"cpu": 1, "memory": "1.5Gi", "ephemeral-storage": "1e9", "pid": "100"}}),
            json!({"evictionHard": {"memory.available": "5%", "nodefs.available": "1Gi", "pid.available": 10, "imagefs.available": "0%"}}),
            json!({"evictionSoft": {"memory.available": "10%"}, "evictionSoftGracePeriod": {"memory.available": "1m30s"}}),
            json!({"logging": {"format": "json", "flushFrequency": 5_000_000_000_i64, "verbosity": 2, "vmodule": [{"filePattern": "a", "verbosity": 1}], "options": {"json": {"infoBufferSize": "1Mi"}}}}),
            json!({"logging": {"flushFrequency": "5s", "options": {"text": {"infoBufferSize": 0}}}}),
            json!({"cpuManagerPolicy": "static", "reservedSystemCPUs": "0-1,8"}),
            json!({"cpuManagerPolicy": "static", "kubeReserved": {"cpu": "100m"}}),
            json!({"reservedMemory": [{"numaNode": 0, "limits": {"memory": "1Gi"}}], "memoryManagerPolicy": "Static"}),
            json!({"registerWithTaints": [{"key": "a", "effect": "NoSchedule"}]}),
            json!({"featureGates": {"MemoryQoS": true, "AllAlpha": false}, "memoryThrottlingFactor": 0.8}),
            json!({"serializeImagePulls": false, "maxParallelImagePulls": 4}),
            json!({"maxParallelImagePulls": 4, "podLogsDir": "/srv/logs", "tracing": {"samplingRatePerMillion": 100}}),
            json!({"shutdownGracePeriod": "30s", "shutdownGracePeriodCriticalPods": "10s"}),
            json!({"staticPodURLHeader": {"a": ["b"]}, "userNamespaces": {"idsPerPod": 131_072}}),
            json!({"enforceNodeAllocatable": ["none"], "containerLogMaxSize": "50Mi"}),
        ];
        for settings in all {
            assert_eq!(faults(37, &settings), [""; 0], "{settings}");
            assert_eq!(faults(36, &settings), [""; 0], "{settings}");
        }
    }

    #[test]
    fn what_a_kubelet_refuses_or_drops_is_found() {
        let cases = [
            (json!({"maxPod": 200}), "maxPod: unknown"),
            (json!({"MaxPods": 200}), "MaxPods: unknown"),
            (json!({"maxPods": "200"}), "maxPods: a whole number"),
            (json!({"maxPods": 1.5}), "maxPods: a whole number"),
            (json!({"maxPods": null}), "maxPods: a whole number"),
            (json!({"maxPods": -1}), "maxPods: cannot be -1"),
            (
                json!({"maxPods": 1_i64 << 40}),
                "maxPods: a whole number from -2147483648 to 2147483647",
            ),
            (json!({"podPidsLimit": "many"}), "podPidsLimit: a whole number"),
            (
                json!({"imageMinimumGCAge": 120}),
                "imageMinimumGCAge: a duration with its unit, such as `90s`",
            ),
            (json!({"imageMinimumGCAge": "2 minutes"}), "imageMinimumGCAge: cannot be `2 minutes`"),
            (json!({"cpuCFSQuotaPeriod": "2s"}), "cpuCFSQuotaPeriod: cannot be `2s`"),
            (json!({"systemReserved": {"cpu": "200 m"}}), "systemReserved/cpu: cannot be `200 m`"),
            (json!({"systemReserved": {"cpu": "-1"}}), "systemReserved/cpu: cannot be `-1`"),
            (json!({"systemReserved": {"cpu": true}}), "systemReserved/cpu: text"),
            (json!({"systemReserved": {"disk": "1Gi"}}), "systemReserved/disk: unknown"),
            (json!({"evictionHard": {"memory.free": "5%"}}), "evictionHard/memory.free: unknown"),
            (
                json!({"evictionHard": {"memory.available": "500%"}}),
                "evictionHard/memory.available: cannot be `500%`",
            ),
            (
                json!({"evictionHard": {"memory.available": "0"}}),
                "evictionHard/memory.available: cannot be `0`",
            ),
            (json!({"logging": {"level": 2}}), "logging/level: unknown"),
            (
                json!({"logging": {"vmodule": [{"filePattern": "a", "verbosity": -1}]}}),
                "logging/vmodule/0/verbosity: a whole number from 0 to 4294967295",
            ),
            (json!({"cpuManagerPolicy": "Static"}), "cpuManagerPolicy: cannot be `Static`"),
            (
                json!({"enforceNodeAllocatable": ["pod"]}),
                "enforceNodeAllocatable/0: cannot be `pod`",
            ),
            (json!({"reservedSystemCPUs": "3-1"}), "reservedSystemCPUs: cannot be `3-1`"),
            (json!({"podLogsDir": "/var//log"}), "podLogsDir: cannot be `/var//log`"),
            (json!({"qosReserved": {"memory": "1Gi"}}), "qosReserved/memory: cannot be `1Gi`"),
            (json!({"resolvConf": false}), "resolvConf: text"),
            (json!({"evictionHard": []}), "evictionHard: a mapping"),
            (json!({"allowedUnsafeSysctls": {}}), "allowedUnsafeSysctls: a list"),
            (json!({"seccompDefault": "true"}), "seccompDefault: true or false"),
        ];
        for (settings, fault) in cases {
            let found = faults(37, &settings);
            assert_eq!(found.first().map(String::as_str), Some(fault), "{settings}: {found:?}");
        }
        // New in 1.37.
        let newer = json!({"defaultPodSysctls": {"net.ipv4.ip_forward": "1"}, "featureGates": {"DefaultPodSysctls": true}});
        assert_eq!(faults(37, &newer), [""; 0]);
        assert!(faults(36, &newer).contains(&"defaultPodSysctls: unknown".to_owned()));
    }
}
