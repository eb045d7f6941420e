//! Images as one tar archive in OCI layout, as `ctr images import -` reads it.

use std::io::{self, Write};

use serde_json::json;

use super::manifest::{Blob, Image};
use super::{Bundle, Verified};
use crate::diagnostic::{Error, Kind, Result};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Media type of an OCI image manifest.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

impl Bundle {
    /// Writes the images with these short names as one OCI layout, blobs that they share once, to
    /// `out`: for `ctr -n k8s.io images import -`. Every blob is verified while it is read, and an
    /// archive with a wrong one is never completed.
    ///
    /// # Errors
    /// [`Kind::Bug`] for an unknown name; [`Kind::Machine`] when a blob is missing or differs, or
    /// when `out` fails.
    pub fn write_images(&self, names: &[&str], out: impl Write) -> Result<()> {
        let images: Vec<&Image> =
            names.iter().map(|name| self.image(name)).collect::<Result<_>>()?;
        let mut tar = tar::Builder::new(out);
        // The index names what follows, so it comes first: an import may then begin at once.
        append(&mut tar, "oci-layout", LAYOUT.len() as u64, LAYOUT)?;
        let index = index(&images);
        append(&mut tar, "index.json", index.len() as u64, index.as_slice())?;
        for blob in self.blobs(names) {
            let reader = Verified::open(&self.dir().join(blob.path()), blob.sha256(), blob.size)?;
            append(&mut tar, &blob.path(), blob.size, reader)?;
        }
        tar.into_inner().and_then(|mut out| out.flush()).map_err(|e| failed(&e))
    }

    /// The bytes that [`Bundle::write_images`] writes for these names.
    #[must_use]
    pub fn archive_size(&self, names: &[&str]) -> u64 {
        let entry = |size: u64| 512 + size.div_ceil(512) * 512;
        let images: Vec<&Image> = self.images().iter().filter(|i| is_in(names, i)).collect();
        let blobs: u64 = self.blobs(names).iter().map(|blob| entry(blob.size)).sum();
        entry(LAYOUT.len() as u64) + entry(index(&images).len() as u64) + blobs + 1024
    }

    fn blobs(&self, names: &[&str]) -> Vec<&Blob> {
        self.manifest().blobs(|image| is_in(names, image))
    }
}

fn is_in(names: &[&str], image: &Image) -> bool {
    names.contains(&image.name.as_str())
}

fn index(images: &[&Image]) -> Vec<u8> {
    let manifests: Vec<_> = images
        .iter()
        .map(|image| {
            json!({
                "mediaType": MANIFEST_TYPE,
                "digest": image.digest,
                "size": image.size,
                "annotations": {"io.containerd.image.name": image.reference},
            })
        })
        .collect();
    json!({"schemaVersion": 2, "manifests": manifests}).to_string().into_bytes()
}

fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    size: u64,
    data: impl io::Read,
) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, path, data).map_err(|e| failed(&e).note(path))
}

fn failed(e: &io::Error) -> Error {
    Error::new(Kind::Machine, format!("cannot write an image archive: {e}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;

    use super::super::digest::sha256;
    use super::super::manifest::tests::example;
    use super::*;

    /// A bundle on disk with two images that share a layer.
    fn bundle(dir: &std::path::Path) -> Bundle {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        let blob = |data: &str| {
            let sha256 = sha256(data.as_bytes());
            fs::write(dir.join("blobs/sha256").join(&sha256), data).unwrap();
            Blob { digest: format!("sha256:{sha256}"), size: data.len() as u64 }
        };
        let layer = blob(&"layer".repeat(1000));
        let image = |name: &str| {
            let manifest = blob(name);
            Image {
                name: name.to_owned(),
                reference: format!("example.org/{name}:v1"),
                digest: manifest.digest.clone(),
                size: manifest.size,
                blobs: vec![manifest, layer.clone()],
            }
        };
        let mut manifest = example();
        manifest.images = vec![image("one"), image("two")];
        fs::write(dir.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        Bundle::open(dir).unwrap()
    }

    #[test]
    fn an_archive_is_an_oci_layout_with_each_blob_once() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(dir.path());
        let mut out = Vec::new();
        bundle.write_images(&["one", "two"], &mut out).unwrap();
        assert_eq!(out.len() as u64, bundle.archive_size(&["one", "two"]));
        let mut names = Vec::new();
        let mut index = String::new();
        for entry in tar::Archive::new(out.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            names.push(entry.path().unwrap().to_string_lossy().into_owned());
            if names.last().unwrap() == "index.json" {
                entry.read_to_string(&mut index).unwrap();
            }
        }
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(index.contains(r#""io.containerd.image.name":"example.org/two:v1""#), "{index}");
        assert!(bundle.archive_size(&["one"]) < bundle.archive_size(&["one", "two"]));
    }

    #[test]
    fn an_archive_with_a_changed_blob_is_never_completed() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(dir.path());
        let layer = &bundle.images()[0].blobs[1];
        let changed = "layer".repeat(999) + "laxer";
        fs::write(dir.path().join(layer.path()), changed).unwrap();
        let mut out = Vec::new();
        let error = bundle.write_images(&["one"], &mut out).unwrap_err().to_string();
        assert!(error.contains(layer.sha256()), "{error}");
        assert!((out.len() as u64) < bundle.archive_size(&["one"]));
        assert!(bundle.verify(&mut |_| ()).unwrap_err().to_string().contains("files are not"));
    }

    #[test]
    fn an_unknown_image_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = bundle(dir.path()).write_images(&["three"], Vec::new()).unwrap_err();
        assert!(error.message().contains("`three`"));
    }
}
