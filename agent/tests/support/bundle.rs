//! The bundle's own etcd, API server and controller manager, taken out of their images.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

const VERSION: &str = "1.37.1";

/// The folder with `etcd`, `kube-apiserver` and `kube-controller-manager`.
pub fn components() -> PathBuf {
    let cache = std::env::var_os("SLIPWAY_CACHE").map_or_else(
        || Path::new(&std::env::var_os("HOME").expect("HOME")).join(".cache/slipway"),
        PathBuf::from,
    );
    let bundle = cache.join(format!("bundles/{VERSION}-amd64"));
    let manifest = fs::read(bundle.join("manifest.json")).unwrap_or_else(|error| {
        panic!(
            "these tests run the bundle's own API server, and {} is not there ({error}): run \
             `slipway bundle build --kubernetes {VERSION}` first",
            bundle.display()
        )
    });
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("manifest.json");
    let images = manifest["images"].as_array().expect("images");
    let layers: Vec<String> = ["etcd", "kube-apiserver", "kube-controller-manager"]
        .iter()
        .flat_map(|name| {
            let image = images.iter().find(|image| image["name"] == *name).expect("image");
            let layers = json(&blob(&bundle, image["digest"].as_str().expect("digest")));
            let layers = layers["layers"].as_array().expect("layers").clone();
            layers.into_iter().map(|layer| layer["digest"].as_str().expect("digest").to_owned())
        })
        .collect();
    let key: String = layers.iter().map(|digest| &digest[7..15]).collect::<Vec<_>>().join("-");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("components-{key}"));
    let programs = place.join("usr/local/bin");
    if !place.exists() {
        let fresh = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("tempdir");
        let mut unpacked: Vec<&String> = Vec::new();
        for digest in &layers {
            if !unpacked.contains(&digest) {
                let layer = File::open(blob(&bundle, digest)).expect("layer");
                let layer = zstd::Decoder::new(layer).expect("zstd");
                tar::Archive::new(layer).unpack(fresh.path()).expect("unpacking");
                unpacked.push(digest);
            }
        }
        // Another test may have been faster.
        let _ = fs::rename(fresh.keep(), &place);
    }
    assert!(programs.join("etcd").exists(), "{} has no etcd", programs.display());
    programs
}

fn blob(bundle: &Path, digest: &str) -> PathBuf {
    bundle.join("blobs/sha256").join(digest.strip_prefix("sha256:").expect("sha256"))
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).expect("blob")).expect("JSON")
}
