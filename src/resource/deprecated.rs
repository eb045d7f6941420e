//! What clients ask an API server for that a later version does not serve.

use std::net::Ipv4Addr;

use semver::Version;

use super::{Change, Diff, Drift, Resource};
use crate::command::Output;
use crate::diagnostic::{Result, printable};
use crate::probe::Probe;

/// Clients ask for no API that a later version of Kubernetes leaves out (kubernetes.io, "Deprecated API Migration
/// Guide"). Nothing is done here: a plan says it before an upgrade, after which these requests fail.
pub struct DeprecatedApis {
    /// Of the API server that is asked: each counts its own requests.
    pub address: Ipv4Addr,
    /// What the cluster becomes.
    pub version: Version,
}

/// A line of the probe's: what was asked for, the minor version that serves it no more, how often.
fn asked(line: &str) -> Option<(String, u64, u64)> {
    let mut words = line.split(' ');
    let (api, resource) = (words.next()?, words.next()?);
    let (major, minor) = words.next()?.split_once('.')?;
    let count = words.next()?.parse().ok()?;
    let minor = minor.parse().ok().filter(|_| major == "1")?;
    Some((format!("{} {}", printable(api), printable(resource)), minor, count))
}

impl Resource for DeprecatedApis {
    fn id(&self) -> String {
        "deprecated APIs".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::deprecated_apis(&self.address.to_string())
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let text = seen.text();
        let apis: Vec<_> = text.lines().filter_map(asked).collect();
        let gone = apis.iter().filter(|(_, minor, _)| *minor <= self.version.minor).count();
        let line = |(what, minor, count): &(String, u64, u64)| {
            let ends =
                if *minor <= self.version.minor { "does not serve" } else { "will not serve" };
            format!("{what}: asked for {count} times; v1.{minor} {ends} it")
        };
        let lines: Vec<String> = apis.iter().map(line).collect();
        let summary = format!(
            "{} of {} that clients ask for are not served by v{}",
            gone,
            apis.len(),
            self.version
        );
        Ok(Drift::unless(apis.is_empty(), Diff::update(summary).text(Some(lines.join("\n")))))
    }

    fn converge(&self, _seen: &Output) -> Vec<Change> {
        Vec::new()
    }

    fn best_effort(&self, _seen: &Output) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(text: &str) -> Drift {
        let version = Version::new(1, 37, 2);
        let apis = DeprecatedApis { address: Ipv4Addr::LOCALHOST, version };
        apis.compare(&Output { stdout: text.into(), ..Output::default() }).unwrap()
    }

    #[test]
    fn a_plan_says_what_an_upgrade_leaves_without_an_answer() {
        let Drift::Differs(diff) = compare(
            "policy/v1beta1 poddisruptionbudgets 1.37 15\nresource.k8s.io/v1beta1 deviceclasses 1.40 2\n",
        ) else {
            panic!("nothing said")
        };
        assert_eq!(diff.summary, "1 of 2 that clients ask for are not served by v1.37.2");
        assert_eq!(
            diff.text.as_deref(),
            Some(
                "policy/v1beta1 poddisruptionbudgets: asked for 15 times; v1.37 does not serve it\n\
                 resource.k8s.io/v1beta1 deviceclasses: asked for 2 times; v1.40 will not serve it"
            )
        );
    }

    #[test]
    fn what_is_no_such_line_says_nothing() {
        for text in ["", "v1 endpoints  3", "x y 1.z 3\n", "x y 2.1 3", "x y 1.37"] {
            assert_eq!(compare(text), Drift::None, "{text}");
        }
    }
}
