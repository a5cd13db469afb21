//! Restore points: create, list, find and view them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Value, json};

use crate::clock::show_time;
use crate::engine::codec;
use crate::engine::commit::Outcome;
use crate::engine::digest::Stats;
use crate::engine::epoch::Epoch;
use crate::engine::meta;
use crate::engine::point::{Commit, Manifest, Origin, PointId, Restored};
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::recovery::backups::{Kind, NewBackup, NewSealed};
use crate::recovery::events::event::EventKind;
use crate::recovery::points::resolve::{Named, PointName, Resolved, resolve};
use crate::recovery::points::selector::Selector;
use crate::state::documents::Prepared;

/// A retained restore point. It prints as its id, which names it again as a [`Selector`].
///
/// # Examples
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
/// let point = store.restore_point("before the upgrade")?;
/// println!("hivekeep restore {point}");
/// assert_eq!(point.to_string(), point.id.to_string());
/// assert_eq!(store.find_point(&point.id)?.as_ref(), Some(&point));
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name. The point of a single commit is named by its time and has no id in JSON.
    pub id: PointId,
    /// The number of the epoch that it sealed.
    pub epoch: Epoch,
    /// When it was made. For an adopted point: when the other program made it.
    pub timestamp: Timestamp,
    /// When it was sealed in this store. Retention counts from this time.
    pub sealed_at: Timestamp,
    /// Its purpose; none for the point of a single commit.
    pub origin: Option<Origin>,
    /// Whether it was requested, and not made by a scheduler or a restore.
    pub manual: bool,
    /// A description by its creator.
    pub description: String,
    /// Tags by name.
    pub tags: BTreeMap<String, String>,
    /// Whether it is held. Retention never forgets a held point.
    pub held: bool,
    /// The ids of its backups.
    pub backups: Vec<String>,
    /// The statistics of each collection at the point, by name.
    pub collections: BTreeMap<String, Stats>,
    /// Whether a repair lost part of it. For the point of a single commit: whether this is possible.
    pub partial: bool,
    /// The losses of each collection, by name.
    pub lost: BTreeMap<String, PointLoss>,
    /// For a safety point: the restore that it can undo. JSON does not contain it.
    pub undoes: Option<Restored>,
}

/// The loss of a collection at a point.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PointLoss {
    /// The statistics of the collection before the damage.
    pub was: Stats,
    /// Keys of records that are known to be lost or to have an older value. There may be others.
    pub keys: Vec<String>,
}

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
        self.alone(|tx| tx.make_point(request).map(Outcome::Commit))
    }

    /// The manual and automatic points of live state, newest first.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn points(&self) -> Result<Vec<Point>> {
        let mut points = self.view()?.named_points()?;
        points.retain(|point| point.origin.is_some_and(Origin::is_selectable));
        Ok(points)
    }

    /// Every retained point, newest first: those of [`Store::points`], safety points, and points of documents and of
    /// single commits.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn all_points(&self) -> Result<Vec<Point>> {
        self.view()?.all_points()
    }

    /// The point that a selector names, or none for [`Selector::Now`].
    ///
    /// # Errors
    ///
    /// `NotFound` when the selector names no point, `Ambiguous` when several ids begin with it.
    pub fn find_point(&self, selector: impl Into<Selector>) -> Result<Option<Point>> {
        let view = self.view()?;
        match view.resolve(&selector.into())? {
            Resolved::Now => Ok(None),
            Resolved::Point { epoch, .. } => view.point(epoch).map(Some),
        }
    }

    /// A view of the state at a restore point.
    ///
    /// # Errors
    ///
    /// `NotFound` and `Ambiguous` when the selector does not name one point, `Gone` when it was forgotten in the
    /// meantime.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.restore_point("first")?;
    /// let view = store.at("latest".parse::<hivekeep::Selector>()?)?;
    /// assert_eq!(view.registry().list().count(), 0);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn at(&self, selector: impl Into<Selector>) -> Result<View> {
        let selector = selector.into();
        if let Selector::Now = selector {
            return self.view();
        }
        self.view_at(self.view()?.resolve(&selector)?.epoch())
    }

    /// A point that has a manifest.
    pub(crate) fn named_point(&self, selector: &Selector) -> Result<Point> {
        match self.find_point(selector.clone())? {
            Some(point) if !point.is_of_commit() => Ok(point),
            Some(_) => Err(Error::invalid(format!("the point of a single commit cannot be held: point={selector}"))),
            None => Err(Error::invalid("now is not a restore point; make one with hivekeep point create")),
        }
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

    /// The manifest of a retained point.
    pub(crate) fn manifest(&self, epoch: Epoch) -> Result<Manifest> {
        let row = self.row(Table::Points, &epoch.to_key())?;
        codec::decode(&row.ok_or_else(|| gone(epoch))?)
    }
}

impl View {
    /// Every retained point, newest first.
    pub(crate) fn all_points(&self) -> Result<Vec<Point>> {
        let mut points = self.named_points()?;
        for row in scan_rows(self, Table::Commits, KeyRange::all()) {
            let (key, bytes) = row?;
            points.push(Point::of_commit(epoch_of(&key)?, codec::decode(&bytes)?));
        }
        points.sort_unstable_by_key(|point| std::cmp::Reverse(point.epoch));
        Ok(points)
    }

    /// Every retained point, newest first, without those of single commits; there may be 100,000 of these.
    pub(crate) fn named_points(&self) -> Result<Vec<Point>> {
        let names = names(self)?;
        let rows = scan_rows(self, Table::Points, KeyRange::all().backward());
        rows.map(|row| {
            let (key, bytes) = row?;
            Ok(Point::new(epoch_of(&key)?, codec::decode(&bytes)?, &names))
        })
        .collect()
    }

    /// A retained point.
    pub(crate) fn point(&self, epoch: Epoch) -> Result<Point> {
        if let Some(manifest) = self.manifest(epoch)? {
            return Ok(Point::new(epoch, manifest, &names(self)?));
        }
        let commit = self.row(Table::Commits, &epoch.to_key())?.ok_or_else(|| gone(epoch))?;
        Ok(Point::of_commit(epoch, codec::decode(&commit)?))
    }

    /// The point that `latest` names, if there is one.
    pub(crate) fn latest_point(&self) -> Result<Option<Point>> {
        match self.resolve(&Selector::Latest(0)) {
            Ok(latest) => self.point(latest.epoch()).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The point that a selector names.
    pub(crate) fn resolve(&self, selector: &Selector) -> Result<Resolved> {
        if let Selector::Id(id) = selector
            && let Some(epoch) = self.row(Table::PointIds, id.as_bytes())?
        {
            let point = self.point(epoch_of(&epoch)?)?;
            return Ok(point.resolved());
        }
        let points = match selector {
            Selector::Epoch(epoch) => return self.point(*epoch).map(|point| point.resolved()),
            Selector::At(_) | Selector::Ago(_) => self.all_points()?,
            Selector::Now | Selector::Latest(_) | Selector::Id(_) => self.named_points()?,
        };
        let points: Vec<_> = points.iter().map(Point::name).collect();
        resolve(selector, &points, self.now())
    }
}

impl Point {
    pub(crate) fn new(epoch: Epoch, manifest: Manifest, names: &Names) -> Self {
        let collections = manifest.collections.iter().map(|(id, stats)| (names.of(*id), *stats)).collect();
        let lost = manifest.lost.iter().map(|lost| {
            let keys = lost.keys.iter().map(|key| key.escape_ascii().to_string()).collect();
            (names.of(lost.collection), PointLoss { was: lost.was, keys })
        });
        Self {
            id: manifest.id,
            epoch,
            timestamp: manifest.at,
            sealed_at: manifest.sealed_at,
            origin: Some(manifest.origin),
            manual: manifest.manual,
            backups: manifest.backups,
            description: manifest.description,
            tags: manifest.tags,
            held: manifest.held,
            collections,
            partial: !manifest.lost.is_empty(),
            lost: lost.collect(),
            undoes: manifest.undoes,
        }
    }

    fn of_commit(epoch: Epoch, commit: Commit) -> Self {
        Self {
            id: PointId(show_time(commit.at)),
            epoch,
            timestamp: commit.at,
            sealed_at: commit.at,
            origin: None,
            manual: false,
            backups: Vec::new(),
            description: String::new(),
            tags: BTreeMap::new(),
            held: false,
            collections: BTreeMap::new(),
            partial: commit.partial,
            lost: BTreeMap::new(),
            undoes: None,
        }
    }

    /// The names of the point, for [`resolve`].
    fn name(&self) -> PointName {
        let named = match self.origin {
            Some(origin) if origin.is_selectable() && self.partial => Named::Partial,
            Some(origin) if origin.is_selectable() => Named::Always,
            Some(_) => Named::ById,
            None => Named::ByTime,
        };
        let id = if self.is_of_commit() { String::new() } else { self.id.0.clone() };
        PointName { epoch: self.epoch, id, at: self.timestamp, named }
    }

    fn resolved(&self) -> Resolved {
        let PointName { epoch, id, at, .. } = self.name();
        Resolved::Point { epoch, id, at, off: jiff::SignedDuration::ZERO }
    }

    /// Whether people count it as a restore point: a manual or automatic point of live state or of documents. A single
    /// backup, a safety point and the point of a single commit do not count.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.origin, Some(Origin::Live | Origin::Documents | Origin::Adopted)) && !self.is_backup()
    }

    /// Whether it was made as a backup of one kind, and shares the id of that backup.
    pub(crate) fn is_backup(&self) -> bool {
        matches!(self.backups.as_slice(), [backup] if self.id.0 == *backup)
    }

    /// Whether it is the point of a single commit, which has no manifest.
    pub(crate) fn is_of_commit(&self) -> bool {
        self.origin.is_none()
    }

    /// The id of a point that has a manifest.
    pub(crate) fn given_id(&self) -> Option<&PointId> {
        (!self.is_of_commit()).then_some(&self.id)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 12 + usize::from(!self.lost.is_empty());
        let mut shown = serializer.serialize_struct("Point", fields)?;
        shown.serialize_field("id", &self.given_id())?;
        shown.serialize_field("epoch", &self.epoch)?;
        shown.serialize_field("timestamp", &show_time(self.timestamp))?;
        shown.serialize_field("sealed_at", &show_time(self.sealed_at))?;
        shown.serialize_field("origin", &self.origin)?;
        shown.serialize_field("manual", &self.manual)?;
        shown.serialize_field("description", &self.description)?;
        shown.serialize_field("tags", &self.tags)?;
        shown.serialize_field("held", &self.held)?;
        shown.serialize_field("backups", &self.backups)?;
        shown.serialize_field("collections", &self.collections)?;
        shown.serialize_field("partial", &self.partial)?;
        if !self.lost.is_empty() {
            shown.serialize_field("lost", &self.lost)?;
        }
        shown.end()
    }
}

impl From<&Point> for Selector {
    fn from(point: &Point) -> Self {
        match point.given_id() {
            Some(id) => Self::Id(id.0.clone()),
            None => Self::Epoch(point.epoch),
        }
    }
}

impl From<&PointId> for Selector {
    /// An id, or the time that names the point of a single commit.
    fn from(id: &PointId) -> Self {
        match id.0.parse() {
            Ok(selector @ Self::At(_)) => selector,
            _ => Self::Id(id.0.clone()),
        }
    }
}

impl From<&Selector> for Selector {
    fn from(selector: &Selector) -> Self {
        selector.clone()
    }
}

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

pub(crate) fn epoch_of(key: &[u8]) -> Result<Epoch> {
    let epoch = Epoch::split_key(key).map(|(epoch, _)| epoch);
    epoch.ok_or_else(|| Error::damaged("a row of a point has a short key: table=points"))
}

pub(crate) fn gone(epoch: Epoch) -> Error {
    let message = format!("that point is no longer retained; see hivekeep point list: epoch={epoch}");
    Error::new(ErrorKind::Gone, message)
}
