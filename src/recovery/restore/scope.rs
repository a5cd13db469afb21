//! The point that a restore is asked for, and the part of the state that it touches.

use crate::engine::point::{Origin, Scope};
use crate::engine::schema::CollectionId;
use crate::engine::value;
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::recovery::backups::{Backup, BackupOf, Kind, backup_row, find_backup};
use crate::recovery::points::names::Names;
use crate::recovery::points::point::Point;
use crate::recovery::points::resolve::Resolved;
use crate::recovery::points::selector::Selector;
use crate::state::documents::DocumentId;

/// Queue and assignments show the same from two sides, so they are restored together.
const ONE_UNIT: [CollectionId; 2] = [CollectionId::QUEUE, CollectionId::ASSIGNMENTS];

/// The target of a restore.
pub(crate) struct Target {
    pub(crate) point: Point,
    /// The documents to restore, if the target consists of documents.
    pub(crate) documents: Option<Vec<Backup>>,
    /// The collections of a backup of live state, unless the options name others.
    pub(crate) only: Vec<String>,
    /// The id of the requested backup, if a backup was requested.
    pub(crate) backup: Option<String>,
}

/// The refusal of a key without the one collection to which it belongs.
pub(crate) fn key_alone() -> Error {
    Error::invalid("a key needs its collection; name exactly one collection").with_hint(Hint::NameCollection)
}

/// Finds the point that a selector names, or the point and the part of it that a backup stands for.
pub(crate) fn target(view: &View, selector: &Selector) -> Result<Target> {
    let resolved = view.resolve_point(selector);
    if let (Selector::Id(id), Err(error)) = (selector, &resolved)
        && error.kind() == ErrorKind::NotFound
        && let Some(backup) = find_backup(view, id)?
    {
        let point = view.point(backup.epoch)?;
        let id = Some(backup.backup_id.clone());
        return Ok(match backup.of {
            BackupOf::Documents => Target { point, documents: Some(vec![backup]), only: Vec::new(), backup: id },
            BackupOf::Live => Target { point, documents: None, only: vec![backup.backup_type.to_string()], backup: id },
        });
    }
    let Resolved::Point { epoch, .. } = resolved? else {
        return Err(Error::invalid("now is not a restore point; name a point to restore"));
    };
    let point = view.point(epoch)?;
    let documents = match point.origin {
        Some(Origin::Documents | Origin::Adopted) => Some(documents_of(view, &point)?),
        _ => None,
    };
    // A named backup of live state is of one kind, although its point, with the same name, contains everything.
    let named = matches!(selector, Selector::Id(_)) && point.is_backup() && documents.is_none();
    let only = if named { point.backups.iter() } else { [].iter() };
    let only = only.filter_map(|id| backup_row(view, id).transpose());
    let only = only.map(|backup| backup.map(|backup| backup.backup_type.to_string())).collect::<Result<_>>()?;
    let backup = point.is_backup().then(|| point.to_string());
    Ok(Target { point, documents, only, backup })
}

fn documents_of(view: &View, point: &Point) -> Result<Vec<Backup>> {
    let backups = point.backups.iter().filter_map(|id| backup_row(view, id).transpose());
    let backups = backups.collect::<Result<Vec<_>>>()?;
    Ok(backups.into_iter().filter(|backup| backup.of == BackupOf::Documents).collect())
}

impl Scope {
    /// Whole collections by name; all of them if no name is given. `full` names all, and `bot_assignments` is the old
    /// name of `assignments`.
    pub(crate) fn of_collections(only: &[String], names: &Names) -> Result<Self> {
        let mut collections = Vec::new();
        for name in only {
            match name.as_str() {
                // The pieces of long values are restored with their records.
                "#chunks" => return Err(unknown(name, names)),
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

    /// Single records, by row key.
    pub(crate) fn of_rows(rows: Vec<Vec<u8>>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// The documents of some backups, of all kinds or of the named ones, and nothing of the live state.
    ///
    /// # Errors
    ///
    /// `Invalid` for an unknown kind; `NotFound` when there is no such document.
    pub(crate) fn of_documents(backups: &[Backup], only: &[String]) -> Result<Self> {
        let kinds = only.iter().map(|name| kind_of(name)).collect::<Result<Vec<_>>>()?;
        let wanted = backups.iter().filter(|backup| kinds.is_empty() || kinds.contains(&backup.backup_type));
        let prefixes = wanted.map(|backup| {
            let id = DocumentId::new(backup.backup_type.as_str(), &backup.source)?;
            Ok(CollectionId::DOCUMENTS.row_key(&id.to_key()))
        });
        let prefixes = prefixes.collect::<Result<Vec<_>>>()?;
        if prefixes.is_empty() {
            // Without a prefix the scope would be everything.
            return Err(Error::not_found(format!("the point contains no such document: only={}", only.join(","))));
        }
        Ok(Self { prefixes, ..Self::default() })
    }

    /// Whether it consists of whole collections, so that digests can be compared.
    pub(crate) fn is_whole(&self) -> bool {
        self.rows.is_empty() && self.prefixes.is_empty()
    }

    /// Whether a whole collection is in it.
    pub(crate) fn has_all_of(&self, collection: CollectionId) -> bool {
        self.is_whole() && (self.collections.is_empty() || self.collections.contains(&collection))
    }

    /// Whether it contains a row. A piece of a long value belongs to its record.
    pub(crate) fn contains(&self, row: &[u8]) -> bool {
        let Some((collection, key)) = CollectionId::split_row_key(row) else { return false };
        if collection == CollectionId::CHUNKS && !self.is_everything() {
            return owner_of_piece(key).is_some_and(|owner| self.contains(&owner));
        }
        if self.is_whole() {
            return self.has_all_of(collection);
        }
        Self::rows_contain(&self.rows, row) || self.prefixes.iter().any(|prefix| row.starts_with(prefix))
    }

    /// Whether `rows` contain a row, or the record of a piece.
    pub(crate) fn rows_contain(rows: &[Vec<u8>], row: &[u8]) -> bool {
        match CollectionId::split_row_key(row) {
            Some((CollectionId::CHUNKS, key)) => owner_of_piece(key).is_some_and(|owner| rows.contains(&owner)),
            _ => rows.iter().any(|own| own == row),
        }
    }

    /// Whether it is the whole state.
    pub(crate) fn is_everything(&self) -> bool {
        self.is_whole() && self.collections.is_empty()
    }
}

/// The row of the record to which a piece of a long value belongs.
fn owner_of_piece(key: &[u8]) -> Option<Vec<u8>> {
    Some(value::owner_of_piece(key)?.row_key(value::owner_key_of_piece(key)?))
}

impl Names {
    /// The error message for an unknown collection.
    pub(crate) fn without(&self, name: &str) -> String {
        let known: Vec<_> = self.all().filter(|name| !name.starts_with('#')).collect();
        let (known, name) = (known.join(", "), name.escape_debug());
        format!("no such collection; the collections are {known}: collection={name}")
    }

    /// The collection in which a record is named.
    pub(crate) fn of_record(&self, name: &str) -> Result<CollectionId> {
        match name {
            "full" => Err(key_alone()),
            "bot_assignments" => Ok(CollectionId::ASSIGNMENTS),
            name => self.id(name).ok_or_else(|| unknown(name, self)),
        }
    }
}

/// The kind of documents with this name.
fn kind_of(name: &str) -> Result<Kind> {
    if name == "assignments" { Ok(Kind::BotAssignments) } else { name.parse() }
}

fn unknown(name: &str, names: &Names) -> Error {
    Error::invalid(names.without(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_long_value_belongs_to_its_record() {
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
    fn a_key_is_not_a_prefix_of_another() {
        let scope = Scope::of_rows(vec![CollectionId::REGISTRY.row_key(b"BOT-1")]);
        assert!(scope.contains(&CollectionId::REGISTRY.row_key(b"BOT-1")));
        assert!(!scope.contains(&CollectionId::REGISTRY.row_key(b"BOT-10")));
    }
}
