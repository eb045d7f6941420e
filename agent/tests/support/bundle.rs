//! The bundle's own etcd, API server and controller manager, taken out of their images.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The newest bundle's Kubernetes version, such as `1.37.2`.
pub fn version() -> String {
    let bundle = bundle();
    let name = bundle.file_name().and_then(|name| name.to_str()).expect("a version");
    name.trim_end_matches("-amd64").to_owned()
}

/// The folder of the newest bundle that was built.
fn bundle() -> PathBuf {
    let cache = std::env::var_os("SLIPWAY_CACHE").map_or_else(
        || Path::new(&std::env::var_os("HOME").expect("HOME")).join(".cache/slipway"),
        PathBuf::from,
    );
    let bundles = cache.join("bundles");
    let built = fs::read_dir(&bundles).into_iter().flatten().flatten().map(|entry| entry.path());
    let number = |path: &PathBuf| -> Option<Vec<u32>> {
        let version = path.file_name()?.to_str()?.strip_suffix("-amd64")?.to_owned();
        version.split('.').map(|part| part.parse().ok()).collect()
    };
    let whole = |path: &PathBuf| path.join("manifest.json").exists() && number(path).is_some();
    built.filter(whole).max_by_key(number).unwrap_or_else(|| {
        panic!(
            "these tests run the bundle's own API server, and {} has none: run \
             `slipway bundle build` first",
            bundles.display()
        )
    })
}

/// The folder with `etcd`, `kube-apiserver` and `kube-controller-manager`.
pub fn components() -> PathBuf {
    let bundle = bundle();
    let manifest = fs::read(bundle.join("manifest.json")).expect("manifest.json");
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
