//! Bundles: reproducible, built once, accepted by containerd.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use slipway::bundle::{Bundle, LATEST};
use slipway::process::Process;

/// Runs the command line with a cache of its own; the module cache is Go's usual one.
async fn slipway(cache: &Path, args: &[&str]) -> slipway::process::Finished {
    Process::at(Path::new(env!("CARGO_BIN_EXE_slipway")))
        .args(args)
        .env("SLIPWAY_CACHE", cache)
        .env("GOCACHE", cache.join("go"))
        .output()
        .await
        .unwrap()
}

/// The digests of a component's programs that a cache holds.
fn digests(cache: &Path) -> String {
    let components = fs::read_dir(cache.join("components")).unwrap();
    let kept: Vec<_> = components.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    fs::read_to_string(kept[0].join("digests.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_apart_are_equal_and_a_third_compiles_nothing() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for cache in [&first, &second] {
        let done = slipway(cache.path(), &["bundle", "build", "--only", "pause"]).await;
        assert_eq!(done.code, 0, "{}", String::from_utf8_lossy(&done.stderr));
    }
    assert_eq!(digests(first.path()), digests(second.path()));
    assert!(digests(first.path()).contains("bin/pause"));

    // Without Go on the PATH, only the cache can answer.
    let again = Process::at(Path::new(env!("CARGO_BIN_EXE_slipway")))
        .args(["bundle", "build", "--only", "pause"])
        .env("SLIPWAY_CACHE", first.path())
        .env("PATH", "/nonexistent");
    assert_eq!(again.output().await.unwrap().code, 0);
    let without = Process::at(Path::new(env!("CARGO_BIN_EXE_slipway")))
        .args(["bundle", "build", "--only", "pause"])
        .env("SLIPWAY_CACHE", first.path().join("empty"))
        .env("PATH", "/nonexistent");
    let without = without.output().await.unwrap();
    let shown = String::from_utf8_lossy(&without.stderr);
    assert!(without.code != 0 && shown.contains("install Go"), "{shown}");
}

/// Every image of the default bundle reaches the built containerd under its name.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and a bundle in the cache"]
async fn containerd_imports_every_image() {
    let bundle = Bundle::open(&Bundle::locate(LATEST, "amd64")).unwrap();
    bundle.verify(&mut |_| ()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let config = format!(
        "version = 3\nroot = \"{}\"\nstate = \"{}\"\n[grpc]\naddress = \"{}\"\n\
         [ttrpc]\naddress = \"{}\"\n",
        at("root"),
        at("state"),
        at("containerd.sock"),
        at("containerd.ttrpc")
    );
    fs::write(at("config.toml"), config).unwrap();
    let daemon = Process::at(bundle.file("containerd").unwrap().path());
    let mut daemon = daemon.args(["--config", &at("config.toml")]).into_inner().spawn().unwrap();
    let ctr = || {
        Process::at(bundle.file("ctr").unwrap().path()).args([
            "--address",
            &at("containerd.sock"),
            "-n",
            "k8s.io",
        ])
    };
    for _ in 0..100 {
        if ctr().arg("version").output().await.unwrap().code == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let names: Vec<&str> = bundle.images().iter().map(|image| image.name.as_str()).collect();
    let mut archive = Vec::new();
    bundle.write_images(&names, &mut archive).unwrap();
    assert_eq!(archive.len() as u64, bundle.archive_size(&names));
    let import = ["images", "import", "--label", "io.cri-containerd.pinned=pinned", "-"];
    ctr().args(import).stdin(archive).run().await.unwrap();

    let listed = ctr().args(["images", "list"]).run().await.unwrap().text();
    for image in bundle.images() {
        let line = listed.lines().find(|line| line.starts_with(&format!("{} ", image.reference)));
        let line = line.unwrap_or_else(|| panic!("{} is missing:\n{listed}", image.reference));
        assert!(line.contains(&image.digest) && line.contains("linux/amd64"), "{line}");
    }
    daemon.kill().await.unwrap();
}
