//! Debian packages: resolved and fetched by apt with a state of its own, from the mirror that this
//! machine uses, so that apt checks signatures and hashes and the machine's own state stays as is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// Debian releases that nodes may run: the name in the manifest, and Debian's code name.
pub(super) const RELEASES: [(&str, &str); 2] = [("debian-12", "bookworm"), ("debian-13", "trixie")];

/// The keys of Debian's archive, where Debian keeps them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What every machine with Debian has: what Debian calls essential, and apt with what it needs.
/// Machines whose `/usr` was merged from the start have `usr-is-merged`; `usrmerge`, which apt would
/// choose, brings all of Perl, and others lack it.
const PRESENT: &[&str] = &["?essential", "apt", "usr-is-merged"];

/// What every node needs. Besides what Kubernetes and containers use, this is what slipway's own probes
/// and changes do: dbus (`systemd-run --wait`), iproute2, kmod, openssl, procps (`sysctl`); and curl, which
/// asks the API.
const NODE: &[&str] = &[
    "ca-certificates",
    "chrony",
    "conntrack",
    "curl",
    "dbus",
    "ethtool",
    "iproute2",
    "ipset",
    "iptables",
    "kmod",
    "netbase",
    "nftables",
    "openssl",
    "procps",
    "runc",
    "socat",
];

/// What keeps a virtual IP, on control planes; keepalived asks haproxy with curl.
const ENDPOINT: &[&str] = &["haproxy", "keepalived"];

/// What is asked of apt, for recipes.
pub(super) fn recipe() -> String {
    format!("{RELEASES:?} {PRESENT:?} {NODE:?} {ENDPOINT:?}")
}

/// A fetched package.
#[derive(Debug, Clone)]
pub(super) struct Deb {
    /// Name of the package.
    pub name: String,
    /// Version, as Debian writes it.
    pub version: String,
    /// `amd64`, `arm64` or `all`.
    pub architecture: String,
    /// Where the file is.
    pub path: PathBuf,
    /// Whether only a virtual IP needs it.
    pub endpoint: bool,
    /// Whether it is there for other packages only, that depend on it.
    pub dependency: bool,
}

/// An apt that knows one Debian release and considers nothing installed.
pub(super) struct Apt {
    dir: tempfile::TempDir,
}

impl Apt {
    /// Prepares the state in a temporary directory, and fetches the package lists of the release
    /// with this code name.
    pub(super) async fn new(codename: &str, arch: &str) -> Result<Self> {
        let (main, security) = mirrors().await?;
        let failed = |e: std::io::Error| {
            Error::new(Kind::Machine, format!("cannot keep a state for apt: {e}"))
        };
        let dir = tempfile::tempdir().map_err(failed)?;
        let at = dir.path().display().to_string();
        for name in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(dir.path().join(name)).map_err(failed)?;
        }
        let mut sources = String::new();
        for (mirror, suffix) in [(&main, ""), (&main, "-updates"), (&security, "-security")] {
            let line = format!("deb [signed-by={KEYRING}] {mirror} {codename}{suffix} main\n");
            sources.push_str(&line);
        }
        let config = format!(
            "Dir::State \"{at}\";\nDir::State::status \"{at}/status\";\nDir::Cache \"{at}\";\n\
             Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"-\";\n\
             APT::Architecture \"{arch}\";\nAPT::Architectures {{ \"{arch}\"; }};\n\
             APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\n"
        );
        for (name, text) in
            [("status", ""), ("sources.list", sources.as_str()), ("apt.conf", config.as_str())]
        {
            fs::write(dir.path().join(name), text).map_err(failed)?;
        }
        let apt = Self { dir };
        apt.command().args(["update", "-q", "-o", "APT::Update::Error-Mode=any"]).run().await?;
        Ok(apt)
    }

    /// Fetches what nodes need, and all that it depends on, unless every machine has it, into `to`.
    pub(super) async fn node_packages(&self, to: &Path) -> Result<Vec<Deb>> {
        let present = self.closure(PRESENT).await?;
        let node = self.closure(&[PRESENT, NODE].concat()).await?;
        let mut missing = self.closure(&[PRESENT, NODE, ENDPOINT].concat()).await?;
        // A package that takes the place of an essential one would have to remove it on nodes.
        if let Some(file) = present.iter().find(|file| !missing.contains(file)) {
            let why = format!("the packages for nodes do not go together with `{file}`");
            return Err(Error::new(Kind::Command, why));
        }
        missing.retain(|file| !present.contains(file));
        let mut debs = self.fetch(&missing, to).await?;
        for (deb, file) in debs.iter_mut().zip(&missing) {
            deb.endpoint = !node.contains(file);
            deb.dependency = !NODE.iter().chain(ENDPOINT).any(|name| *name == deb.name);
        }
        Ok(debs)
    }

    /// Fetches `packages` and all that they depend on into `to`.
    pub(super) async fn closure_of(&self, packages: &[&str], to: &Path) -> Result<Vec<Deb>> {
        let files = self.closure(packages).await?;
        self.fetch(&files, to).await
    }

    /// The names of the package files that installing `packages` takes, sorted.
    async fn closure(&self, packages: &[&str]) -> Result<Vec<String>> {
        let list = ["install", "-qq", "--yes", "--print-uris"];
        let done = self.command().args(list).args(packages).run().await?;
        // 'URI' FILE SIZE HASH
        let file = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
        let mut files: Vec<String> = done.text().lines().filter_map(file).collect();
        files.sort();
        Ok(files)
    }

    async fn fetch(&self, files: &[String], to: &Path) -> Result<Vec<Deb>> {
        fs::create_dir_all(to).map_err(|e| super::files::unwritable(to, &e))?;
        let debs: Vec<Deb> = files.iter().map(|file| Deb::of(file, to)).collect::<Result<_>>()?;
        let exact = debs.iter().map(|deb| format!("{}={}", deb.name, deb.version));
        self.command().dir(to).args(["download", "-q"]).args(exact).run().await?;
        Ok(debs)
    }

    fn command(&self) -> Process {
        Process::new("apt-get")
            .env("APT_CONFIG", self.dir.path().join("apt.conf"))
            .env("LC_ALL", "C")
    }
}

impl Deb {
    /// From the name that apt gives the file: `NAME_VERSION_ARCH.deb`, colons written as `%3a`.
    fn of(file: &str, dir: &Path) -> Result<Self> {
        let stem = file.strip_suffix(".deb").unwrap_or(file);
        let parts: Vec<&str> = stem.split('_').collect();
        let &[name, version, architecture] = parts.as_slice() else {
            return Err(Error::new(Kind::Command, format!("apt names a file `{file}`")));
        };
        Ok(Self {
            name: name.to_owned(),
            version: version.replace("%3a", ":"),
            architecture: architecture.to_owned(),
            path: dir.join(file),
            endpoint: false,
            dependency: false,
        })
    }
}

/// The URIs of Debian's main and security archives that this machine's apt uses.
async fn mirrors() -> Result<(String, String)> {
    let hint = "build bundles on Debian, or where apt has Debian sources";
    let list = ["indextargets", "--format", "$(ORIGIN)|$(RELEASE)|$(SITE)"];
    let targets = Process::new("apt-get").args(list).run().await.map_err(|e| e.hint(hint))?.text();
    let find = |security: bool| {
        targets.lines().find_map(|line| {
            let (release, site) = line.strip_prefix("Debian|")?.split_once('|')?;
            (release.ends_with("-security") == security).then(|| site.to_owned())
        })
    };
    find(false).zip(find(true)).ok_or_else(|| {
        let why = "apt on this machine has no Debian mirror with security updates";
        Error::new(Kind::Machine, why).hint(format!("{hint}; then run `apt-get update`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_name_version_and_architecture() {
        let deb = Deb::of("ethtool_1%3a6.1-1_amd64.deb", Path::new("/x")).unwrap();
        assert_eq!((deb.name.as_str(), deb.version.as_str()), ("ethtool", "1:6.1-1"));
        assert_eq!(deb.architecture, "amd64");
        assert!(Deb::of("weird.deb", Path::new("/x")).is_err());
    }
}
