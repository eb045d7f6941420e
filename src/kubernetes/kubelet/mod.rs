//! What a kubelet may be told: the fields of `KubeletConfiguration` (kubelet.config.k8s.io/v1beta1) with
//! their types, what the kubelet's own validation refuses, and whether two values mean the same to it.
//!
//! The tables beside this file are Kubernetes' own declarations, written by `scripts/kubelet-fields`. What
//! lies behind the types is in [`values`], what fields ask of each other in [`rules`]; both follow
//! k8s.io/kubernetes/pkg/kubelet/apis/config/validation of 1.37.2, as far as a file can be judged.

use semver::Version;
use serde_json::{Map, Value};

mod check;
mod form;
mod rules;
mod same;
#[cfg(test)]
mod tests;
mod values;

pub use check::check;
pub use same::same;
pub use values::as_written;

/// The fields of one minor version of Kubernetes.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    table: &'static str,
}

/// The tables, by minor version of Kubernetes 1.
const TABLES: &[(u64, &str)] = &[(36, include_str!("1.36.txt")), (37, include_str!("1.37.txt"))];

/// The struct that the configuration is.
const ROOT: &str = "KubeletConfiguration";

/// Settings by their names.
pub type Settings = Map<String, Value>;

/// Something that a kubelet would refuse, or drop without a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: keys, and positions in lists, from the outermost.
    pub place: Vec<String>,
    /// What is wrong there.
    pub what: What,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// There is no such key; these there are.
    Unknown(Vec<&'static str>),
    /// The value is of another type than this one.
    Type(String),
    /// The value is wrong: what it is, as the end of a sentence that begins with its name, and what
    /// would be right.
    Value(String, String),
}

impl Fields {
    /// Those of the Kubernetes `version`; none if slipway does not know it.
    #[must_use]
    pub fn of(version: &Version) -> Option<Self> {
        let (_, table) = TABLES.iter().find(|(minor, _)| *minor == version.minor)?;
        (version.major == 1).then_some(Self { table })
    }

    /// The lines of the table that begin with `word`, each as its second and third word.
    fn lines(self, word: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.table
            .lines()
            .filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' ')?.split_once(' '))
    }

    /// The fields of the struct `name`: names and forms.
    fn struct_of(self, name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.lines(name)
    }

    /// The feature gate `name`: whether it is on by default, and whether it can be changed.
    fn gate(self, name: &str) -> Option<(bool, bool)> {
        let (_, about) = self.lines("FeatureGate").find(|(gate, _)| *gate == name)?;
        Some((about.starts_with("true"), !about.ends_with("locked")))
    }

    fn gates(self) -> impl Iterator<Item = &'static str> {
        self.lines("FeatureGate").map(|(gate, _)| gate)
    }
}
