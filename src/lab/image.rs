//! The nodes' root file system: a small Debian, built once for each release and kept in the cache.
//!
//! It holds what Debian calls essential, and what a machine needs to boot, to have a network and to
//! let somebody in; nothing more, so that no cluster depends on more.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::files;
use crate::cache;
use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// The keys of Debian's archive, from the package `debian-archive-keyring`.
pub(super) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Besides essential packages and apt. Machines merge `/usr` from the start.
const PACKAGES: &str =
    "systemd,systemd-sysv,udev,openssh-server,iproute2,iputils-ping,sudo,usr-is-merged";

/// Where apt chose `usrmerge` as well, it and the whole of Perl that it brought go.
const LEAN: &str = "--customize-hook=! chroot \"$1\" dpkg-query -W usrmerge 2>/dev/null || \
                    chroot \"$1\" apt-get autopurge -qq -y usrmerge perl ^libperl5 ^perl-modules";

/// Files added to Debian's own.
const FILES: &[(&str, &str, u32)] = &[
    ("etc/systemd/system/slipway-lab.service", include_str!("image/slipway-lab.service"), 0o644),
    (
        "etc/systemd/system/chrony.service.d/slipway-lab.conf",
        include_str!("image/chrony.conf"),
        0o644,
    ),
    ("etc/systemd/system/ssh.service.d/slipway-lab.conf", include_str!("image/ssh.conf"), 0o644),
    ("etc/default/slipway-lab-chrony", "DAEMON_OPTS=\"-F 1 -x\"\n", 0o644),
    ("etc/sudoers.d/admin", "admin ALL=(ALL) NOPASSWD: ALL\n", 0o440),
];

/// Removed, since each node gets its own, or since a container has no use for it.
const REMOVED: &[&str] = &["etc/machine-id", "etc/hostname", "var/lib/dbus/machine-id"];

/// The recipe for one release.
#[derive(Debug)]
struct Recipe {
    release: String,
    sources: Vec<String>,
    options: String,
}

/// The image of a Debian release, built if it is not in the cache.
///
/// # Errors
/// [`Kind::Usage`] for what cannot be a release; [`Kind::Command`] when the build fails.
pub(super) async fn ensure(release: &str, say: &dyn Fn(&str)) -> Result<PathBuf> {
    if release.is_empty() || !release.chars().all(|c| c.is_ascii_lowercase()) {
        let error = Error::new(Kind::Usage, format!("`{release}` is no Debian release"));
        return Err(error.hint("use a code name, say `bookworm` or `trixie`"));
    }
    let recipe = Recipe::of(release).await?;
    let images = cache::dir().join("images");
    let image = images.join(format!("{release}-{}", recipe.digest()));
    if image.is_dir() {
        return Ok(image);
    }
    say(&format!("building the image of Debian {release} (once; about 40 seconds)"));
    // Labs are locked, so whatever is here is left from a build that was cut short.
    let building = images.join("building");
    files::remove(&building)?;
    files::make_dir(&images)?;
    recipe.build(&building).await?;
    files::rename(&building, &image)?;
    Ok(image)
}

/// Builds an image that is gone from the cache, if its recipe is still the same.
///
/// # Errors
/// As [`ensure`]; [`Kind::Machine`] when the recipe has changed, so that nodes' disks do not fit.
pub(super) async fn again(image: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let release = name.split('-').next().unwrap_or_default();
    if ensure(release, say).await? == image {
        return Ok(());
    }
    Err(Error::new(Kind::Machine, format!("the nodes' image is gone: {}", image.display()))
        .hint("take the lab down, and up again"))
}

impl Recipe {
    /// The recipe as it is on this machine, whose archive mirror and apt settings are used.
    async fn of(release: &str) -> Result<Self> {
        let targets =
            ["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"];
        let targets = Process::new("apt-get").args(targets).output().await?.text();
        let os = files::read(Path::new("/etc/os-release"))?.unwrap_or_default();
        let options = [
            "dump",
            "--format",
            "%F \"%v\";%n",
            "Acquire::http",
            "Acquire::https",
            "Acquire::Check-Valid-Until",
            "Acquire::Check-Date",
            "Acquire::Retries",
        ];
        let options = Process::new("apt-config").args(options).output().await?.text();
        let (main, security) = mirrors(&targets, &os);
        let source = |uri: &str, suite: &str| format!("deb {uri} {release}{suite} main");
        let sources =
            vec![source(&main, ""), source(&main, "-updates"), source(&security, "-security")];
        Ok(Self { release: release.to_owned(), sources, options })
    }

    /// Names the image: whatever changes the result changes this.
    fn digest(&self) -> String {
        let text = format!("{self:?}{PACKAGES}{LEAN}{FILES:?}{REMOVED:?}");
        Sha256::digest(text).iter().take(6).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    async fn build(&self, root: &Path) -> Result<()> {
        // Everything that the build starts and mounts lives in namespaces that die with us.
        Process::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["mmdebstrap", "--mode=root", "--variant=apt", LEAN])
            .arg(format!("--include={PACKAGES}"))
            .arg(format!("--keyring={KEYRING}"))
            .args(self.options.lines().map(|line| format!("--aptopt={line}")))
            .args(["--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/man/*"])
            .arg("--dpkgopt=path-exclude=/usr/share/doc/*")
            .arg(&self.release)
            .arg(root)
            .args(&self.sources)
            .run()
            .await
            .map_err(|error| error.context(format!("the image of Debian {}", self.release)))?;
        for (path, text, mode) in FILES {
            files::write(&root.join(path), text, *mode)?;
        }
        for path in REMOVED {
            files::remove(&root.join(path))?;
        }
        let keys = root.join("etc/ssh");
        for key in files::entries(&keys).iter().filter(|name| name.starts_with("ssh_host_")) {
            files::remove(&keys.join(key))?;
        }
        let add = ["useradd", "--create-home", "--shell", "/bin/bash", "admin"];
        Process::new("chroot").arg(root).args(add).run().await?;
        let enable = ["systemctl", "enable", "systemd-networkd", "slipway-lab"];
        Process::new("chroot").arg(root).args(enable).run().await?;
        Ok(())
    }
}

/// The archives of this machine if it is a Debian, else the public ones: main and security.
fn mirrors(targets: &str, os_release: &str) -> (String, String) {
    let field = |name: &str| {
        let value =
            os_release.lines().find_map(|line| line.strip_prefix(name))?.strip_prefix('=')?;
        Some(value.trim_matches('"').to_owned())
    };
    let codename = field("VERSION_CODENAME").filter(|_| field("ID").as_deref() == Some("debian"));
    let of = |suffix: &str, public: &str| {
        let suite = codename.as_ref().map(|name| format!("{name}{suffix}"));
        let found = targets.lines().filter_map(|line| line.split_once(' '));
        let own = found.into_iter().find(|(release, _)| Some(*release) == suite.as_deref());
        own.map_or(public, |(_, uri)| uri).trim_end_matches('/').to_owned()
    };
    (
        of("", "http://deb.debian.org/debian"),
        of("-security", "http://deb.debian.org/debian-security"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "bookworm http://mirror/debian/\nbookworm-security http://mirror/sec/\n";

    #[test]
    fn a_debian_machine_lends_its_mirrors() {
        let os = "ID=debian\nVERSION_CODENAME=bookworm\n";
        assert_eq!(
            mirrors(TARGETS, os),
            ("http://mirror/debian".into(), "http://mirror/sec".into())
        );
    }

    #[test]
    fn another_machine_uses_the_public_ones() {
        let os = "ID=ubuntu\nVERSION_CODENAME=\"noble\"\n";
        let (main, security) = mirrors("noble http://ubuntu/\n", os);
        assert_eq!(main, "http://deb.debian.org/debian");
        assert_eq!(security, "http://deb.debian.org/debian-security");
    }

    #[test]
    fn the_digest_changes_with_the_recipe() {
        let recipe = |options: &str| Recipe {
            release: "bookworm".into(),
            sources: Vec::new(),
            options: options.into(),
        };
        assert_eq!(recipe("a").digest(), recipe("a").digest());
        assert_ne!(recipe("a").digest(), recipe("b").digest());
    }
}
