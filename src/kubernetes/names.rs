//! Names, labels and taints that belong to Kubernetes or to the machine itself.

/// Names that a machine's own `/etc/hosts` gives to itself or to groups of machines.
const RESERVED: &[&str] = &[
    "localhost",
    "localhost4",
    "localhost6",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
    "broadcasthost",
];

/// The label and taint that kubeadm gives to control planes.
pub const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// Labels that the kubelet writes, and writes again: each with what it says.
const OWNED_LABELS: &[(&str, &str)] = &[
    ("kubernetes.io/hostname", "it is the node's name"),
    ("kubernetes.io/os", "it is the machine's operating system"),
    ("kubernetes.io/arch", "it is the machine's architecture"),
    ("beta.kubernetes.io/os", "it is the machine's operating system"),
    ("beta.kubernetes.io/arch", "it is the machine's architecture"),
];

/// Taints that controllers put on and take off by the node's conditions
/// (k8s.io/api/core/v1/well_known_taints.go, k8s.io/cloud-provider/api).
const OWNED_TAINTS: &[&str] = &[
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/pid-pressure",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.cloudprovider.kubernetes.io/shutdown",
];

/// Whether `name` is the name of the machine itself on every machine.
#[must_use]
pub fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // RFC 6761, §6.3: whatever ends in `localhost`; `localhost.localdomain` is an old habit.
    RESERVED.contains(&name.as_str())
        || name.ends_with(".localhost")
        || RESERVED.iter().any(|own| name.strip_suffix(".localdomain") == Some(own))
}

/// Why a person cannot choose the value of the label `key`.
#[must_use]
pub fn owned_label(key: &str) -> Option<&'static str> {
    OWNED_LABELS.iter().find(|(owned, _)| *owned == key).map(|(_, says)| *says)
}

/// Whether Kubernetes puts the taint `key` on and takes it off by itself.
#[must_use]
pub fn is_owned_taint(key: &str) -> bool {
    OWNED_TAINTS.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_calls_itself_by_many_names() {
        for name in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "localhost.localdomain",
            "a.localhost",
            "ip6-loopback",
        ] {
            assert!(is_localhost(name), "{name}");
        }
        for name in ["localhost-1", "mylocalhost", "localhost.example.com", "local", "localdomain"]
        {
            assert!(!is_localhost(name), "{name}");
        }
    }
}
