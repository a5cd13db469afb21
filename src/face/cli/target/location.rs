//! The place that `--store` names.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::face::remote::Address;
use crate::{Error, Result};

/// The default store.
const STORE: &str = "hivekeep.redb";

/// A file, or the address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::face::cli) enum StoreLocation {
    File(PathBuf),
    Service(Address),
}

impl StoreLocation {
    /// Reads an argument. Text that begins like an address must be one.
    ///
    /// # Errors
    ///
    /// `Invalid` for a wrong address.
    pub(in crate::face::cli) fn read(text: OsString) -> Result<Self> {
        if !Address::is_meant(&text) {
            return Ok(Self::File(text.into()));
        }
        let text = text.to_str().ok_or_else(|| Error::invalid("the address is not UTF-8"))?;
        text.parse().map(Self::Service)
    }
}

impl Default for StoreLocation {
    fn default() -> Self {
        Self::File(STORE.into())
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Service(address) => address.fmt(f),
        }
    }
}
