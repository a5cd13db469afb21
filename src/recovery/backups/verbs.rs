//! Makes, lists, finds and reads backups.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::backup::{Backup, Kind, backup_details, backup_row, find_backup, no_backup};
use super::content::{content, damaged};
use super::seal::{NewBackup, NewSealed};
use crate::engine::codec;
use crate::engine::commit::Outcome;
use crate::engine::point::{Origin, PointId};
#[cfg(feature = "http")]
use crate::engine::records::foreign_cursor;
use crate::engine::records::{KeyRange, scan_rows};
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::recovery::events::event::EventKind;
use crate::recovery::points::point::Point;
use crate::recovery::points::selector::Selector;
use crate::state::documents::Prepared;
use crate::state::ids::check_new;
#[cfg(feature = "http")]
use crate::state::page::KeyedPage;

/// A request for a backup. Create it with [`BackupRequest::new`], and pass it to [`Store::backup`].
#[derive(Clone, Debug)]
pub struct BackupRequest {
    kind: Kind,
    source: Option<String>,
    tags: BTreeMap<String, String>,
    data: Option<Result<Prepared, String>>,
}

impl BackupRequest {
    /// Requests a backup of the live state of that kind.
    pub fn new(kind: Kind) -> Self {
        Self { kind, source: None, tags: BTreeMap::new(), data: None }
    }

    /// Sets the source. The default is `backup-` and the kind.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Backs up this document, owned or borrowed, instead of the live state.
    #[must_use]
    pub fn data(mut self, data: impl Borrow<Value>) -> Self {
        self.data = Some(Prepared::of_value(data.borrow()).map_err(|error| error.to_string()));
        self
    }

    /// Backs up the document in this JSON text. This is faster than parsing it first.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BackupRequest, Kind};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let backup = store.backup(BackupRequest::new(Kind::Queue).json(br#"{"tasks": [{"id": 1}]}"#))?;
    /// assert_eq!(backup.item_count, 1);
    /// assert!(store.backup(BackupRequest::new(Kind::Queue).json(b"[1, NaN]")).is_err());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    #[must_use]
    pub fn json(mut self, text: &[u8]) -> Self {
        self.data = Some(Prepared::of_text(text).map_err(|error| error.to_string()));
        self
    }

    /// Backs up a prepared document.
    #[cfg(feature = "http")]
    #[must_use]
    pub(crate) fn document(mut self, document: Prepared) -> Self {
        self.data = Some(Ok(document));
        self
    }
}

impl Store {
    /// Makes a backup, of the live state or of a document. Both are sealed points.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]; `Invalid` for a document that is not JSON or nests too deeply, and for a text over its
    /// [limit](crate#limits).
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BackupRequest, Kind};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let registry = hivekeep::json::parse(br#"{"BOT-1": {"port": 8001}}"#)?;
    /// let backup = store.backup(BackupRequest::new(Kind::Registry).source("nightly").data(registry.clone()))?;
    /// assert_eq!(backup.item_count, 1);
    /// assert_eq!(store.backup_data(&backup)?, registry);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn backup(&self, request: BackupRequest) -> Result<Backup> {
        limits::optional("the source of a backup", request.source.as_ref(), limits::SOURCE_BYTES)?;
        limits::tags(&request.tags)?;
        if let (Some(_), Some(source)) = (&request.data, &request.source) {
            let known = || self.view()?.documents().is_there(request.kind.as_str(), source);
            check_new("the source of a document", source, known)?;
        }
        let data = request.data.transpose().map_err(Error::invalid)?;
        self.alone(|tx| {
            // The point has the id of the backup. This distinguishes it from a restore point.
            let id = PointId::new().0;
            let origin = if data.is_some() { Origin::Documents } else { Origin::Live };
            let source = request.source.unwrap_or_else(|| format!("backup-{}", request.kind));
            let tags = request.tags.clone();
            let backup = NewBackup { id: id.clone(), tags, data, ..NewBackup::of_live(request.kind, source) };
            let description = format!("backup of {}", request.kind);
            let sealed = NewSealed { backups: vec![backup], manual: true, description, tags: request.tags };
            tx.seal_backups_as(PointId(id.clone()), origin, None, sealed)?;
            let backup = backup_row(tx, &id)?.ok_or_else(|| no_backup(&id))?;
            tx.events().append(EventKind::BackupCreated, backup_details(&backup))?;
            tx.note("backup_create", Some(&id))?;
            Ok(Outcome::Commit(backup))
        })
    }

    /// The backups, newest first, of one kind or of all.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn backups(&self, kind: Option<Kind>) -> Result<Vec<Backup>> {
        let view = self.view()?;
        let rows = scan_rows(&view, Table::Backups, KeyRange::all());
        let mut backups = rows.map(|row| codec::decode::<Backup>(&row?.1)).collect::<Result<Vec<_>>>()?;
        backups.retain(|backup| kind.is_none_or(|kind| backup.backup_type == kind));
        backups.sort_by(|a, b| (b.timestamp, b.epoch, &b.backup_id).cmp(&(a.timestamp, a.epoch, &a.backup_id)));
        Ok(backups)
    }

    /// At most `limit` of them (at least one). A page goes on behind the last backup of the page before,
    /// whatever was made or forgotten since.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that does not come from a page of this list, and as [`Store::backups`].
    #[cfg(feature = "http")]
    pub(crate) fn backups_page(
        &self,
        kind: Option<Kind>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<KeyedPage<Backup>> {
        let behind = cursor.map(place_of).transpose()?;
        let mut rest = self.backups(kind)?.into_iter().filter(|backup| {
            behind.as_ref().is_none_or(|(time, epoch, id)| {
                (backup.timestamp.as_microsecond(), backup.epoch.0, &backup.backup_id) < (*time, *epoch, id)
            })
        });
        let items: Vec<_> = rest.by_ref().take(limit.max(1)).collect();
        let last = items.last().filter(|_| rest.next().is_some());
        let next = last.map(|last| format!("{}.{}.{}", last.timestamp.as_microsecond(), last.epoch.0, last.backup_id));
        Ok(KeyedPage { items, next })
    }

    /// The backup with that id, or the only one whose id begins with it.
    ///
    /// # Errors
    ///
    /// `NotFound`, or `Ambiguous` when several ids begin with it.
    pub fn find_backup(&self, id: &str) -> Result<Backup> {
        let view = self.view()?;
        find_backup(&view, id)?.ok_or_else(|| no_backup(id))
    }

    /// The restore point with exactly that id, and its backups. The point of a single backup does not count.
    ///
    /// # Errors
    ///
    /// `NotFound`, also when ids only begin with it; `Damaged`, `Reopen`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// let made = store.restore_point("before the night")?;
    /// let (point, backups) = store.point_with_backups(&made.id.0)?;
    /// assert_eq!((point.description.as_str(), backups.len()), ("before the night", 3));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn point_with_backups(&self, id: &str) -> Result<(Point, Vec<Backup>)> {
        let found = match self.find_point(Selector::Id(id.to_owned())) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Ambiguous | ErrorKind::Gone) => None,
            found => found?,
        };
        let is_it = |point: &Point| point.given_id().is_some_and(|own| own.0 == id) && !point.is_backup();
        let missing = || Error::not_found(format!("Restore point {id} not found"));
        let point = found.filter(is_it).ok_or_else(missing)?;
        let view = self.view()?;
        let backups = point.backups.iter().filter_map(|id| backup_row(&view, id).transpose());
        let backups = backups.collect::<Result<_>>()?;
        Ok((point, backups))
    }

    /// The content of a backup: the document as it was provided, or live state as `get KIND --json` shows it. It has
    /// been verified against the backup's checksum.
    ///
    /// # Errors
    ///
    /// `Gone` when its point was forgotten, `Damaged` when the content does not match the checksum.
    pub fn backup_data(&self, backup: &Backup) -> Result<Value> {
        content(&self.view_at(backup.epoch)?, backup)?.ok_or_else(|| damaged(backup))
    }
}

/// The time, the epoch and the id in the cursor of a page of backups.
#[cfg(feature = "http")]
fn place_of(cursor: &str) -> Result<(i64, u64, String)> {
    let place = || {
        let (time, rest) = cursor.split_once('.')?;
        let (epoch, id) = rest.split_once('.')?;
        Some((time.parse().ok()?, epoch.parse().ok()?, id.to_owned()))
    };
    place().ok_or_else(|| foreign_cursor(cursor))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json;
    use crate::recovery::backups::sha256;

    #[test]
    fn altered_content_is_damage_and_never_returned() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        let data = json!({"BOT-1": {"port": 1}});
        let backup = store.backup(BackupRequest::new(Kind::Registry).data(data.clone())).unwrap();
        assert_eq!(store.backup_data(&backup).unwrap(), data);
        let other = Backup { checksum: sha256(b"other"), ..backup };
        assert_eq!(store.backup_data(&other).unwrap_err().kind(), ErrorKind::Damaged);
        let live = store.backup(BackupRequest::new(Kind::Full)).unwrap();
        assert!(store.backup_data(&live).unwrap()["registry"].is_object());
        let other = Backup { checksum: sha256(b"other"), ..live };
        assert_eq!(store.backup_data(&other).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn the_checksum_and_size_of_a_document_are_those_of_its_python_text() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        let data = json::parse(br#"{"BOT-1": {"port": 8001}}"#).unwrap();
        let backup = store.backup(BackupRequest::new(Kind::Registry).data(data)).unwrap();
        let text = "{\n  \"BOT-1\": {\n    \"port\": 8001\n  }\n}";
        assert_eq!(
            (backup.size_bytes, backup.checksum.as_str()),
            (text.len() as u64, sha256(text.as_bytes()).as_str())
        );
        assert_eq!((backup.item_count, backup.source.as_str()), (1, "backup-registry"));
    }
}
