//! The names of collections by their numbers.

use std::collections::BTreeMap;

use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::error::Result;

/// The names of all collections, by number.
pub(crate) struct Names(BTreeMap<CollectionId, String>);

impl Names {
    /// The name of a collection.
    pub(crate) fn of(&self, id: CollectionId) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| format!("#{}", id.0))
    }

    /// The number of a collection.
    pub(crate) fn id(&self, name: &str) -> Option<CollectionId> {
        self.0.iter().find(|(_, of)| *of == name).map(|(id, _)| *id)
    }

    /// The numbers of all collections.
    pub(crate) fn ids(&self) -> impl Iterator<Item = CollectionId> {
        self.0.keys().copied()
    }

    /// The names of all collections.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }
}

/// Reads the names of all collections, built-in ones and those of users.
pub(crate) fn names<R: Records + ?Sized>(records: &R) -> Result<Names> {
    let built_in = CollectionId::BUILT_IN.iter().map(|(name, id)| (*id, (*name).to_owned()));
    let users = meta::user_collections(records)?.into_iter().map(|(name, id)| (id, name));
    Ok(Names(built_in.chain(users).collect()))
}
