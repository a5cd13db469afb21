//! The errors of a process whose store another one has overtaken: it writes nothing any more, and neither does any
//! other process of its file.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{Error, Hint};
use crate::replica::terms::chain;
use crate::replica::terms::remote::Remote;

/// Another process goes on with the history: the cause of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overtaken {
    /// The term with which it goes on, as far as that is known.
    pub(crate) by_term: Option<u64>,
    /// The own term, while no other one is known to have opened behind it: the process that ended it may have died on
    /// its way.
    pub(crate) ended: Option<u64>,
}

impl Overtaken {
    /// The cause of an error, if it is this one.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        error.source().and_then(|cause| cause.downcast_ref::<Self>()).copied()
    }

    /// Another process goes on with that term.
    pub(crate) fn by(term: u64) -> Self {
        Self { by_term: Some(term), ended: None }
    }

    /// Another process has ended that term, and is about to open one of its own.
    pub(crate) fn ended(term: u64) -> Self {
        Self { by_term: None, ended: Some(term) }
    }

    /// Another process goes on with the newest term of the replica.
    pub(crate) async fn by_the_newest(remote: &impl Remote) -> Self {
        let newest = chain::newest_term(remote).await.unwrap_or_default();
        Self { by_term: newest.map(|term| term.0.into()), ended: None }
    }

    /// Another process has ended that term. It goes on with the history once it has opened one behind it.
    pub(crate) async fn behind(remote: &impl Remote, term: u64) -> Self {
        match chain::newest_open(remote).await {
            Ok(Some(newest)) if u64::from(newest.term.0) > term => Self::by(newest.term.0.into()),
            Ok(_) | Err(_) => Self::ended(term),
        }
    }

    /// The error of a process that has written a term until now.
    pub(crate) fn fenced(self, term: u64) -> Error {
        if self.ended.is_some() {
            let message = "another process has ended the term of this one to take the replica over, so this one writes \
                           nothing any more; if the other one was interrupted, start this one anew";
            return Error::conflict(format!("{message}: term={term}")).with_source(self);
        }
        let message = "another process has taken the replica over, so this process refuses writes; its last commits \
                       exist only in this file";
        self.cause(format!("{message}: term={term}"))
    }

    /// The error of a start whose store is not what the replica has, beyond that commit.
    pub(crate) fn apart(self, common: u64) -> Error {
        self.cause(format!(
            "the replica has commits that this store does not have: another machine has written since, or this file is an \
             older copy; restore the replica into a new file, and keep this one: common_sequence={common}"
        ))
    }

    /// The error of a start whose history a person has moved to another file, after that commit or later.
    pub(crate) fn moved(self, common: u64) -> Error {
        self.cause(format!(
            "the history was moved to another file, which a person has taken over or a standby has promoted; restore the \
             replica into a new file, and keep this one: common_sequence={common}"
        ))
    }

    fn cause(self, message: String) -> Error {
        Error::conflict(message).with_source(self).with_hint(Hint::TakeBack)
    }
}

impl fmt::Display for Overtaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by_term {
            Some(term) => write!(f, "the history goes on with another term: by_term={term}"),
            None => f.write_str("the history goes on with another term"),
        }
    }
}

impl StdError for Overtaken {}
