//! The failure to read an archive, at each of its layers.

use std::io;

use crate::error::Error;

/// Keeps an error of the operating system. Every other error of the reader is about the bytes.
pub(in crate::transfer::archive) fn unreadable(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code).into(),
        None => Error::damaged(format!("the archive is damaged or truncated: {error}")),
    }
}
