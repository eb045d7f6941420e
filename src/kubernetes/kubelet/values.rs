//! What a value must be beyond its type. A value that is nothing (empty, zero) stands for the default.

use serde_json::Value;

use super::form::amount;
use super::{Settings, What};
use crate::kubernetes::duration::{self, Duration, MILLISECOND, MINUTE, SECOND};
use crate::kubernetes::quantity;

/// What a value must be.
#[derive(Debug)]
pub(super) enum Must {
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number in these bounds.
    Number(i64, i64),
    /// A duration in these bounds, in nanoseconds.
    Last(i64, i64),
    /// A text that is a duration.
    Duration,
    /// A text that is a quantity, not below zero.
    Amount,
    /// A text that is such a quantity, of at least so many billionths, or a percentage.
    Share(i128),
    /// A text that is a percentage.
    Percentage,
    /// A list of processors, such as `0-3,8`.
    Cpus,
    /// A path from the root, without `.`, `..` and double slashes, in ASCII.
    Path,
    /// A list or mapping whose values are such.
    Each(&'static Must),
    /// A mapping with no keys but these, whose values are such.
    Keys(&'static [&'static str], &'static Must),
}

use Must::{Amount, Cpus, Each, Keys, Last, Number, Path, Percentage, Share, Word};

const ANY: i64 = i64::MAX;

/// What the kubelet evicts for.
const SIGNALS: &[&str] = &[
    "memory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "pid.available",
    "allocatableMemory.available",
];

/// What can be reserved.
const RESERVABLE: &[&str] = &["cpu", "memory", "ephemeral-storage", "pid"];

/// What node allocatable is enforced on.
const ENFORCED: &[&str] = &[
    "pods",
    "system-reserved",
    "system-reserved-compressible",
    "kube-reserved",
    "kube-reserved-compressible",
    "none",
];

/// Fields of the configuration; with a struct's name and a dot, fields of that.
const MUST: &[(&str, Must)] = &[
    ("configMapAndSecretChangeDetectionStrategy", Word(&["Get", "Cache", "Watch"])),
    ("containerLogMaxFiles", Number(2, ANY)),
    ("containerLogMaxSize", Amount),
    ("containerLogMaxWorkers", Number(1, ANY)),
    ("containerLogMonitorInterval", Last(3 * SECOND, ANY)),
    ("cpuCFSQuotaPeriod", Last(MILLISECOND, SECOND)),
    ("cpuManagerPolicy", Word(&["none", "static"])),
    ("enforceNodeAllocatable", Each(&Word(ENFORCED))),
    ("eventBurst", Number(0, ANY)),
    ("eventRecordQPS", Number(0, ANY)),
    ("evictionHard", Keys(SIGNALS, &Share(1))),
    ("evictionMinimumReclaim", Keys(SIGNALS, &Share(0))),
    ("evictionSoft", Keys(SIGNALS, &Share(1))),
    ("evictionSoftGracePeriod", Keys(SIGNALS, &Must::Duration)),
    ("hairpinMode", Word(&["promiscuous-bridge", "hairpin-veth", "none"])),
    ("healthzPort", Number(0, 65535)),
    ("imageGCHighThresholdPercent", Number(0, 100)),
    ("imageGCLowThresholdPercent", Number(0, 100)),
    ("imageMaximumGCAge", Last(0, ANY)),
    ("imageMinimumGCAge", Last(0, ANY)),
    (
        "imagePullCredentialsVerificationPolicy",
        Word(&[
            "NeverVerify",
            "NeverVerifyPreloadedImages",
            "NeverVerifyAllowlistedImages",
            "AlwaysVerify",
        ]),
    ),
    ("iptablesDropBit", Number(0, 31)),
    ("iptablesMasqueradeBit", Number(0, 31)),
    ("kubeAPIBurst", Number(0, ANY)),
    ("kubeAPIQPS", Number(0, ANY)),
    ("kubeReserved", Keys(RESERVABLE, &Amount)),
    ("maxOpenFiles", Number(0, ANY)),
    ("maxParallelImagePulls", Number(1, ANY)),
    ("maxPods", Number(0, ANY)),
    ("memoryManagerPolicy", Word(&["None", "Static"])),
    ("memoryReservationPolicy", Word(&["None", "TieredReservation"])),
    ("nodeLeaseDurationSeconds", Number(0, ANY)),
    ("nodeStatusMaxImages", Number(-1, ANY)),
    ("oomScoreAdj", Number(-1000, 1000)),
    ("podLogsDir", Path),
    ("podsPerCore", Number(0, ANY)),
    ("port", Number(0, 65535)),
    ("qosReserved", Keys(&["memory"], &Percentage)),
    ("readOnlyPort", Number(0, 65535)),
    ("registryBurst", Number(0, ANY)),
    ("registryPullQPS", Number(0, ANY)),
    ("reservedSystemCPUs", Cpus),
    ("shutdownGracePeriod", Last(SECOND, ANY)),
    ("shutdownGracePeriodCriticalPods", Last(SECOND, ANY)),
    ("systemReserved", Keys(RESERVABLE, &Amount)),
    ("tlsMinVersion", Word(&["VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"])),
    ("topologyManagerPolicy", Word(&["none", "best-effort", "restricted", "single-numa-node"])),
    ("topologyManagerScope", Word(&["container", "pod"])),
    ("CrashLoopBackOffConfig.maxContainerRestartPeriod", Last(SECOND, 5 * MINUTE)),
    ("LoggingConfiguration.format", Word(&["text", "json"])),
    ("MemorySwapConfiguration.swapBehavior", Word(&["NoSwap", "LimitedSwap"])),
    ("Taint.effect", Word(&["NoSchedule", "PreferNoSchedule", "NoExecute"])),
    ("TracingConfiguration.samplingRatePerMillion", Number(0, 1_000_000)),
];

/// What the field `key` of the struct `of` must be.
pub(super) fn must(of: &str, key: &str) -> Option<&'static Must> {
    let found = MUST.iter().find(|(name, _)| match name.split_once('.') {
        Some((owner, field)) => owner == of && field == key,
        None => of == super::ROOT && *name == key,
    });
    found.map(|(_, must)| must)
}

impl Must {
    /// Whether a number may stand for the text that it would be written as.
    pub fn is_amount(&self) -> bool {
        matches!(self, Amount | Share(_))
    }

    /// What is wrong with `value`, of the right type and not nothing; of lists and mappings, their
    /// values are looked at one by one.
    pub fn fault(&self, value: &Value) -> Option<What> {
        let fault = |is: &str, right: &str| Some(What::Value(is.to_owned(), right.to_owned()));
        match (self, value) {
            (Word(words), Value::String(text)) if !words.contains(&text.as_str()) => {
                fault(&format!("cannot be `{text}`"), &format!("expected {}", any_of(words)))
            }
            (Number(least, most), value) => {
                let number = value.as_i64()?;
                let bounds = match *most {
                    ANY => format!("expected {least} or more"),
                    most => format!("expected a number from {least} to {most}"),
                };
                if (*least..=*most).contains(&number) {
                    None
                } else {
                    fault(&format!("cannot be {number}"), &bounds)
                }
            }
            (Last(least, most), Value::String(text)) => {
                let given = duration::parse(text)?;
                let bounds = match *most {
                    ANY => format!("expected {} or more", Duration(*least)),
                    most => format!("expected {} to {}", Duration(*least), Duration(most)),
                };
                if (*least..=*most).contains(&given.0) {
                    None
                } else {
                    fault(&format!("cannot be `{text}`"), &bounds)
                }
            }
            (Must::Duration, Value::String(text)) => match duration::parse(text) {
                Some(Duration(0..)) => None,
                _ => fault(&format!("cannot be `{text}`"), duration::EXPECTED),
            },
            (Share(_) | Percentage, Value::String(text)) if text.ends_with('%') => {
                if percentage(text).is_some_and(|percent| (0.0..=100.0).contains(&percent)) {
                    None
                } else {
                    fault(&format!("cannot be `{text}`"), "expected a percentage from 0% to 100%")
                }
            }
            (Percentage, Value::String(text)) => {
                fault(&format!("cannot be `{text}`"), "expected a percentage, such as `50%`")
            }
            (Amount | Share(_), value) => {
                let least = if let Share(least) = self { *least } else { 0 };
                let right = match amount(value) {
                    Some(amount) if amount >= least => return None,
                    Some(0) => "expected more than nothing; `0%` is never",
                    _ => quantity::EXPECTED,
                };
                fault(&format!("cannot be `{}`", plain(value)), right)
            }
            (Cpus, Value::String(text)) if !is_cpus(text) => {
                fault(&format!("cannot be `{text}`"), "expected processors, such as `0-1,8`")
            }
            (Path, Value::String(text)) if !is_clean(text) => fault(
                &format!("cannot be `{text}`"),
                "expected a path from `/`, without `.`, `..`, double or last slashes, in ASCII",
            ),
            _ => None,
        }
    }
}

/// `settings` as a kubelet can read them: numbers as texts where it wants a quantity in a text.
#[must_use]
pub fn as_written(mut settings: Settings) -> Settings {
    for (key, value) in &mut settings {
        match must(super::ROOT, key) {
            Some(must) if must.is_amount() => to_text(value),
            Some(Keys(_, each)) if each.is_amount() => {
                value.as_object_mut().into_iter().flatten().for_each(|(_, value)| to_text(value));
            }
            _ => {}
        }
    }
    settings
}

fn to_text(value: &mut Value) {
    if value.is_number() {
        *value = Value::from(value.to_string());
    }
}

/// A text without quotes, or anything else as JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `a`, `b` or `c`.
fn any_of(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("`{}` or `{last}`", first.join("`, `")),
        _ => format!("`{}`", words.join("`, `")),
    }
}

fn percentage(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?;
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    number.parse().ok().filter(|_| plain)
}

/// The kernel's list format: numbers and ranges, with commas.
fn is_cpus(text: &str) -> bool {
    text.split(',').all(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| {
            text.parse::<u16>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
        };
        number(first).zip(number(last)).is_some_and(|(first, last)| first <= last)
    })
}

fn is_clean(path: &str) -> bool {
    let parts = path.strip_prefix('/').map(|rest| rest.split('/'));
    path.is_ascii()
        && parts.is_some_and(|mut parts| parts.all(|part| !["", ".", ".."].contains(&part)))
}
