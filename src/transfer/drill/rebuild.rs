//! A way to make the store anew without its machine.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::{Error, Result};

/// A store that came back from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The number of the newest commit that came back.
    pub sequence: u64,
    /// When it was made, as far as is known.
    pub time: Timestamp,
}

/// Makes a new store at a path from what is kept elsewhere.
#[derive(Clone)]
pub(crate) struct Rebuild(pub(super) Arc<Work>);

pub(super) type Work = dyn Fn(&Path) -> Result<Rebuilt> + Send + Sync;

impl fmt::Debug for Rebuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rebuild").finish()
    }
}

/// The error for a rehearsal of a lost machine without anything elsewhere.
pub(super) fn needs_another_place() -> Error {
    Error::invalid("a lost machine can be rehearsed only with a replica, from which the store comes back; name one")
}
