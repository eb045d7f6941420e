//! Which arguments a control plane's programs take: tables that `scripts/component-flags` writes from what the
//! programs say of themselves.

use std::net::IpAddr;

use semver::Version;

use super::{duration, quantity};

/// A program of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// etcd.
    Etcd,
}

/// The arguments of one minor version of Kubernetes, and of the etcd that comes with it.
#[derive(Debug, Clone, Copy)]
pub struct Arguments {
    table: &'static str,
}

/// The tables, by minor version of Kubernetes 1.
const TABLES: &[(u64, &str)] =
    &[(36, include_str!("arguments/1.36.txt")), (37, include_str!("arguments/1.37.txt"))];

impl Component {
    /// The program's name, which is its static pod's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Etcd => "etcd",
        }
    }
}

impl Arguments {
    /// Those of the Kubernetes `version`; none if slipway does not know it.
    #[must_use]
    pub fn of(version: &Version) -> Option<Self> {
        let (_, table) = TABLES.iter().find(|(minor, _)| *minor == version.minor)?;
        (version.major == 1).then_some(Self { table })
    }

    /// What `component` takes: names, and the types of the values as pflag calls them.
    pub fn taken(self, component: Component) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.table.lines().filter_map(move |line| {
            line.strip_prefix(component.name())?.strip_prefix(' ')?.split_once(' ')
        })
    }
}

/// What would be right where `value` is no value of that type (of pflag's); types that are texts in some form of
/// their own are left to the program.
#[must_use]
pub fn expected(kind: &str, value: &str) -> Option<&'static str> {
    let (right, what) = match kind {
        "bool" => (matches!(value, "true" | "false"), "expected `true` or `false`"),
        "int" | "int32" => (value.parse::<i64>().is_ok(), "expected a whole number"),
        "float" | "float32" => (value.parse::<f64>().is_ok(), "expected a number"),
        "duration" => (duration::parse(value).is_some(), duration::EXPECTED),
        "quantity" => (quantity::nanos(value).is_some(), quantity::EXPECTED),
        "ip" => (value.parse::<IpAddr>().is_ok(), "expected an IP address"),
        _ => return None,
    };
    (!right).then_some(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::VERSIONS;

    #[test]
    fn every_version_has_a_table_of_all_four() {
        for version in VERSIONS {
            let arguments = Arguments::of(&version.parse().unwrap()).unwrap();
            for (component, name, kind) in [
                (Component::ApiServer, "profiling", "bool"),
                (Component::ControllerManager, "terminated-pod-gc-threshold", "int32"),
                (Component::Scheduler, "config", "string"),
                (Component::Etcd, "quota-backend-bytes", "int"),
            ] {
                let is = arguments.taken(component).find(|(taken, _)| *taken == name);
                assert_eq!(is, Some((name, kind)), "{version}");
            }
        }
    }

    #[test]
    fn values_are_judged_by_their_types() {
        for (kind, right, wrong) in [
            ("bool", "false", "no"),
            ("int32", "-1", "1.5"),
            ("float32", "0.25", "half"),
            ("duration", "1m30s", "90"),
            ("quantity", "512Mi", "512MB"),
            ("ip", "::1", "10.0.0.1/8"),
        ] {
            assert_eq!(expected(kind, right), None, "{kind}");
            assert!(expected(kind, wrong).is_some(), "{kind}");
        }
        assert_eq!(expected("strings", "a,b"), None);
    }
}
