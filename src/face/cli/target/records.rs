//! Changes to single records.

use serde_json::Value;

use crate::face::cli::target::either::Target;
use crate::face::remote::Ask;
use crate::{ErrorKind, Result};

/// The path of a record. A bot has one of its own, on which it may register itself.
fn path<'n>(collection: &'n str, key: &'n str) -> Vec<&'n str> {
    match collection {
        "registry" => vec!["api", "registry", key],
        _ => vec!["api", "collections", collection, key],
    }
}

impl Target {
    /// Puts a record.
    pub(in crate::face::cli) fn put_record(&self, collection: &str, key: &str, value: Value) -> Result<()> {
        match self {
            Self::Here(store) => store.write(|tx| tx.put_record(collection, key, &value)),
            Self::There(client) => client.ask(&Ask::put(&path(collection, key), value)).map(drop),
        }
    }

    /// Removes a record. Returns whether there was one.
    pub(in crate::face::cli) fn remove_record(&self, collection: &str, key: &str) -> Result<bool> {
        match self {
            Self::Here(store) => store.write(|tx| tx.remove_record(collection, key)),
            Self::There(client) => match client.ask(&Ask::delete(&path(collection, key))) {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            },
        }
    }
}
