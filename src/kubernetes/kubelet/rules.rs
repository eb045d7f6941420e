//! What fields ask of each other, where a kubelet would refuse to start. Values of a wrong type are left
//! out here: they have been found.

use serde_json::Value;

use super::form::{amount, nanoseconds};
use super::{Fault, Fields, Settings, What};
use crate::kubernetes::duration::{Duration, MINUTE};

/// Fields that need a feature gate that can be off: the field, and a value that needs none, as JSON.
const GATED: &[(&str, &str, &str)] = &[
    ("/cpuCFSQuotaPeriod", "CustomCPUCFSQuotaPeriod", r#""100ms""#),
    ("/crashLoopBackOff/maxContainerRestartPeriod", "KubeletCrashLoopBackOffMax", "null"),
    ("/defaultPodSysctls", "DefaultPodSysctls", "{}"),
    ("/memoryReservationPolicy", "MemoryQoS", r#""None""#),
    ("/memoryThrottlingFactor", "MemoryQoS", "0.9"),
    ("/shutdownGracePeriodByPodPriority", "GracefulNodeShutdownBasedOnPodPriority", "[]"),
];

/// Everything that does not go together in `settings`.
pub(super) fn check(fields: Fields, settings: &Settings, faults: &mut Vec<Fault>) {
    let root = Value::Object(settings.clone());
    let mut rules = Rules { fields, root: &root, faults };
    rules.processors();
    rules.memory();
    rules.images();
    rules.shutdown();
    rules.eviction();
    rules.enforcement();
    rules.gates();
    rules.others();
}

struct Rules<'a> {
    fields: Fields,
    root: &'a Value,
    faults: &'a mut Vec<Fault>,
}

impl Rules<'_> {
    fn get(&self, pointer: &str) -> Option<&Value> {
        self.root.pointer(pointer)
    }

    fn text(&self, pointer: &str) -> &str {
        self.get(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn is(&self, pointer: &str, value: bool) -> bool {
        self.get(pointer).and_then(Value::as_bool) == Some(value)
    }

    /// Notes a fault of the value at `pointer`, which must be there: an absent one cannot be shown.
    fn fault(&mut self, pointer: &str, is: impl Into<String>, right: impl Into<String>) {
        let place = pointer.split('/').skip(1).map(str::to_owned).collect();
        self.faults.push(Fault { place, what: What::Value(is.into(), right.into()) });
    }

    /// How long the value at `pointer` is; `default` where it is nothing.
    fn lasts(&self, pointer: &str, default: i64) -> Option<i64> {
        let given = match self.get(pointer) {
            Some(value) => nanoseconds(value)?,
            None => 0,
        };
        Some(if given == 0 { default } else { given })
    }

    fn processors(&mut self) {
        let reserved = !self.text("/reservedSystemCPUs").is_empty();
        let some = |pointer| {
            // The kubelet counts thousandths of a processor, to the nearest.
            let amount = self.get(pointer).and_then(amount).unwrap_or_default();
            amount >= 500_000
        };
        let any = reserved || some("/systemReserved/cpu") || some("/kubeReserved/cpu");
        if self.text("/cpuManagerPolicy") == "static" && !any {
            self.fault(
                "/cpuManagerPolicy",
                "needs processors that are reserved for the system",
                "set `reservedSystemCPUs`, or `cpu` in `systemReserved` or `kubeReserved`, too: \
                 without it no kubelet starts",
            );
        }
        for cgroup in ["systemReservedCgroup", "kubeReservedCgroup"] {
            let pointer = format!("/{cgroup}");
            if reserved && !self.text(&pointer).is_empty() {
                let is = "does not go together with `reservedSystemCPUs`";
                self.fault(&pointer, is, "leave one of them out");
            }
        }
    }

    fn memory(&mut self) {
        let reserved = self.get("/reservedMemory").and_then(Value::as_array);
        if self.text("/memoryManagerPolicy") == "Static" && reserved.is_none_or(Vec::is_empty) {
            self.fault(
                "/memoryManagerPolicy",
                "needs memory that is reserved for the system",
                "set `reservedMemory`, too: without it no kubelet starts",
            );
        }
        if let Some(Value::Number(ids)) = self.get("/userNamespaces/idsPerPod")
            && ids.as_i64().is_some_and(|ids| ids < 1 || ids > u32::MAX.into() || ids % 65536 != 0)
        {
            let is = format!("cannot be {ids}");
            self.fault("/userNamespaces/idsPerPod", is, "expected a multiple of 65536");
        }
        if let Some(factor) = self.get("/memoryThrottlingFactor").and_then(Value::as_f64)
            && !(factor > 0.0 && factor <= 1.0)
        {
            let is = format!("cannot be {factor}");
            self.fault("/memoryThrottlingFactor", is, "expected more than 0, and at most 1");
        }
    }

    fn images(&mut self) {
        let percent = |pointer, default| self.get(pointer).map_or(Some(default), Value::as_i64);
        let low = percent("/imageGCLowThresholdPercent", 80);
        let high = percent("/imageGCHighThresholdPercent", 85);
        if let Some((low, high)) = low.zip(high).filter(|(low, high)| low >= high) {
            let given = self.get("/imageGCLowThresholdPercent").is_some();
            let (pointer, is) = match given {
                true => ("/imageGCLowThresholdPercent", format!("must be below {high}")),
                false => ("/imageGCHighThresholdPercent", format!("must be above {low}")),
            };
            let right = "images are removed from the high threshold down to the low one; their \
                         defaults are 85 and 80";
            self.fault(pointer, is, right);
        }
        let most = self.lasts("/imageMaximumGCAge", 0);
        let least = self.lasts("/imageMinimumGCAge", 2 * MINUTE);
        if let Some((most, least)) =
            most.zip(least).filter(|(most, least)| *most > 0 && most <= least)
        {
            let is = format!("cannot be {}", Duration(most));
            let right = format!("expected more than `imageMinimumGCAge`, {}", Duration(least));
            self.fault("/imageMaximumGCAge", is, right);
        }
        let parallel = self.get("/maxParallelImagePulls").and_then(Value::as_i64);
        if self.is("/serializeImagePulls", true) && parallel.is_some_and(|pulls| pulls > 1) {
            let is = "does not go together with `serializeImagePulls: true`";
            self.fault("/maxParallelImagePulls", is, "leave one of them out");
        }
        let list = self.get("/preloadedImagesVerificationAllowlist").and_then(Value::as_array);
        if list.is_some_and(|list| !list.is_empty())
            && self.text("/imagePullCredentialsVerificationPolicy")
                != "NeverVerifyAllowlistedImages"
        {
            let is = "needs another policy";
            let right =
                "set `imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages`";
            self.fault("/preloadedImagesVerificationAllowlist", is, right);
        }
    }

    fn shutdown(&mut self) {
        let critical = self.lasts("/shutdownGracePeriodCriticalPods", 0);
        let all = self.lasts("/shutdownGracePeriod", 0);
        if let Some((critical, all)) = critical.zip(all).filter(|(critical, all)| critical > all) {
            let is = format!("cannot be {}", Duration(critical));
            let right = format!("expected at most `shutdownGracePeriod`, {}", Duration(all));
            self.fault("/shutdownGracePeriodCriticalPods", is, right);
        }
        let by_priority = self.get("/shutdownGracePeriodByPodPriority").and_then(Value::as_array);
        if by_priority.is_some_and(|list| !list.is_empty()) && all.is_some_and(|all| all > 0) {
            let is = "does not go together with `shutdownGracePeriod`";
            self.fault("/shutdownGracePeriodByPodPriority", is, "leave one of them out");
        }
    }

    fn eviction(&mut self) {
        let soft = self.get("/evictionSoft").and_then(Value::as_object);
        let signals: Vec<String> = soft.into_iter().flat_map(Settings::keys).cloned().collect();
        for signal in signals {
            if self.get(&format!("/evictionSoftGracePeriod/{signal}")).is_none() {
                let right = format!("set `evictionSoftGracePeriod: {{{signal}: 1m}}`, or longer");
                self.fault(&format!("/evictionSoft/{signal}"), "needs a grace period", right);
            }
        }
    }

    fn enforcement(&mut self) {
        let list = self.get("/enforceNodeAllocatable").and_then(Value::as_array);
        let words: Vec<String> =
            list.into_iter().flatten().filter_map(|word| Some(word.as_str()?.to_owned())).collect();
        for (index, word) in words.iter().enumerate() {
            let pointer = format!("/enforceNodeAllocatable/{index}");
            if words.iter().take(index).any(|other| other == word) {
                self.fault(&pointer, "is there twice", "leave one of them out");
            }
            if word == "none" {
                if words.len() > 1 {
                    self.fault(&pointer, "does not go together with others", "leave it out");
                }
                continue;
            }
            if self.is("/cgroupsPerQOS", false) {
                let right =
                    "`cgroupsPerQOS: false` goes with `enforceNodeAllocatable: [none]` only";
                self.fault(&pointer, format!("cannot be `{word}`"), right);
            }
            let Some(part) = ["system", "kube"]
                .into_iter()
                .find(|part| word.starts_with(&format!("{part}-reserved")))
            else {
                continue;
            };
            if self.text(&format!("/{part}ReservedCgroup")).is_empty() {
                let right = format!("set `{part}ReservedCgroup`, too");
                self.fault(&pointer, "needs a control group", right);
            }
            if word.ends_with("compressible") && words.contains(&format!("{part}-reserved")) {
                let is = format!("does not go together with `{part}-reserved`");
                self.fault(&pointer, is, "leave one of them out");
            }
        }
        // `pods` is enforced by default.
        if self.is("/cgroupsPerQOS", false) && list_is_absent(self.root) {
            let right = "set `enforceNodeAllocatable: [none]`, too";
            self.fault("/cgroupsPerQOS", "cannot be false alone", right);
        }
    }

    /// Whether the feature gate `name` is on; none where nobody can tell.
    fn gate(&self, name: &str) -> Option<bool> {
        let set = |name: &str| self.get(&format!("/featureGates/{name}")).and_then(Value::as_bool);
        if let Some(on) = set(name) {
            return Some(on);
        }
        let (default, _) = self.fields.gate(name)?;
        (set("AllAlpha").is_none() && set("AllBeta").is_none()).then_some(default)
    }

    fn gates(&mut self) {
        for (pointer, gate, free) in GATED {
            let Some(value) = self.get(pointer) else { continue };
            let free: Value = serde_json::from_str(free).unwrap_or_default();
            let length = |value: &Value| value.is_string().then(|| nanoseconds(value)).flatten();
            let needs_none =
                *value == free || length(value).is_some_and(|ns| length(&free) == Some(ns));
            if !needs_none && self.gate(gate) == Some(false) {
                let is = format!("needs the feature gate `{gate}`");
                self.fault(pointer, is, format!("set `featureGates: {{{gate}: true}}`, too"));
            }
        }
        let Some(Value::Object(gates)) = self.get("/featureGates").cloned() else { return };
        for (gate, value) in &gates {
            let place = vec!["featureGates".to_owned(), gate.clone()];
            match (self.fields.gate(gate), value.as_bool()) {
                (None, _) => {
                    let known = self.fields.gates().collect();
                    self.faults.push(Fault { place, what: What::Unknown(known) });
                }
                (Some((default, false)), Some(wanted)) if default != wanted => {
                    let what = format!("cannot be {wanted}");
                    let right = format!("it is {default} for good");
                    self.faults.push(Fault { place, what: What::Value(what, right) });
                }
                _ => {}
            }
        }
    }

    fn others(&mut self) {
        if !self.text("/systemCgroups").is_empty() && self.text("/cgroupRoot").is_empty() {
            self.fault("/systemCgroups", "needs `cgroupRoot`", "set it, too");
        }
        if self.is("/runOnce", true) {
            self.fault("/runOnce", "cannot be true", "kubelets refuse this mode; leave it out");
        }
        if self.is("/enableSystemLogQuery", true) && self.is("/enableSystemLogHandler", false) {
            let right = "leave `enableSystemLogHandler: false` out";
            self.fault("/enableSystemLogQuery", "needs `enableSystemLogHandler`", right);
        }
    }
}

/// Whether what is enforced is left to its default: only an absent list is, not an empty one.
fn list_is_absent(root: &Value) -> bool {
    root.get("enforceNodeAllocatable").is_none_or(Value::is_null)
}
