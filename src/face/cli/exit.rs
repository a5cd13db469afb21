//! How the program ends: the one place where the kind of an error becomes an exit code.

use std::process::ExitCode;

use crate::{Error, ErrorKind};

/// How a verb ended. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Everything was done.
    Done,
    /// It failed, and the message says why.
    Failed,
    /// What was typed is wrong, or means several things.
    Usage,
    /// Some of it was done, and the rest was named.
    InPart,
    /// Damage was found.
    Damaged,
    /// There is no store.
    NoStore,
    /// Another process holds the store.
    Locked,
    /// Nothing matches: no such point or record, nothing to claim.
    Nothing,
    /// As a command that it ran.
    Other(u8),
}

impl Exit {
    /// The number.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::InPart => 3,
            Self::Damaged => 4,
            Self::NoStore => 10,
            Self::Locked => 11,
            Self::Nothing => 13,
            Self::Other(code) => code,
        }
    }
}

impl Exit {
    /// How a verb ends with an error. One that could not go on because of damage that was met before ends as with damage.
    pub(super) fn of(error: &Error) -> Self {
        let damage = |source: &(dyn std::error::Error + 'static)| {
            source.downcast_ref::<Error>().is_some_and(|source| source.kind() == ErrorKind::Damaged)
        };
        match std::error::Error::source(error) {
            Some(source) if error.kind() == ErrorKind::Reopen && damage(source) => Self::Damaged,
            _ => error.kind().into(),
        }
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NoStore => Self::NoStore,
            ErrorKind::Locked => Self::Locked,
            ErrorKind::Damaged => Self::Damaged,
            ErrorKind::NotFound | ErrorKind::Gone => Self::Nothing,
            ErrorKind::Invalid | ErrorKind::Ambiguous => Self::Usage,
            ErrorKind::NotAStore
            | ErrorKind::NewerFormat
            | ErrorKind::Conflict
            | ErrorKind::NotCommitted
            | ErrorKind::Uncertain
            | ErrorKind::Reopen
            | ErrorKind::Forked
            | ErrorKind::Moved
            | ErrorKind::Full
            | ErrorKind::Io => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
