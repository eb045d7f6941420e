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
            append(&mut tar, &blob.path(), blob.size, Ending::new(reader, blob.size))?;
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

/// A verified reader that is asked for its end together with its last byte: tar reads no further
/// than the size in the header, and would not notice a wrong digest.
pub(super) struct Ending {
    reader: Verified,
    left: u64,
}

impl Ending {
    /// Of a reader with this many bytes.
    pub(super) fn new(reader: Verified, size: u64) -> Self {
        Self { reader, left: size }
    }
}

impl io::Read for Ending {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.left = self.left.saturating_sub(n as u64);
        if self.left == 0 && n > 0 && self.reader.read(&mut [0])? != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it grew while being read"));
        }
        Ok(n)
    }
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
