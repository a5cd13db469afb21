//! How redb's errors become ours: closures that call redb return a [`Failure`], and a
//! [`RedbGuard`](super::RedbGuard) turns it into an [`Error`]. The type is private to the crate, so no user
//! of it meets an error of redb's.

use crate::engine::redb_file::End;
use crate::error::{Error, ErrorKind, Hint};

/// Why a call into redb did not succeed. Behind a pointer, as it is part of what each row of a range is read as.
#[derive(Debug)]
pub(crate) struct Failure(Box<Error>);

impl Failure {
    /// The error for the caller.
    pub(crate) fn into_error(self) -> Error {
        *self.0
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(Box::new(error))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.into_error()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<redb::StorageError> for Failure {
    fn from(error: redb::StorageError) -> Self {
        storage(error).into()
    }
}

impl From<redb::TransactionError> for Failure {
    fn from(error: redb::TransactionError) -> Self {
        let error = match error {
            redb::TransactionError::Storage(error) => storage(error),
            error => Error::new(ErrorKind::Conflict, error.to_string()).with_source(error),
        };
        error.into()
    }
}

impl From<redb::TableError> for Failure {
    fn from(error: redb::TableError) -> Self {
        let error = match error {
            redb::TableError::Storage(error) => storage(error),
            error => Error::damaged(format!("a table has another type than in a store: {error}")).with_source(error),
        };
        error.into()
    }
}

impl From<redb::DatabaseError> for Failure {
    fn from(error: redb::DatabaseError) -> Self {
        let error = match error {
            redb::DatabaseError::Storage(error) => storage(error),
            error @ redb::DatabaseError::UpgradeRequired(_) => {
                let message = "an older redb wrote the file, and no store was ever made with that";
                Error::new(ErrorKind::NotAStore, message).with_source(error)
            }
            error @ (redb::DatabaseError::DatabaseAlreadyOpen | redb::DatabaseError::LockProtocolMismatch) => {
                Error::new(ErrorKind::Locked, "another process has the store open for itself").with_source(error)
            }
            error => Error::new(ErrorKind::Io, error.to_string()).with_source(error),
        };
        error.into()
    }
}

impl From<redb::CommitError> for Failure {
    fn from(error: redb::CommitError) -> Self {
        let error = match error {
            redb::CommitError::Storage(error) => storage(error),
            error => Error::new(ErrorKind::NotCommitted, error.to_string()).with_source(error),
        };
        error.into()
    }
}

impl From<redb::CompactionError> for Failure {
    fn from(error: redb::CompactionError) -> Self {
        let error = match error {
            redb::CompactionError::Storage(error) => storage(error),
            error => Error::conflict(format!("the file is in use: {error}")).with_source(error),
        };
        error.into()
    }
}

fn storage(error: redb::StorageError) -> Error {
    match error {
        redb::StorageError::Io(source) => source.into(),
        redb::StorageError::Corrupted(what) => {
            // In the words of redb, which say nothing to a person.
            tracing::debug!(what, "redb found damage");
            Error::damaged("pages of the file are damaged; repair the store").with_hint(Hint::RepairStore)
        }
        redb::StorageError::ValueTooLarge(bytes) => Error::invalid(format!("a value is too long: bytes={bytes}")),
        redb::StorageError::DatabaseClosed => End::Closed.error(),
        error @ (redb::StorageError::PreviousIo | redb::StorageError::LockPoisoned(_)) => {
            Error::new(ErrorKind::Reopen, "an earlier failure closed the store; open it again").with_source(error)
        }
        error => Error::new(ErrorKind::Io, error.to_string()).with_source(error),
    }
}
