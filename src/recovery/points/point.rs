//! A restore point: its fields, its names, and how it prints.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde::{Deserialize, Deserializer};

use crate::clock::show_time;
use crate::engine::digest::Stats;
use crate::engine::epoch::Epoch;
use crate::engine::point::{Commit, Manifest, Origin, PointId, Restored};
use crate::error::{Error, Result};
use crate::recovery::points::names::Names;
use crate::recovery::points::resolve::{Named, PointName, Resolved};
use crate::recovery::points::selector::Selector;
use crate::state::show::key_name;

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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PointLoss {
    /// The statistics of the collection before the damage.
    pub was: Stats,
    /// Keys of records that are known to be lost or to have an older value. There may be others.
    pub keys: Vec<String>,
}

impl Point {
    pub(crate) fn new(epoch: Epoch, manifest: Manifest, names: &Names) -> Self {
        let collections = manifest.collections.iter().map(|(id, stats)| (names.of(*id), *stats)).collect();
        let lost = manifest.lost.iter().map(|lost| {
            let keys = lost.keys.iter().map(|key| key_name(lost.collection, key)).collect();
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

    pub(super) fn of_commit(epoch: Epoch, commit: Commit) -> Self {
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
    pub(super) fn name(&self) -> PointName {
        let named = match self.origin {
            Some(origin) if origin.is_selectable() && self.partial => Named::Partial,
            Some(origin) if origin.is_selectable() => Named::Always,
            Some(_) => Named::ById,
            None => Named::ByTime,
        };
        let id = if self.is_of_commit() { String::new() } else { self.id.0.clone() };
        PointName { epoch: self.epoch, id, at: self.timestamp, named }
    }

    pub(super) fn resolved(&self) -> Resolved {
        let PointName { epoch, id, at, .. } = self.name();
        Resolved::Point { epoch, id, at, off: jiff::SignedDuration::ZERO }
    }

    /// Whether lists show it unless all points are asked for, and `latest` can name it: a manual or automatic point of
    /// live state. The others are found by their id, or by a time.
    pub(crate) fn is_listed(&self) -> bool {
        self.origin.is_some_and(Origin::is_selectable)
    }

    /// Whether the numbers of the replaced service count it as a restore point: a manual or automatic point of live
    /// state or of documents. A single backup, a safety point and the point of a single commit do not count.
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

/// The members of a point in JSON.
#[derive(Deserialize)]
struct PointMembers {
    id: Option<PointId>,
    epoch: Epoch,
    timestamp: Timestamp,
    sealed_at: Timestamp,
    origin: Option<Origin>,
    manual: bool,
    description: String,
    tags: BTreeMap<String, String>,
    held: bool,
    backups: Vec<String>,
    collections: BTreeMap<String, Stats>,
    partial: bool,
    #[serde(default)]
    lost: BTreeMap<String, PointLoss>,
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let told = PointMembers::deserialize(from)?;
        Ok(Self {
            id: told.id.unwrap_or_else(|| PointId(show_time(told.timestamp))),
            epoch: told.epoch,
            timestamp: told.timestamp,
            sealed_at: told.sealed_at,
            origin: told.origin,
            manual: told.manual,
            description: told.description,
            tags: told.tags,
            held: told.held,
            backups: told.backups,
            collections: told.collections,
            partial: told.partial,
            lost: told.lost,
            undoes: None,
        })
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

pub(crate) fn epoch_of(key: &[u8]) -> Result<Epoch> {
    let epoch = Epoch::split_key(key).map(|(epoch, _)| epoch);
    epoch.ok_or_else(|| Error::damaged("a row of a point has a short key: table=points"))
}
