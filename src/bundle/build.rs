//! Builds a bundle: components, packages and layers, put together in a temporary directory that
//! becomes the bundle in one rename.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::agent::{self, Agent};
use super::debian::{self, Apt, Deb};
use super::digest::sha256;
use super::files::{self, unwritable};
use super::go::Built;
use super::layer::{Layer, Written};
use super::recipe::{CALICO, METRICS_SERVER, Release};
use super::{Bundle, Manifest, PackageEntry, SCHEMA, base, go, image, sha256_file};
use crate::diagnostic::{Error, Kind, Result};

/// Add-on manifests: name, version, text.
const ADDONS: [(&str, &str, &str); 2] = [
    ("calico", CALICO, include_str!("../../bundle/addons/calico.yaml")),
    ("metrics-server", METRICS_SERVER, include_str!("../../bundle/addons/metrics-server.yaml")),
];

/// Programs of the components that only serve inside images.
const IMAGES_ONLY: [&str; 8] = [
    "bin/calico",
    "bin/calico-node",
    "bin/check-status",
    "bin/coredns",
    "bin/kube-controllers",
    "bin/kubernetes",
    "bin/metrics-server",
    "bin/pause",
];

/// What to build.
#[derive(Debug, Clone)]
pub struct Request {
    /// The Kubernetes version, such as `1.37.2`.
    pub kubernetes: String,
    /// `amd64`; there is no other yet.
    pub arch: String,
    /// Where to put it, instead of [`Bundle::locate`].
    pub output: Option<PathBuf>,
}

/// How far a build is. Reported at each step, and every few seconds while something compiles.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// The step that is being done.
    pub step: String,
    /// How long that step has taken.
    pub elapsed: Duration,
}

/// Builds the bundle, unless it is there already and was built from the same recipe.
///
/// # Errors
/// [`Kind::Usage`] for a version or architecture that cannot be built, [`Kind::Machine`] where this
/// machine lacks something, [`Kind::Command`] when `go` or apt fails.
pub async fn build(request: &Request, progress: &(dyn Fn(Progress) + Sync)) -> Result<Bundle> {
    let release = Release::find(&request.kubernetes)?;
    let arch = request.arch.as_str();
    if arch != "amd64" {
        let why = format!("bundles cannot be built for `{arch}` yet");
        return Err(Error::new(Kind::Usage, why).hint("use amd64"));
    }
    let locate = || Bundle::locate(release.kubernetes, arch);
    let output = request.output.clone().unwrap_or_else(locate);
    let agent = Agent::read(arch)?;
    let recipe = recipe(release, arch, &agent);
    if let Ok(bundle) = Bundle::open(&output)
        && bundle.manifest().recipe == recipe
        && bundle.is_complete()
    {
        return Ok(bundle);
    }
    let parent = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| unwritable(parent, &e))?;
    let work = tempfile::Builder::new().prefix(".bundle-").tempdir_in(parent);
    let work = work.map_err(|e| unwritable(parent, &e))?;
    let total = release.components().count() + debian::RELEASES.len() + 3;
    let steps = Steps { report: progress, total, done: AtomicUsize::new(0) };
    let manifest = Assembly { release, arch, dir: work.path(), steps }.run(recipe, agent).await?;
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|e| Error::new(Kind::Bug, format!("cannot write the manifest: {e}")))?;
    let path = work.path().join("manifest.json");
    fs::write(&path, text).map_err(|e| unwritable(&path, &e))?;
    put_in_place(work, &output)?;
    Bundle::open(&output)
}

/// One component by name, built or taken from the cache: the digest (hexadecimal) of each of its
/// files.
///
/// # Errors
/// As [`build`].
pub async fn build_component(
    name: &str,
    kubernetes: &str,
    arch: &str,
) -> Result<BTreeMap<String, String>> {
    let component = Release::find(kubernetes)?.component(name)?;
    let built = go::build(&component, arch, &|_| ()).await?;
    let digest = |path: &str| built.digest(path).map_or_else(String::new, |(d, _)| d.clone());
    Ok(built.below("").map(|path| (path.to_owned(), digest(path))).collect())
}

/// A digest of everything that is chosen by slipway. What apt will answer is not part of it: an
/// existing bundle keeps its packages.
fn recipe(release: &Release, arch: &str, agent: &Agent) -> String {
    let components: Vec<String> = release.components().map(|c| c.recipe(arch)).collect();
    let images = image::recipe(release);
    let packages = debian::recipe();
    let (base, agent) = (base::recipe(), agent.recipe());
    sha256(format!("{components:?} {images} {base} {packages} {agent} {ADDONS:?}").as_bytes())
}

/// Several steps go on at once; whichever reports is shown.
struct Steps<'a> {
    report: &'a (dyn Fn(Progress) + Sync),
    total: usize,
    done: AtomicUsize,
}

impl Steps<'_> {
    fn at(&self, step: &str, elapsed: Duration) {
        let done = self.done.load(Ordering::Relaxed);
        (self.report)(Progress { done, total: self.total, step: step.to_owned(), elapsed });
    }

    /// Does a step, whose `work` may report how long it has taken.
    async fn step<T, W: Future<Output = Result<T>>>(
        &self,
        name: &str,
        work: impl FnOnce() -> W,
    ) -> Result<T> {
        self.at(name, Duration::ZERO);
        let done = work().await?;
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(done)
    }
}

struct Assembly<'a> {
    release: &'a Release,
    arch: &'a str,
    dir: &'a Path,
    steps: Steps<'a>,
}

impl Assembly<'_> {
    async fn run(self, recipe: String, agent: Agent) -> Result<Manifest> {
        // What waits for the network does so while Go compiles.
        let base = self.steps.step("base layer", || base::layer(self.arch));
        let (built, packages, (base, base_packages)) =
            tokio::try_join!(self.components(), self.all_packages(), base)?;
        let mut layers = image::layers(|name| {
            built.get(name).ok_or_else(|| Error::new(Kind::Bug, format!("`{name}` is not built")))
        })?;
        layers.push(("base", base));
        layers.push((agent::NAME, agent.layer()));
        let written = self.steps.step("image layers", || self.layers(layers)).await?;
        self.steps.at("images and files", Duration::ZERO);
        let specs = image::specs(self.release);
        let images = specs
            .iter()
            .map(|spec| spec.write(self.dir, self.arch, |name| written.get(name).cloned()));
        let addons = ADDONS.iter().map(|(name, version, text)| {
            let path = format!("manifests/{name}.yaml");
            files::data(self.dir, path, name, version, text.as_bytes())
        });
        let versions = self.release.components();
        Ok(Manifest {
            schema: SCHEMA,
            kubernetes: self.release.kubernetes.to_owned(),
            os: "linux".to_owned(),
            arch: self.arch.to_owned(),
            recipe,
            components: versions
                .map(|c| (c.name, c.version))
                .chain([(agent::NAME, agent::VERSION)])
                .map(|(name, version)| (name.to_owned(), version.to_owned()))
                .collect(),
            images: images.collect::<Result<_>>()?,
            addons: addons.collect::<Result<_>>()?,
            files: self.files(&built)?,
            packages,
            base: base_packages,
        })
    }

    /// One after another: each keeps all processors busy.
    async fn components(&self) -> Result<BTreeMap<&'static str, Built>> {
        let mut built = BTreeMap::new();
        for component in self.release.components() {
            let step = format!("{} {}", component.name, component.version);
            let tick = |elapsed| self.steps.at(&step, elapsed);
            let build = || go::build(&component, self.arch, &tick);
            built.insert(component.name, self.steps.step(&step, build).await?);
        }
        Ok(built)
    }

    fn files(&self, built: &BTreeMap<&str, Built>) -> Result<Vec<super::FileEntry>> {
        let mut all = Vec::new();
        for component in self.release.components() {
            let Some(built) = built.get(component.name) else { continue };
            for source in built.below("bin/") {
                // etcd's server is called `server` by Go, and runs in an image only.
                if source != "bin/server" && !IMAGES_ONLY.contains(&source) {
                    let version = component.version;
                    all.push(files::program(self.dir, self.arch, built, version, source)?);
                }
            }
        }
        Ok(all)
    }

    async fn all_packages(&self) -> Result<Vec<PackageEntry>> {
        let mut all = Vec::new();
        for (release, codename) in debian::RELEASES {
            let step = format!("packages for {release}");
            all.extend(self.steps.step(&step, || self.packages(release, codename)).await?);
        }
        Ok(all)
    }

    async fn packages(&self, release: &str, codename: &str) -> Result<Vec<PackageEntry>> {
        let below = format!("packages/{release}");
        let apt = Apt::new(codename, self.arch).await?;
        let debs = apt.node_packages(&self.dir.join(&below)).await?;
        debs.into_iter()
            .map(|deb| {
                let (sha256, size) = sha256_file(&deb.path)?;
                let file = deb.path.file_name().unwrap_or_default().to_string_lossy();
                let path = format!("{below}/{file}");
                let release = release.to_owned();
                let Deb { name, version, architecture, endpoint, dependency, .. } = deb;
                Ok(PackageEntry {
                    release,
                    name,
                    version,
                    architecture,
                    endpoint,
                    dependency,
                    path,
                    size,
                    sha256,
                })
            })
            .collect()
    }

    /// Compresses all layers, as many at a time as there are processors.
    async fn layers(
        &self,
        layers: Vec<(&'static str, Layer)>,
    ) -> Result<BTreeMap<&'static str, Written>> {
        let blobs = self.dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(|e| unwritable(&blobs, &e))?;
        let (start, width) = (Instant::now(), std::thread::available_parallelism());
        let mut waiting = layers.into_iter();
        let mut running = JoinSet::new();
        let mut written = BTreeMap::new();
        loop {
            while running.len() < width.as_ref().map_or(1, |n| n.get()) {
                let Some((name, layer)) = waiting.next() else { break };
                let blobs = blobs.clone();
                running.spawn_blocking(move || layer.write(&blobs).map(|w| (name, w)));
            }
            let Some(finished) = running.join_next().await else { return Ok(written) };
            let (name, layer) = finished
                .map_err(|e| Error::new(Kind::Bug, format!("a layer's writer ended: {e}")))??;
            self.steps.at(&format!("image layers ({name} done)"), start.elapsed());
            written.insert(name, layer);
        }
    }
}

fn put_in_place(work: tempfile::TempDir, output: &Path) -> Result<()> {
    let failed = |e: std::io::Error| unwritable(output, &e);
    // A temporary directory is private; a bundle is not.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
    if output.exists() {
        if !output.join("manifest.json").exists() {
            let why = format!("`{}` exists and is no bundle", output.display());
            return Err(Error::new(Kind::Machine, why).hint("choose another directory"));
        }
        fs::remove_dir_all(output).map_err(failed)?;
    }
    fs::rename(work.keep(), output).map_err(failed)
}
