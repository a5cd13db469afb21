//! A file that is hashed while it is written, so that its SHA-256 needs no second read.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::engine::digest::hex;
use crate::files;

/// A file that is written from its beginning.
pub(in crate::transfer::archive) struct Hashed {
    file: File,
    hash: Sha256,
    length: u64,
}

impl Hashed {
    /// Starts with nothing written.
    pub(in crate::transfer::archive) fn new(file: File) -> Self {
        Self { file, hash: Sha256::new(), length: 0 }
    }

    /// The SHA-256 of everything written, and its length.
    pub(in crate::transfer::archive) fn into_parts(self) -> (String, u64) {
        (hex(&self.hash.finalize()), self.length)
    }
}

/// The SHA-256 of a file on the disk.
///
/// # Errors
///
/// The error of the system.
pub(in crate::transfer::archive) fn sha256_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut files::open(path)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
