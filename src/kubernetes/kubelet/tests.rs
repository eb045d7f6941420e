//! The tables, and what fields ask of each other.

use semver::Version;
use serde_json::json;

use super::rules::check;
use super::*;

#[test]
fn what_does_not_go_together_is_found() {
    let cases = [
        (json!({"cpuManagerPolicy": "static"}), "cpuManagerPolicy"),
        (json!({"cpuManagerPolicy": "static", "systemReserved": {"cpu": "0"}}), "cpuManagerPolicy"),
        (
            json!({"cpuManagerPolicy": "static", "kubeReserved": {"memory": "1Gi"}}),
            "cpuManagerPolicy",
        ),
        (
            json!({"reservedSystemCPUs": "0", "systemReservedCgroup": "/system"}),
            "systemReservedCgroup",
        ),
        (json!({"memoryManagerPolicy": "Static"}), "memoryManagerPolicy"),
        (json!({"userNamespaces": {"idsPerPod": 1000}}), "userNamespaces/idsPerPod"),
        (json!({"imageGCLowThresholdPercent": 85}), "imageGCLowThresholdPercent"),
        (json!({"imageGCHighThresholdPercent": 70}), "imageGCHighThresholdPercent"),
        (json!({"imageMaximumGCAge": "1m"}), "imageMaximumGCAge"),
        (json!({"imageMaximumGCAge": "1h", "imageMinimumGCAge": "60m"}), "imageMaximumGCAge"),
        (json!({"serializeImagePulls": true, "maxParallelImagePulls": 2}), "maxParallelImagePulls"),
        (
            json!({"preloadedImagesVerificationAllowlist": ["a"]}),
            "preloadedImagesVerificationAllowlist",
        ),
        (json!({"shutdownGracePeriodCriticalPods": "10s"}), "shutdownGracePeriodCriticalPods"),
        (
            json!({"shutdownGracePeriod": "10s", "shutdownGracePeriodCriticalPods": "11s"}),
            "shutdownGracePeriodCriticalPods",
        ),
        (json!({"evictionSoft": {"memory.available": "10%"}}), "evictionSoft/memory.available"),
        (json!({"enforceNodeAllocatable": ["pods", "pods"]}), "enforceNodeAllocatable/1"),
        (json!({"enforceNodeAllocatable": ["pods", "none"]}), "enforceNodeAllocatable/1"),
        (json!({"enforceNodeAllocatable": ["kube-reserved"]}), "enforceNodeAllocatable/0"),
        (json!({"cgroupsPerQOS": false}), "cgroupsPerQOS"),
        (
            json!({"cgroupsPerQOS": false, "enforceNodeAllocatable": ["pods"]}),
            "enforceNodeAllocatable/0",
        ),
        (
            json!({"featureGates": {"MemoryQoS": false}, "memoryThrottlingFactor": 0.8}),
            "memoryThrottlingFactor",
        ),
        (
            json!({"featureGates": {"MemoryQoS": true}, "memoryThrottlingFactor": 1.5}),
            "memoryThrottlingFactor",
        ),
        (
            json!({"featureGates": {"CustomCPUCFSQuotaPeriod": false}, "cpuCFSQuotaPeriod": "10ms"}),
            "cpuCFSQuotaPeriod",
        ),
        (json!({"featureGates": {"NodeSwaps": true}}), "featureGates/NodeSwaps"),
        (json!({"featureGates": {"NodeSwap": false}}), "featureGates/NodeSwap"),
        (json!({"systemCgroups": "/system"}), "systemCgroups"),
        (json!({"runOnce": true}), "runOnce"),
    ];
    let fields = Fields::of(&Version::new(1, 37, 0)).unwrap();
    for (settings, place) in cases {
        let mut faults = Vec::new();
        check(fields, settings.as_object().unwrap(), &mut faults);
        let places: Vec<String> = faults.iter().map(|fault| fault.place.join("/")).collect();
        assert_eq!(places, [place], "{settings}");
    }
}

/// MemoryQoS is on by default since 1.37; whoever turns all gates of a stage on or off is believed.
#[test]
fn gates_are_those_of_the_version() {
    let fields = Fields::of(&Version::new(1, 36, 0)).unwrap();
    for (settings, count) in [
        (json!({"memoryThrottlingFactor": 0.8}), 1),
        (json!({"memoryReservationPolicy": "TieredReservation"}), 1),
        (json!({"memoryThrottlingFactor": 0.8, "featureGates": {"MemoryQoS": true}}), 0),
        (json!({"memoryThrottlingFactor": 0.8, "featureGates": {"AllAlpha": true}}), 0),
    ] {
        let mut faults = Vec::new();
        check(fields, settings.as_object().unwrap(), &mut faults);
        assert_eq!(faults.len(), count, "{settings}");
    }
}

#[test]
fn what_goes_together_is_left_alone() {
    let all = [
        json!({"cpuCFSQuotaPeriod": "0.1s"}),
        json!({"cpuCFSQuotaPeriod": "100000us", "featureGates": {"CustomCPUCFSQuotaPeriod": false}}),
        json!({"memoryThrottlingFactor": 0.8}),
        json!({"cgroupsPerQOS": false, "enforceNodeAllocatable": []}),
        json!({"imageGCHighThresholdPercent": 70, "imageGCLowThresholdPercent": 60}),
        json!({"imageMaximumGCAge": "24h"}),
        json!({"enforceNodeAllocatable": ["pods", "system-reserved"], "systemReservedCgroup": "/s"}),
        json!({"featureGates": {"NodeSwap": true}}),
        // Wrong types are somebody else's to find.
        json!({"cpuManagerPolicy": 1, "evictionSoft": 1, "featureGates": [], "maxPods": {}}),
    ];
    let fields = Fields::of(&Version::new(1, 37, 0)).unwrap();
    for settings in all {
        let mut faults = Vec::new();
        check(fields, settings.as_object().unwrap(), &mut faults);
        assert_eq!(faults, [], "{settings}");
    }
}

#[test]
fn every_type_of_the_tables_is_known() {
    for (minor, table) in TABLES {
        let fields = Fields::of(&Version::new(1, *minor, 0)).unwrap();
        let mut count = 0;
        for line in table.lines().filter(|line| !line.starts_with(['#', 'F'])) {
            let [name, key, form] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            assert!(!key.is_empty(), "{line}");
            let mut form = form::Form::read(form);
            while let form::Form::List(inner) | form::Form::Map(inner) = form {
                form = form::Form::read(inner);
            }
            if let form::Form::Struct(inner) = form {
                assert!(fields.struct_of(inner).next().is_some(), "{line}: {inner}");
            }
            count += usize::from(name == ROOT);
        }
        assert!(count > 110, "1.{minor}: {count} fields");
        assert_eq!(fields.gate("NodeSwap"), Some((true, false)));
    }
}

#[test]
fn every_version_that_slipway_installs_has_its_fields() {
    for version in crate::bundle::VERSIONS {
        assert!(Fields::of(&version.parse().unwrap()).is_some(), "scripts/kubelet-fields");
    }
    assert!(Fields::of(&Version::new(1, 35, 0)).is_none());
    assert!(Fields::of(&Version::new(2, 37, 0)).is_none());
}
