//! Reading files that may be larger than anything that they should hold.

use std::fs::File;
use std::io::{Read as _, Result};
use std::path::Path;

/// The first `limit` bytes of a file, and one more where it is larger: whoever parses it refuses it then.
///
/// # Errors
/// If the file cannot be opened or read.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_read_one_byte_too_far() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read(&path, 2).unwrap(), b"fou");
        assert!(read(&dir.path().join("none"), 2).is_err());
    }
}
