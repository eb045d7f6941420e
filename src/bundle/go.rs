//! Builds the Go components, each once: results are kept in the cache by recipe, and only what
//! still has the digest it was built with is used.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Verified;
use super::digest::{sha256_file, unreadable};
use super::recipe::Component;
use crate::diagnostic::{Error, Kind, Result};
use crate::process::Process;

/// A component that was built.
#[derive(Debug, Clone)]
pub(super) struct Built {
    dir: PathBuf,
    digests: BTreeMap<String, (String, u64)>,
}

impl Built {
    /// A verified reader of one of its files: `bin/NAME` or `tree/PATH`.
    pub(super) fn open(&self, path: &str) -> Result<(Verified, u64)> {
        let (sha256, size) = self.digests.get(path).ok_or_else(|| {
            Error::new(Kind::Bug, format!("`{}` has no `{path}`", self.dir.display()))
        })?;
        Ok((Verified::open(&self.dir.join(path), sha256, *size)?, *size))
    }

    /// Its files below `prefix`, sorted, with that prefix.
    pub(super) fn below(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.digests.keys().map(String::as_str).filter(move |path| path.starts_with(prefix))
    }

    /// Digest and size of a file.
    pub(super) fn digest(&self, path: &str) -> Option<&(String, u64)> {
        self.digests.get(path)
    }

    fn read(dir: PathBuf) -> Option<Self> {
        let text = fs::read(dir.join(DIGESTS)).ok()?;
        Some(Self { dir, digests: serde_json::from_slice(&text).ok()? })
    }
}

const DIGESTS: &str = "digests.json";

/// Gives the component, from the cache if it is there. `tick` is called every few seconds with the
/// time that building has taken.
pub(super) async fn build(
    component: &Component,
    arch: &str,
    tick: &(dyn Fn(Duration) + Sync),
) -> Result<Built> {
    let home = crate::cache::dir().join("components");
    let dir = home.join(component.recipe(arch));
    if let Some(built) = Built::read(dir.clone()) {
        return Ok(built);
    }
    let toolchain = Toolchain::find(&component.toolchain()?, arch).await?;
    let cannot = |e: std::io::Error| {
        Error::new(Kind::Machine, format!("cannot use the cache `{}`: {e}", home.display()))
    };
    fs::create_dir_all(&home).map_err(cannot)?;
    let work = tempfile::Builder::new().prefix(".build-").tempdir_in(&home).map_err(cannot)?;
    let (source, result) = (work.path().join("source"), work.path().join("result"));
    fs::create_dir_all(&source).map_err(cannot)?;
    for (name, text) in component.files {
        fs::write(source.join(name), text).map_err(cannot)?;
    }
    let compile = toolchain
        .command()
        .dir(&source)
        // Debug information would be stripped: making none saves a tenth of the time.
        .args(["build", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false"])
        .args(["-tags", component.tags, "-ldflags"])
        .arg(component.ldflags())
        .arg("-o")
        .arg(format!("{}/bin/", result.display()))
        .arg("tool")
        .run();
    ticking(compile, tick)
        .await
        .map_err(|e| e.context(format!("cannot build {}", component.name)))?;
    if let Some((module, subdir)) = component.tree {
        let list = ["list", "-m", "-f", "{{.Dir}}", module];
        let root = toolchain.command().dir(&source).args(list).run().await?.text();
        copy_tree(&Path::new(&root).join(subdir), &result.join("tree"))?;
    }
    let mut digests = BTreeMap::new();
    hash_tree(&result, "", &mut digests)?;
    let text = serde_json::to_vec_pretty(&digests).map_err(|e| cannot(e.into()))?;
    fs::write(result.join(DIGESTS), text).map_err(cannot)?;
    // Another process may have been faster; its result is as good.
    if let Err(e) = fs::rename(&result, &dir)
        && !dir.exists()
    {
        return Err(cannot(e));
    }
    Built::read(dir).ok_or_else(|| Error::new(Kind::Bug, "a component vanished while being built"))
}

async fn ticking<T>(work: impl Future<Output = T>, tick: &(dyn Fn(Duration) + Sync)) -> T {
    let start = Instant::now();
    let every = Duration::from_secs(5);
    let mut clock = tokio::time::interval_at((start + every).into(), every);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = clock.tick() => tick(start.elapsed()),
        }
    }
}

/// A Go installation and the environment that makes its results depend on nothing else.
struct Toolchain {
    env: Vec<(&'static str, String)>,
}

impl Toolchain {
    /// Finds Go, which may be another version than `pinned` if it is able to fetch that one.
    async fn find(pinned: &str, arch: &str) -> Result<Self> {
        const ASKED: [&str; 5] = ["GOVERSION", "GOPROXY", "GOSUMDB", "GOMODCACHE", "GOCACHE"];
        let hint = format!("install Go 1.21 or newer (https://go.dev/dl); it fetches {pinned}");
        let missing = |e: Error| e.context("components are built with Go").hint(hint.clone());
        let answer = Process::new("go").arg("env").args(ASKED).run().await.map_err(missing)?.text();
        let mut answer = answer.lines().map(str::to_owned);
        let mut next = || answer.next().unwrap_or_default();
        let (version, proxies, sumdb, modcache, cache) = (next(), next(), next(), next(), next());
        if !can_switch(&version) {
            let why = format!("{version} is too old to build components");
            return Err(Error::new(Kind::Machine, why).hint(hint));
        }
        let env = vec![
            // Personal settings of Go must not reach the result.
            ("GOENV", "off".to_owned()),
            ("GOTOOLCHAIN", if version == pinned { "local" } else { pinned }.to_owned()),
            ("GOPROXY", without_direct(&proxies)?),
            ("GOSUMDB", sumdb),
            ("GOMODCACHE", modcache),
            ("GOCACHE", cache),
            ("GOFLAGS", "-mod=readonly".to_owned()),
            ("GOWORK", "off".to_owned()),
            ("GOOS", "linux".to_owned()),
            ("GOARCH", arch.to_owned()),
            ("GOAMD64", "v1".to_owned()),
            ("GOARM64", "v8.0".to_owned()),
            ("CGO_ENABLED", "0".to_owned()),
            // Compilers are short: collecting their garbage takes time and saves little memory. Those that
            // grow beyond this limit collect it.
            ("GOGC", "off".to_owned()),
            ("GOMEMLIMIT", "2GiB".to_owned()),
        ];
        Ok(Self { env })
    }

    fn command(&self) -> Process {
        self.env.iter().fold(Process::new("go"), |go, (name, value)| go.env(name, value))
    }
}

/// Whether this Go (`go1.26.8`) knows `toolchain` lines: 1.21 or newer.
fn can_switch(version: &str) -> bool {
    let minor = version.strip_prefix("go1.").and_then(|rest| rest.split(['.', 'r', 'b']).next());
    minor.and_then(|minor| minor.parse().ok()).is_some_and(|minor: u32| minor >= 21)
}

/// The module proxies of this machine without `direct` and `off`: a version that is missing fails
/// at once, and what comes is what the proxy has kept.
fn without_direct(proxies: &str) -> Result<String> {
    let kept: Vec<&str> =
        proxies.split([',', '|']).filter(|p| !["direct", "off", ""].contains(p)).collect();
    if kept.is_empty() {
        return Err(Error::new(Kind::Machine, "Go has no module proxy to fetch from")
            .hint("set GOPROXY (`go env -w GOPROXY=URL`)"));
    }
    Ok(kept.join(","))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let cannot = |e: std::io::Error| unreadable(from, &e);
    fs::create_dir_all(to).map_err(cannot)?;
    for entry in fs::read_dir(from).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(cannot)?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            let data = fs::read(entry.path()).map_err(cannot)?;
            fs::write(target, data).map_err(cannot)?;
        }
    }
    Ok(())
}

fn hash_tree(dir: &Path, below: &str, out: &mut BTreeMap<String, (String, u64)>) -> Result<()> {
    let cannot = |e: std::io::Error| unreadable(dir, &e);
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(cannot)?.is_dir() {
            hash_tree(&entry.path(), &format!("{name}/"), out)?;
        } else {
            out.insert(name, sha256_file(&entry.path())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_never_come_from_version_control() {
        assert_eq!(without_direct("https://a,https://b|direct").unwrap(), "https://a,https://b");
        assert!(without_direct("direct").is_err() && without_direct("off").is_err());
    }

    #[test]
    fn go_older_than_toolchain_lines_is_refused() {
        assert!(["go1.26.8", "go1.21.0", "go1.27rc1"].iter().all(|v| can_switch(v)));
        assert!(["go1.20.14", "go1.4", "", "devel"].iter().all(|v| !can_switch(v)));
    }
}
