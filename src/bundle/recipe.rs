//! What the Go components of a bundle are built from: the embedded `bundle/` directory.
//!
//! A component is a small Go module whose `tool` lines name the programs, whose `go.mod` and
//! `go.sum` pin every version, and whose `toolchain` line pins Go itself.

use super::digest::sha256;
use crate::diagnostic::{Error, Kind, Result};

/// A Go module of ours, and how to build it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Component {
    /// Short name, the key in the manifest's `components`.
    pub name: &'static str,
    /// Version, without a leading `v`.
    pub version: &'static str,
    /// Name and content of the files of the module.
    pub files: &'static [(&'static str, &'static str)],
    /// Build tags, separated by commas.
    pub tags: &'static str,
    /// What `-X` sets, as `variable=value`.
    pub variables: &'static [&'static str],
    /// A tree of files of a dependency that is needed besides the programs: module, directory.
    pub tree: Option<(&'static str, &'static str)>,
}

/// The files of a directory of `bundle/`, whose name may come in pieces.
macro_rules! module {
    ($($dir:literal),+; $($file:literal),+) => {
        module!(@ concat!("../../bundle/", $($dir),+, "/"); $($file),+)
    };
    (@ $dir:expr; $($file:literal),+) => {
        &[$(($file, include_str!(concat!($dir, $file)))),+]
    };
}

const fn plain(
    name: &'static str,
    version: &'static str,
    files: &'static [(&'static str, &'static str)],
) -> Component {
    Component { name, version, files, tags: "", variables: &[], tree: None }
}

/// What belongs to one Kubernetes version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Release {
    /// Such as `1.37.2`.
    pub kubernetes: &'static str,
    components: [Component; 2],
}

macro_rules! release {
    ($minor:literal . $patch:literal of $date:literal, etcd $etcd:literal) => {
        Release {
            kubernetes: concat!("1.", $minor, ".", $patch),
            components: [
                Component {
                    variables: &[
                        concat!("k8s.io/component-base/version.gitVersion=v1.", $minor, ".", $patch),
                        "k8s.io/component-base/version.gitMajor=1",
                        concat!("k8s.io/component-base/version.gitMinor=", $minor),
                        "k8s.io/component-base/version.gitTreeState=clean",
                        concat!("k8s.io/component-base/version.buildDate=", $date),
                        concat!("k8s.io/client-go/pkg/version.gitVersion=v1.", $minor, ".", $patch),
                    ],
                    ..plain(
                        "kubernetes",
                        concat!("1.", $minor, ".", $patch),
                        module!("kubernetes-1.", $minor, ".", $patch; "go.mod", "go.sum", "main.go"),
                    )
                },
                plain("etcd", $etcd, module!("etcd-", $etcd; "go.mod", "go.sum")),
            ],
        }
    };
}

/// All Kubernetes versions that can be built, newest first. The date is that of the module version.
pub(super) const RELEASES: [Release; 2] = [
    release!("37"."2" of "2026-10-27T12:01:04Z", etcd "3.7.3"),
    release!("36"."5" of "2026-09-23T18:59:36Z", etcd "3.6.16"),
];

/// [`RELEASES`]' Kubernetes versions.
pub const VERSIONS: [&str; 2] = {
    let [newest, older] = RELEASES;
    [newest.kubernetes, older.kubernetes]
};

/// The CoreDNS version.
pub(super) const COREDNS: &str = "1.14.7";
/// The Calico version.
pub(super) const CALICO: &str = "3.28.5";
/// The version of the pause image that kubeadm asks for.
pub(super) const PAUSE: &str = "3.10.2";
/// The metrics-server version.
pub(super) const METRICS_SERVER: &str = "0.9.0";

/// What every Kubernetes version shares.
const SHARED: [Component; 6] = [
    Component {
        tags: "no_btrfs",
        variables: &["github.com/containerd/containerd/v2/version.Version=v2.3.7"],
        ..plain("containerd", "2.3.7", module!("containerd"; "go.mod", "go.sum"))
    },
    plain("coredns", COREDNS, module!("coredns"; "go.mod", "go.sum", "main.go")),
    plain("cni-plugins", "1.9.1", module!("cni-plugins"; "go.mod", "go.sum")),
    Component {
        variables: &[
            "github.com/projectcalico/calico/node/pkg/lifecycle/startup.VERSION=v3.28.5",
            "main.VERSION=v3.28.5",
        ],
        tree: Some(("github.com/projectcalico/calico", "node/filesystem")),
        ..plain("calico", CALICO, module!("calico"; "go.mod", "go.sum", "main.go"))
    },
    Component {
        variables: &["k8s.io/client-go/pkg/version.gitVersion=v0.9.0"],
        ..plain("metrics-server", METRICS_SERVER, module!("metrics-server"; "go.mod", "go.sum"))
    },
    plain("pause", PAUSE, module!("pause"; "go.mod", "main.go")),
];

impl Release {
    /// The release of a Kubernetes version.
    ///
    /// # Errors
    /// [`Kind::Usage`], naming the versions that can be built.
    pub(super) fn find(kubernetes: &str) -> Result<&'static Self> {
        let version = kubernetes.strip_prefix('v').unwrap_or(kubernetes);
        RELEASES.iter().find(|r| r.kubernetes == version).ok_or_else(|| {
            let known: Vec<_> = RELEASES.iter().map(|r| r.kubernetes).collect();
            Error::new(Kind::Usage, format!("Kubernetes {version} cannot be built"))
                .hint(format!("this slipway knows {}", known.join(", ")))
        })
    }

    /// Everything to build; what takes longest comes first.
    pub(super) fn components(&self) -> impl Iterator<Item = Component> {
        self.components.into_iter().chain(SHARED)
    }

    /// The component called `name`.
    ///
    /// # Errors
    /// [`Kind::Usage`], naming those there are.
    pub(super) fn component(&self, name: &str) -> Result<Component> {
        self.components().find(|c| c.name == name).ok_or_else(|| {
            let known: Vec<_> = self.components().map(|c| c.name).collect();
            Error::new(Kind::Usage, format!("there is no component `{name}`"))
                .hint(format!("there are {}", known.join(", ")))
        })
    }
}

impl Component {
    /// The linker flags: no symbol table, no debug information, the variables.
    pub(super) fn ldflags(&self) -> String {
        let set = |flags: String, variable: &&str| format!("{flags} -X {variable}");
        self.variables.iter().fold("-s -w".to_owned(), set)
    }

    /// The Go version that the module pins, such as `go1.26.8`: its `toolchain` line, which Go
    /// leaves out where the `go` line says the same.
    pub(super) fn toolchain(&self) -> Result<String> {
        let go_mod = self.files.iter().find(|(name, _)| *name == "go.mod");
        let line =
            |prefix| go_mod.and_then(|(_, text)| text.lines().find_map(|l| l.strip_prefix(prefix)));
        let pinned: Option<&str> = line("toolchain go").or_else(|| line("go "));
        pinned.map(|version| format!("go{version}")).ok_or_else(|| {
            Error::new(Kind::Bug, format!("go.mod of `{}` pins no Go version", self.name))
        })
    }

    /// A digest of all that decides the result.
    pub(super) fn recipe(&self, arch: &str) -> String {
        // Counted up when the way of building changes.
        const FORM: u32 = 2;
        sha256(format!("{FORM} {arch} {self:?}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Component> {
        RELEASES.iter().flat_map(Release::components)
    }

    #[test]
    fn versions_are_those_of_go_mod() {
        // Calico's module version is a commit; pause is ours.
        for component in all().filter(|c| !["calico", "pause"].contains(&c.name)) {
            let version = format!("v{}", component.version);
            let mut words = component.files[0].1.split_whitespace();
            assert!(words.any(|word| word == version), "{}: {version}", component.name);
        }
    }

    #[test]
    fn one_go_version_builds_everything() {
        for component in all() {
            assert_eq!(component.toolchain().unwrap(), "go1.26.8", "{}", component.name);
        }
    }

    #[test]
    fn recipes_differ_by_architecture_and_version() {
        let mut recipes: Vec<String> = all().map(|c| c.recipe("amd64")).collect();
        recipes.push(RELEASES[0].component("pause").unwrap().recipe("arm64"));
        recipes.sort();
        recipes.dedup();
        let shared = (RELEASES.len() - 1) * SHARED.len();
        assert_eq!(recipes.len(), all().count() - shared + 1);
    }

    #[test]
    fn an_unknown_version_names_the_known_ones() {
        let error = Release::find("1.2.3").unwrap_err().to_string();
        assert!(error.contains(DEFAULT) && error.contains("1.2.3"), "{error}");
        assert_eq!(Release::find("v1.37.2").unwrap().kubernetes, DEFAULT);
    }

    /// Texts that people read and copy from, scripts, and examples.
    fn texts() -> Vec<(String, String)> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = ["README.md", "ARCHITECTURE.md", "Makefile"].map(|p| root.join(p)).to_vec();
        for dir in ["docs", "inventories", "scripts", "vagrant"] {
            let entries = std::fs::read_dir(root.join(dir)).unwrap();
            paths.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
        }
        let read = |path: std::path::PathBuf| {
            let text = std::fs::read(&path).unwrap();
            (path.display().to_string(), String::from_utf8_lossy(&text).into_owned())
        };
        paths.into_iter().map(read).collect()
    }

    /// Every `1.2.3` in `text`, with the word before it in lower case.
    fn versions_in(text: &str) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        let mut before = String::new();
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-') {
            let version = word.trim_start_matches('v').trim_matches(|c| c == '.' || c == '-');
            let version = version.split('-').next().unwrap_or_default();
            let parts: Vec<&str> = version.split('.').collect();
            if parts.len() == 3 && parts.iter().all(|p| p.parse::<u16>().is_ok()) {
                found.push((before.clone(), version));
            }
            if !word.is_empty() {
                before = word.to_lowercase();
            }
        }
        found
    }

    #[test]
    fn texts_name_no_other_versions_than_this_table() {
        assert_eq!(
            versions_in("etcd v3.7.0, at 10.1.37.1: bundles/1.37.1-amd64"),
            [("etcd".to_owned(), "3.7.0"), ("bundles".to_owned(), "1.37.1")]
        );
        let mut seen = 0;
        for (path, text) in texts() {
            for (before, version) in versions_in(&text) {
                // Kubernetes' own versions are told by their looks, others by the name before them.
                let minor = version.strip_prefix("1.").and_then(|rest| rest.split('.').next());
                if minor.is_some_and(|minor| minor.parse().is_ok_and(|n| (30..60).contains(&n))) {
                    assert!(VERSIONS.contains(&version), "{path} names {version}");
                    seen += 1;
                }
                let mut named = all().filter(|c| c.name == before).peekable();
                let known = named.peek().is_none() || named.any(|c| c.version == version);
                assert!(known, "{path} names {before} {version}");
            }
        }
        assert!(seen > 3, "README.md, docs/inventory.md and the examples name versions");
    }

    const DEFAULT: &str = crate::bundle::LATEST;
}
