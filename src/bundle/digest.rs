//! Digests of files: computed, and checked while reading.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::diagnostic::{Error, Kind, Result};

/// A reader of a file that gives an error instead of its last bytes when the content does not have
/// the digest that was promised: whoever reads it never holds the whole of a wrong file.
#[derive(Debug)]
pub struct Verified {
    path: PathBuf,
    inner: io::Take<fs::File>,
    hash: Sha256,
    expected: String,
}

impl Verified {
    /// Opens `path`, which should have this digest (hexadecimal) and this many bytes.
    ///
    /// # Errors
    /// [`Kind::Machine`] when it cannot be opened or has another size.
    pub fn open(path: &Path, sha256: &str, size: u64) -> Result<Self> {
        let inner = fs::File::open(path).map_err(|e| unreadable(path, &e))?;
        let found = inner.metadata().map_err(|e| unreadable(path, &e))?.len();
        if found != size {
            let why = format!("`{}` has {found} bytes instead of {size}", path.display());
            return Err(Error::new(Kind::Machine, why));
        }
        let inner = inner.take(size);
        Ok(Self { path: path.to_owned(), inner, hash: Sha256::new(), expected: sha256.to_owned() })
    }

    /// Reads to the end, for the check alone.
    ///
    /// # Errors
    /// [`Kind::Machine`] when the file cannot be read or has another digest.
    pub fn drain(mut self) -> Result<()> {
        self.copy_to(&mut io::sink())
    }

    /// Copies everything to `out`.
    ///
    /// # Errors
    /// [`Kind::Machine`] when the file has another digest, or reading or writing fails.
    pub fn copy_to(&mut self, out: &mut impl Write) -> Result<()> {
        let mut buffer = vec![0; 1 << 17];
        loop {
            let n = self.read(&mut buffer).map_err(|e| unreadable(&self.path, &e))?;
            let Some(part) = buffer.get(..n).filter(|part| !part.is_empty()) else {
                return Ok(());
            };
            out.write_all(part).map_err(|e| {
                Error::new(Kind::Machine, format!("cannot pass on `{}`: {e}", self.path.display()))
            })?;
        }
    }
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..n).unwrap_or_default());
        let complete = self.inner.limit() == 0;
        let short = n == 0 && !buffer.is_empty() && !complete;
        if short || complete && hex(&self.hash.clone().finalize()) != self.expected {
            let why = format!("its digest is not the expected sha256:{}", self.expected);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(n)
    }
}

/// A writer that counts and hashes what passes through it.
#[derive(Debug)]
pub(super) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Hashing<W> {
    /// Passes everything on to `inner`.
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// The inner writer, the digest (hexadecimal) and the number of bytes.
    pub(super) fn finish(self) -> (W, String, u64) {
        (self.inner, hex(&self.hash.finalize()), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(data)?;
        self.hash.update(data.get(..n).unwrap_or_default());
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The digest of `data`, in hexadecimal.
#[must_use]
pub fn sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

/// The digest (hexadecimal) and size in bytes of a file.
///
/// # Errors
/// [`Kind::Machine`] when it cannot be read.
pub fn sha256_file(path: &Path) -> Result<(String, u64)> {
    let mut file = fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    let mut out = Hashing::new(io::sink());
    io::copy(&mut file, &mut out).map_err(|e| unreadable(path, &e))?;
    let (_, digest, size) = out.finish();
    Ok((digest, size))
}

pub(super) fn unreadable(path: &Path, e: &io::Error) -> Error {
    Error::new(Kind::Machine, format!("cannot read `{}`: {e}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_has_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "good").unwrap();
        let digest = sha256(b"good");
        let mut text = String::new();
        Verified::open(&path, &digest, 4).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "good");
        fs::write(&path, "evil").unwrap();
        let error = Verified::open(&path, &digest, 4).unwrap().drain().unwrap_err();
        assert!(error.message().contains("not the expected"), "{error}");
        let mut got = Vec::new();
        let mut parts = Verified::open(&path, &digest, 4).unwrap();
        while parts.read(&mut [0; 1]).is_ok() {
            got.push(());
        }
        assert_eq!(got.len(), 3, "the last byte is withheld");
        assert!(Verified::open(&path, &digest, 5).unwrap_err().message().contains("4 bytes"));
    }

    #[test]
    fn digests_are_written_in_hexadecimal() {
        assert!(sha256(b"").starts_with("e3b0c44298fc1c14"));
    }
}
