//! Why an open file is used no more.

use crate::error::{Error, ErrorKind, Hint};

/// Why a file is used no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A call into redb has panicked, so its memory cannot be trusted.
    Damage = 1,
    /// The store was closed.
    Closed,
    /// An earlier failure closed the file, and the store may have reopened it.
    Reopened,
}

impl End {
    pub(super) fn of(number: u8) -> Option<Self> {
        [Self::Damage, Self::Closed, Self::Reopened].into_iter().find(|end| *end as u8 == number)
    }

    pub(crate) fn error(self) -> Error {
        let message = match self {
            Self::Damage => "damage was found in the file before; open the store again, and repair it",
            Self::Closed => "the store was closed; open it again",
            Self::Reopened => "an earlier failure closed the file, and this view with it; begin another view",
        };
        let error = Error::new(ErrorKind::Reopen, message);
        match self {
            Self::Damage => error.with_source(damaged_pages()).with_hint(Hint::RepairStore),
            Self::Closed | Self::Reopened => error,
        }
    }
}

/// Damage that a panic of redb has shown.
pub(super) fn damaged_pages() -> Error {
    Error::damaged("pages of the file are damaged; repair the store").with_hint(Hint::RepairStore)
}
