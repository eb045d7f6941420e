//! `slipway bundle`: build, verify and list what clusters are made of.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{say, say_error};
use crate::bundle::{
    Bundle, LATEST, Manifest, Progress, Request, VERSIONS, build, build_component,
};
use crate::diagnostic::{Error, Kind, Result};
use crate::report::Format;

/// Build, verify and list bundles, which clusters are made of.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a bundle from Go modules and Debian packages, unless it is there already.
    Build {
        #[command(flatten)]
        which: Which,
        /// Where to put it, instead of the cache.
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Build just this Go component into the cache, and show the digests of its files.
        #[arg(long, value_name = "COMPONENT", conflicts_with = "output")]
        only: Option<String>,
    },
    /// Hash every file of a bundle again.
    Verify {
        #[command(flatten)]
        which: Which,
        /// A bundle outside the cache.
        #[arg(conflicts_with_all = ["kubernetes", "arch"])]
        dir: Option<PathBuf>,
    },
    /// List the Kubernetes versions that bundles can be built for, newest first.
    Versions,
    /// Show what a bundle holds.
    List {
        #[command(flatten)]
        which: Which,
        /// A bundle outside the cache.
        #[arg(conflicts_with_all = ["kubernetes", "arch"])]
        dir: Option<PathBuf>,
        /// How to show it.
        #[arg(long, default_value = "text")]
        output: Format,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The Kubernetes version.
    #[arg(long, value_name = "VERSION", default_value = LATEST)]
    kubernetes: String,
    /// The architecture of the nodes; only amd64 so far.
    #[arg(long, default_value = "amd64")]
    arch: String,
}

impl Which {
    fn open(&self, dir: Option<PathBuf>) -> Result<Bundle> {
        Bundle::open(&dir.unwrap_or_else(|| Bundle::locate(&self.kubernetes, &self.arch)))
    }
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Build { which, only: Some(component), .. } => {
            for (path, digest) in
                build_component(&component, &which.kubernetes, &which.arch).await?
            {
                say(format_args!("{digest}  {path}"));
            }
        }
        Command::Build { which, output, only: None } => {
            let request = Request { kubernetes: which.kubernetes, arch: which.arch, output };
            let bundle = build(&request, &show).await?;
            say(format_args!(
                "{} ({})",
                bundle.dir().display(),
                megabytes(total(bundle.manifest()))
            ));
        }
        Command::Versions => say(VERSIONS.join("\n")),
        Command::Verify { which, dir } => {
            let bundle = which.open(dir)?;
            let mut files = 0;
            bundle.verify(&mut |_| files += 1)?;
            let size = megabytes(total(bundle.manifest()));
            say(format_args!("{files} files ({size}) are as built"));
        }
        Command::List { which, dir, output: Format::Json } => {
            let bundle = which.open(dir)?;
            let text = serde_json::to_string_pretty(bundle.manifest())
                .map_err(|e| Error::new(Kind::Bug, format!("cannot show the manifest: {e}")))?;
            say(text);
        }
        Command::List { which, dir, output: Format::Text } => list(which.open(dir)?.manifest()),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(progress: Progress) {
    let Progress { done, total, step, elapsed } = progress;
    say_error(format_args!("[{}/{total}] {step} ({} s)", done + 1, elapsed.as_secs()));
}

fn list(manifest: &Manifest) {
    let Manifest { kubernetes, os, arch, .. } = manifest;
    say(format_args!("Kubernetes {kubernetes} for {os}/{arch}\n"));
    let row = |kind: &str, name: &str, version: &str, size: u64, digest: &str| {
        let digest = digest.trim_start_matches("sha256:").get(..12).unwrap_or(digest);
        say(format_args!("{kind:<9} {name:<30} {version:<48} {:>9} {digest}", megabytes(size)));
    };
    for file in &manifest.files {
        row("file", &file.name, &file.version, file.size, &file.sha256);
    }
    for image in &manifest.images {
        let size = image.blobs.iter().map(|blob| blob.size).sum();
        row("image", &image.name, &image.reference, size, &image.digest);
    }
    for addon in &manifest.addons {
        row("add-on", &addon.name, &addon.version, addon.size, &addon.sha256);
    }
    for package in &manifest.packages {
        row(&package.release, &package.name, &package.version, package.size, &package.sha256);
    }
}

fn total(manifest: &Manifest) -> u64 {
    manifest.contents().map(|(_, _, size)| size).sum()
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}
