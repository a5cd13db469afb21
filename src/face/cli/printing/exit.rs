//! Exit codes: the one place that maps kinds of errors to them.

use std::process::ExitCode;

use crate::{Error, ErrorKind};

/// The result of a verb. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::face::cli) enum Exit {
    /// Success.
    Done,
    /// A failure; the message explains it.
    Failed,
    /// The arguments are wrong or ambiguous.
    Usage,
    /// Some of it was done; the message names the rest.
    InPart,
    /// Damage was found.
    Damaged,
    /// There is no store.
    NoStore,
    /// Another process holds the store.
    Locked,
    /// Nothing matches: no such point or record, nothing to claim.
    Nothing,
    /// The exit code of a command that the verb ran.
    Other(u8),
}

impl Exit {
    /// The exit code.
    pub(in crate::face::cli) fn code(self) -> u8 {
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
    /// The exit code of an error. An error that earlier damage caused counts as damage.
    pub(in crate::face::cli) fn of(error: &Error) -> Self {
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
            | ErrorKind::Forbidden
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
