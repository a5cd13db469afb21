//! Makes restore points.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::commit::Outcome;
use crate::engine::point::{Origin, PointId};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::limits;
use crate::recovery::backups::{Kind, NewBackup, NewSealed};
use crate::recovery::events::event::EventKind;
use crate::recovery::points::names::names;
use crate::recovery::points::point::Point;
use crate::state::documents::Prepared;

/// A request for a restore point. Create it with [`PointRequest::new`], and pass it to [`Store::make_point`].
#[derive(Clone, Debug)]
pub struct PointRequest {
    pub(crate) description: String,
    pub(crate) manual: bool,
    /// Each document ready to be stored, or its error.
    pub(crate) documents: Option<Vec<(Kind, Result<Prepared, String>)>>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) held: bool,
}

impl PointRequest {
    /// A manual point with a description.
    pub fn new(description: impl Into<String>) -> Self {
        let description = description.into();
        Self { description, manual: true, documents: None, tags: BTreeMap::new(), held: false }
    }

    /// Marks the point as made by a scheduler.
    #[must_use]
    pub fn automatic(mut self) -> Self {
        self.manual = false;
        self
    }

    /// Stores this document in the point, instead of the live state. The last document of each kind counts. An empty
    /// object is ignored, so a point of nothing else has no backup.
    #[must_use]
    pub fn document(self, kind: Kind, data: Value) -> Self {
        self.prepared(kind, Prepared::of_value(&data).map_err(|error| error.to_string()))
    }

    /// The same for a prepared document, or its error.
    #[must_use]
    pub(crate) fn prepared(mut self, kind: Kind, data: Result<Prepared, String>) -> Self {
        let documents = self.documents.get_or_insert_default();
        documents.retain(|(other, _)| *other != kind);
        if data.as_ref().map_or(true, |data| data.text() != b"{}") {
            documents.push((kind, data));
        }
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Whether it contains documents.
    pub(crate) fn has_documents(&self) -> bool {
        self.documents.is_some()
    }

    /// Holds the point from the start, so that retention never forgets it.
    #[must_use]
    pub fn held(mut self, held: bool) -> Self {
        self.held = held;
        self
    }
}

impl Store {
    /// Creates a restore point of everything. It costs one commit, whatever the size of the state.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let point = store.restore_point("before the upgrade")?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// assert_eq!(store.at(&point)?.config().get("limit")?, None);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn restore_point(&self, description: impl Into<String>) -> Result<Point> {
        self.make_point(PointRequest::new(description))
    }

    /// Creates a restore point as requested.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn make_point(&self, request: PointRequest) -> Result<Point> {
        self.alone(|tx| {
            let point = tx.make_point(request)?;
            tx.note("point_create", Some(&point.to_string()))?;
            Ok(Outcome::Commit(point))
        })
    }
}

impl WriteTx<'_> {
    /// Seals the open epoch as requested, and stores the backups of the point.
    pub(crate) fn make_point(&mut self, request: PointRequest) -> Result<Point> {
        limits::text("a description", &request.description, limits::DESCRIPTION_BYTES)?;
        limits::tags(&request.tags)?;
        let (origin, backups) = match request.documents {
            None => (Origin::Live, Kind::PARTS.map(|kind| NewBackup::of_part(kind, None)).into()),
            Some(documents) => {
                let parts = documents
                    .into_iter()
                    .map(|(kind, data)| Ok(NewBackup::of_part(kind, Some(data.map_err(Error::invalid)?))));
                (Origin::Documents, parts.collect::<Result<_>>()?)
            }
        };
        let sealed =
            NewSealed { backups, manual: request.manual, description: request.description, tags: request.tags };
        let (epoch, mut manifest) = self.seal_backups_as(PointId::new(), origin, None, sealed)?;
        if request.held {
            manifest.held = true;
            self.put_manifest(epoch, &manifest)?;
        }
        let details = json!({
            "restore_id": manifest.id, "backup_ids": manifest.backups, "description": manifest.description,
            "manual": manifest.manual,
        });
        self.events().append(EventKind::RestorePointCreated, details)?;
        Ok(Point::new(epoch, manifest, &names(self)?))
    }
}
