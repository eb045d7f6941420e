//! A bundle for tests: what a real one of the newest Kubernetes version has, a few bytes of each.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::digest::sha256;
use super::recipe::{RELEASES, Release};
use super::{Blob, Bundle, FileEntry, Image, Manifest, PackageEntry, SCHEMA, image};

/// The programs that nodes get.
const PROGRAMS: &[&str] = &[
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "bandwidth",
    "host-local",
    "loopback",
    "portmap",
    "tuning",
    "kubelet",
    "kubeadm",
    "kubectl",
    "etcdctl",
    "etcdutl",
];

/// Packages, and whether only a virtual IP needs them.
const PACKAGES: &[(&str, bool)] = &[
    ("runc", false),
    ("conntrack", false),
    ("chrony", false),
    ("haproxy", true),
    ("keepalived", true),
];

const ADDONS: &[(&str, &str)] = &[
    (
        "calico",
        "kind: DaemonSet\nmetadata: {name: calico-node, namespace: kube-system}\n---\n\
         kind: Deployment\nmetadata: {name: calico-kube-controllers, namespace: kube-system}\n",
    ),
    (
        "metrics-server",
        "kind: APIService\nmetadata: {name: v1beta1.metrics.k8s.io}\n\
         spec: {caBundle: \"${METRICS_SERVER_CA}\"}\n---\n\
         kind: Deployment\nmetadata: {name: metrics-server, namespace: kube-system}\n",
    ),
];

impl Bundle {
    /// The one bundle of all tests but those of upgrades.
    pub(crate) fn sample() -> Arc<Self> {
        Self::sample_of(super::LATEST)
    }

    /// The one of that version. Programs of all but the newest say which they are of.
    pub(crate) fn sample_of(version: &str) -> Arc<Self> {
        static SAMPLES: OnceLock<(tempfile::TempDir, Vec<Arc<Bundle>>)> = OnceLock::new();
        let make = || {
            let dir = tempfile::tempdir().unwrap();
            let sample = |release: &Release| {
                Arc::new(Self::write_sample(&dir.path().join(release.kubernetes), release))
            };
            let bundles = RELEASES.iter().map(sample).collect();
            (dir, bundles)
        };
        let at = RELEASES.iter().position(|release| release.kubernetes == version).unwrap();
        Arc::clone(&SAMPLES.get_or_init(make).1[at])
    }

    fn write_sample(dir: &Path, release: &Release) -> Self {
        let put = |name: &str, path: String, text: &str| {
            let place = dir.join(&path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
            let (size, sha256) = (text.len() as u64, sha256(text.as_bytes()));
            FileEntry { name: name.to_owned(), version: "1".to_owned(), path, size, sha256 }
        };
        let program = |name: &&str| {
            let older = release.kubernetes != super::LATEST;
            let text =
                if older { format!("{name} {}", release.kubernetes) } else { (*name).into() };
            put(name, format!("linux-amd64/bin/{name}"), &text)
        };
        let addon = |(name, text): &(&str, &str)| put(name, format!("manifests/{name}.yaml"), text);
        let image = |spec: image::Spec| {
            let path = format!("blobs/sha256/{}", sha256(spec.name.as_bytes()));
            let FileEntry { name, size, sha256, .. } = put(spec.name, path, spec.name);
            let digest = format!("sha256:{sha256}");
            let blobs = vec![Blob { digest: digest.clone(), size }];
            Image { name, reference: spec.reference, digest, size, blobs }
        };
        let package = |release: &'static str, (name, endpoint): &(&str, bool)| {
            let path = format!("packages/{release}/{name}.deb");
            let FileEntry { name, version, path, size, sha256 } = put(name, path, "a package");
            PackageEntry {
                release: release.to_owned(),
                name,
                version,
                architecture: "amd64".to_owned(),
                endpoint: *endpoint,
                dependency: false,
                path,
                size,
                sha256,
            }
        };
        let releases = ["debian-12", "debian-13"];
        let packages = |release| PACKAGES.iter().map(move |one| package(release, one));
        let manifest = Manifest {
            schema: SCHEMA,
            kubernetes: release.kubernetes.to_owned(),
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            recipe: String::new(),
            components: [].into(),
            files: PROGRAMS.iter().map(program).collect(),
            images: image::specs(release).into_iter().map(image).collect(),
            addons: ADDONS.iter().map(addon).collect(),
            packages: releases.into_iter().flat_map(packages).collect(),
            base: Vec::new(),
        };
        fs::write(dir.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        Self::open(dir).unwrap()
    }
}
