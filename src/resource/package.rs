//! Distribution packages, installed from the bundle: a node needs no repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, Drift, Resource};
use crate::command::{Cmd, Input, Output, Stream};
use crate::diagnostic::Result;
use crate::probe::Probe;

/// A package as the bundle holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// Whether it is there for other packages only, which depend on it.
    pub dependency: bool,
}

/// Makes the archive (a tar of `.deb` files) of the named packages.
pub type Archive = Arc<dyn Fn(&[String]) -> Arc<dyn Stream> + Send + Sync>;

/// These packages are installed, and whatever they depend on. A package that is there in another
/// version stays as it is: the node's own upgrades are its operator's business.
pub struct Packages {
    all: Vec<Package>,
    archive: Archive,
}

impl Packages {
    /// Those of `all` that are no mere dependencies are wanted; what is missing is taken from
    /// `archive`.
    #[must_use]
    pub fn new(all: Vec<Package>, archive: Archive) -> Self {
        Self { all, archive }
    }

    /// The wanted packages that are not installed, in whatever version.
    fn missing(&self, seen: &Output) -> Vec<String> {
        let there = installed(seen);
        let missing = |p: &&Package| !p.dependency && !there.contains_key(p.name.as_str());
        self.all.iter().filter(missing).map(|p| p.name.clone()).collect()
    }

    /// What apt may choose from: all but what is there in just this version. Of what is there in an
    /// older one, a missing package may need the newer.
    fn offered(&self, seen: &Output) -> Vec<String> {
        let there = installed(seen);
        let same = |p: &&Package| there.get(p.name.as_str()) != Some(&p.version.as_str());
        self.all.iter().filter(same).map(|p| p.name.clone()).collect()
    }
}

/// Installed packages and their versions, from lines of `NAME VERSION STATUS`.
fn installed(seen: &Output) -> BTreeMap<&str, &str> {
    let text = std::str::from_utf8(&seen.stdout).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_suffix(" installed")?.split_once(' ')).collect()
}

/// Lets apt install the packages that are named, from an archive on standard input that it may
/// choose from. To apt that is a repository, the only one, so it takes what a named package needs and
/// leaves what is there; nothing is ever installed in an older version, and nothing is removed but
/// another program that sets the clock. Files that are configured already stay as they are
/// (`confold`).
const INSTALL: &str = include_str!("package.sh");

impl Resource for Packages {
    fn id(&self) -> String {
        "packages".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::packages(&self.all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>())
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let missing = self.missing(seen);
        Ok(Drift::unless(missing.is_empty(), format!("install {}", missing.join(", "))))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let missing = self.missing(seen);
        let what = format!("install {} packages", missing.len());
        let cmd = Cmd::shell(INSTALL)
            .args(missing)
            .stdin(Input::Stream((self.archive)(&self.offered(seen))))
            .within(std::time::Duration::from_secs(600));
        vec![Change::new(what, cmd).repeatable()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Packages {
        let package =
            |name: &str, dependency| Package { name: name.into(), version: "1".into(), dependency };
        let all = [("runc", false), ("chrony", false), ("haproxy", false), ("liblua", true)];
        let all = all.map(|(name, dependency)| package(name, dependency)).into();
        Packages::new(all, Arc::new(|names| Arc::new(names.join(" ").into_bytes())))
    }

    fn seen(text: &str) -> Output {
        Output { stdout: text.into(), ..Output::default() }
    }

    #[test]
    fn only_what_dpkg_does_not_call_installed_is_missing() {
        let seen = seen("runc 1.1.5 installed\nchrony 4.3 config-files\n");
        assert_eq!(packages().compare(&seen).unwrap(), Drift::differs("install chrony, haproxy"));
    }

    #[test]
    fn a_dependency_is_nothing_to_have() {
        let all = "runc 1 installed\nchrony 1 installed\nhaproxy 0.9 installed\n";
        assert_eq!(packages().compare(&seen(all)).unwrap(), Drift::None);
    }

    #[test]
    fn apt_may_choose_from_all_that_is_not_there_in_the_same_version() {
        let changes = packages().converge(&seen("runc 1 installed\nliblua 0.9 installed\n"));
        let [change] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!(change.cmd.words()[4..], ["chrony", "haproxy"]);
        let Input::Stream(archive) = change.cmd.input() else { panic!("no archive") };
        let mut offered = Vec::new();
        archive.copy_to(&mut offered).unwrap();
        assert_eq!(String::from_utf8(offered).unwrap(), "chrony haproxy liblua");
    }
}
