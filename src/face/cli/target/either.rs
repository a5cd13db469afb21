//! The store of a verb, of either kind.

use jiff::Timestamp;

use crate::face::remote::{Ask, Client, Told};
use crate::{Error, Result, Store};

/// An open store, or the client of a service.
#[expect(clippy::large_enum_variant, reason = "a run of the program has one")]
pub(in crate::face::cli) enum Target {
    Here(Store),
    There(Client),
}

/// Items that are read as they are shown.
pub(in crate::face::cli) type Items<'t, T> = Box<dyn Iterator<Item = Result<T>> + 't>;

impl Target {
    /// The time by the clock of the store.
    pub(in crate::face::cli) fn now(&self) -> Timestamp {
        match self {
            Self::Here(store) => store.clock().now(),
            Self::There(client) => client.now(),
        }
    }

    /// Closes the store.
    pub(in crate::face::cli) fn close(self) -> Result<()> {
        match self {
            Self::Here(store) => store.close(),
            Self::There(_) => Ok(()),
        }
    }
}

/// The answer to a request, read as a type of the library.
pub(super) fn told<T: Told>(client: &Client, ask: &Ask) -> Result<T> {
    client.told(client.ask(ask)?)
}

/// The items of a list of a service.
pub(super) fn listed<'t, T: Told + 't>(client: &'t Client, ask: Ask, name: &'static str) -> Items<'t, T> {
    Box::new(client.list(ask, name).map(|item| client.told(item?)))
}

/// An option that a service sets for all, and that no request can.
pub(super) fn refuse(is_given: bool, option: &str, way_out: &str) -> Result<()> {
    match is_given {
        true => Err(Error::invalid(format!("{option} works with a file only; {way_out}"))),
        false => Ok(()),
    }
}
