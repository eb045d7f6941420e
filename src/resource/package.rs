//! Distribution packages, installed from the bundle: a node needs no repository.

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
}

/// Makes the archive (a tar of `.deb` files) of the named packages.
pub type Archive = Arc<dyn Fn(&[String]) -> Arc<dyn Stream> + Send + Sync>;

/// These packages are installed. A package that is there in another version stays as it is: the
/// node's own upgrades are its operator's business.
pub struct Packages {
    want: Vec<Package>,
    archive: Archive,
}

impl Packages {
    /// `want`, taken from `archive` where missing.
    #[must_use]
    pub fn new(want: Vec<Package>, archive: Archive) -> Self {
        Self { want, archive }
    }

    fn missing(&self, seen: &Output) -> Vec<String> {
        let text = seen.text();
        let installed = |name: &str| {
            text.lines().any(|line| {
                let mut words = line.split(' ');
                words.next() == Some(name) && words.next_back() == Some("installed")
            })
        };
        self.want.iter().filter(|p| !installed(&p.name)).map(|p| p.name.clone()).collect()
    }
}

/// Unpacks the archive and installs all of it as one apt transaction. Files
/// that are already configured stay as they are (`confold`).
const INSTALL: &str = r#"set -eu
d=$(mktemp -d /var/tmp/slipway.XXXXXX); trap 'rm -rf -- "$d"' EXIT
tar -x -C "$d"
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 \
  -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io "$d"/*.deb"#;

impl Resource for Packages {
    fn id(&self) -> String {
        "packages".to_owned()
    }

    fn probe(&self) -> Probe {
        Probe::packages(&self.want.iter().map(|p| p.name.as_str()).collect::<Vec<_>>())
    }

    fn compare(&self, seen: &Output) -> Result<Drift> {
        let missing = self.missing(seen);
        Ok(Drift::unless(missing.is_empty(), format!("install {}", missing.join(", "))))
    }

    fn converge(&self, seen: &Output) -> Vec<Change> {
        let missing = self.missing(seen);
        let cmd = Cmd::shell(INSTALL)
            .stdin(Input::Stream((self.archive)(&missing)))
            .within(std::time::Duration::from_secs(600));
        vec![Change::new(format!("install {} packages", missing.len()), cmd).repeatable()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dpkg_does_not_call_installed_is_missing() {
        let package = |name: &str| Package { name: name.into(), version: "1".into() };
        let want = vec![package("runc"), package("chrony"), package("haproxy")];
        let packages = Packages::new(want, Arc::new(|_| Arc::new(Vec::new())));
        let seen = Output {
            stdout: b"runc 1.1.5 installed\nchrony 4.3 config-files\n".to_vec(),
            ..Output::default()
        };
        assert_eq!(packages.compare(&seen).unwrap(), Drift::differs("install chrony, haproxy"));
    }
}
