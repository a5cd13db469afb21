//! The errors of a commit that failed, the same with a log and without.

use crate::error::{Error, ErrorKind};

/// A failed commit may still have reached the disk: 3.8% of the measured ones had.
pub(in crate::engine) fn uncertain(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!(
        "the commit failed, and it is unknown whether it reached the disk; open the store again and look: {error}"
    );
    Error::new(ErrorKind::Uncertain, message).with_source(error)
}

/// Refuses a write after such a commit.
pub(in crate::engine) fn poisoned() -> Error {
    Error::new(ErrorKind::Reopen, "an earlier commit failed, so writes are refused until the store is opened again")
}
