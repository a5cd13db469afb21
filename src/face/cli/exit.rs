//! How the program ends: the one place where the kind of an error becomes an exit code.

use std::process::ExitCode;

use crate::error::ErrorKind;

/// How a verb ended. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Everything was done.
    Done = 0,
    /// It failed, and the message says why.
    Failed = 1,
    /// What was typed is wrong, or means several things.
    Usage = 2,
    /// Some of it was done, and the rest was named.
    InPart = 3,
    /// Damage was found.
    Damaged = 4,
    /// There is no store.
    NoStore = 10,
    /// Another process holds the store.
    Locked = 11,
    /// Nothing matches: no such point or record, nothing to claim.
    Nothing = 13,
}

impl Exit {
    /// The number.
    pub(super) fn code(self) -> u8 {
        self as u8
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
