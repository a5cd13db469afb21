//! What part of the state a restore touches, worked out from what was asked for.

use crate::engine::point::Scope;
use crate::engine::schema::CollectionId;
use crate::engine::value;
use crate::error::{Error, Result};
use crate::recovery::backups::Backup;
use crate::recovery::points::Names;
use crate::state::documents::DocumentId;

/// Queue and assignments say the same from two sides, so they are one unit of restore.
const ONE_UNIT: [CollectionId; 2] = [CollectionId::QUEUE, CollectionId::ASSIGNMENTS];

impl Scope {
    /// Whole collections by name; all of them when no name is given. `full` names all, `bot_assignments` is the old
    /// name of `assignments`.
    pub(crate) fn of_collections(only: &[String], names: &Names) -> Result<Self> {
        let mut collections = Vec::new();
        for name in only {
            match name.as_str() {
                "full" => return Ok(Self::default()),
                "bot_assignments" => collections.extend(ONE_UNIT),
                name => collections.push(names.id(name).ok_or_else(|| unknown(name, names))?),
            }
        }
        if collections.iter().any(|id| ONE_UNIT.contains(id)) {
            collections.extend(ONE_UNIT);
        }
        collections.sort_unstable();
        collections.dedup();
        Ok(Self { collections, ..Self::default() })
    }

    /// Single records, by collection and key.
    pub(crate) fn of_rows(rows: Vec<Vec<u8>>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// The documents of some backups, and nothing of the live state.
    pub(crate) fn of_documents(backups: &[&Backup]) -> Result<Self> {
        let prefix = |backup: &&Backup| {
            let id = DocumentId::new(backup.backup_type.as_str(), &backup.source)?;
            Ok(CollectionId::DOCUMENTS.row_key(&id.to_key()))
        };
        Ok(Self { prefixes: backups.iter().map(prefix).collect::<Result<_>>()?, ..Self::default() })
    }

    /// Whether it is made of whole collections, so that digests can be compared.
    pub(crate) fn is_whole(&self) -> bool {
        self.rows.is_empty() && self.prefixes.is_empty()
    }

    /// Whether a whole collection is in it.
    pub(crate) fn has_all_of(&self, collection: CollectionId) -> bool {
        self.is_whole() && (self.collections.is_empty() || self.collections.contains(&collection))
    }

    /// Whether a row is in it. A piece of a long value goes with its record.
    pub(crate) fn contains(&self, row: &[u8]) -> bool {
        let Some((collection, key)) = CollectionId::split_row_key(row) else { return false };
        if collection == CollectionId::CHUNKS && !self.is_everything() {
            return match (value::owner_of_piece(key), value::owner_key_of_piece(key)) {
                (Some(owner), Some(key)) => self.contains(&owner.row_key(key)),
                _ => false,
            };
        }
        if self.is_whole() {
            return self.has_all_of(collection);
        }
        self.rows.iter().any(|own| own == row) || self.prefixes.iter().any(|prefix| row.starts_with(prefix))
    }

    /// Whether it is the whole state.
    pub(crate) fn is_everything(&self) -> bool {
        self.is_whole() && self.collections.is_empty()
    }
}

fn unknown(name: &str, names: &Names) -> Error {
    let known: Vec<_> = names.all().filter(|name| !name.starts_with('#')).collect();
    Error::invalid(format!("there is no such collection; there are {}: collection={name}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_long_value_goes_with_its_record() {
        let scope = Scope::of_rows(vec![CollectionId::CONFIG.row_key(b"k")]);
        let piece =
            [&CollectionId::CONFIG.0.to_be_bytes()[..], &1u16.to_be_bytes(), b"k", &0u32.to_be_bytes()].concat();
        assert!(scope.contains(&CollectionId::CHUNKS.row_key(&piece)));
        let other =
            [&CollectionId::CONFIG.0.to_be_bytes()[..], &1u16.to_be_bytes(), b"x", &0u32.to_be_bytes()].concat();
        assert!(!scope.contains(&CollectionId::CHUNKS.row_key(&other)));
        assert!(!scope.contains(&CollectionId::CHUNKS.row_key(b"short")));
    }

    #[test]
    fn a_key_is_not_the_beginning_of_another() {
        let scope = Scope::of_rows(vec![CollectionId::REGISTRY.row_key(b"BOT-1")]);
        assert!(scope.contains(&CollectionId::REGISTRY.row_key(b"BOT-1")));
        assert!(!scope.contains(&CollectionId::REGISTRY.row_key(b"BOT-10")));
    }
}
