//! The history of a record: its values, the points that hold them, the times of changes, and, where a source exists,
//! who made them. The cost follows how often the record changed between points, whatever the size of the store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::epoch::Epoch;
use crate::engine::point::Origin;
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::error::{Error, Hint, Result};
use crate::recovery::diff::{ChangeKind, kind};
use crate::recovery::points::names::names;
use crate::recovery::points::point::Point;
use crate::state::page::Page;
use crate::state::queue::Task;
use crate::state::restored_together;
use crate::state::show::Show;

/// The most versions that are returned.
const VERSIONS_MAX: usize = 1000;
/// Once the versions have this many bytes together, no further one is returned.
const BYTES_MAX: usize = 64 << 20;
/// The most points of a version that are tried to find one to restore.
const POINTS_ASKED: usize = 64;
/// The most audit entries that are read to find who changed a record.
const AUDIT_READ: usize = 10_000;
/// The number of entries that one read fetches.
const ENTRIES_PER_READ: usize = 500;

/// A value that a record had for a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// How the record changed. It is none for the oldest version, when every point holds it, and for a version after
    /// one that was lost in a repair.
    pub change: Option<ChangeKind>,
    /// The value; null if the record was absent.
    pub value: Value,
    /// The newest point to restore it from; none if the record has changed since the newest point.
    pub point: Option<VersionPoint>,
    /// The number of points that hold it.
    pub points: u64,
    /// The time of the newest point that holds the earlier version. The change came later.
    #[serde(with = "crate::clock::time::option")]
    pub changed_after: Option<Timestamp>,
    /// The time of the oldest point that holds this version; none if the change is newer than the newest point.
    #[serde(with = "crate::clock::time::option")]
    pub changed_before: Option<Timestamp>,
    /// The author of the change, if the audit trail or the task contains one.
    pub by: Option<ChangedBy>,
}

/// A point that holds a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionPoint {
    /// Its id, or the time of a single commit.
    pub point: String,
    /// When it was made.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
}

/// The author of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedBy {
    /// The actor of the newest audit entry about the record from that time, or the bot of a task.
    pub actor: String,
    /// The action of the entry, or the state of the task.
    pub action: String,
}

/// A version in the chain of pre-images. It lasts from the epoch of its birth up to the birth of the next version.
struct Held {
    value: Option<Vec<u8>>,
    /// Whether the record is absent because a point of that time lost it in a repair.
    is_lost: bool,
    from: Epoch,
    to: Epoch,
}

/// The versions of a record, newest first. Equal neighbours are one version.
struct Chain {
    row: Vec<u8>,
    held: Vec<Held>,
    /// Whether these are all versions.
    is_whole: bool,
}

/// An audit entry about a record.
struct Told {
    at: Timestamp,
    by: ChangedBy,
}

impl View {
    /// The versions of a record that points hold, and the present one, newest first; at most `limit`, and at most
    /// 1,000.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such collection, and when neither the present state nor any point contains the
    /// record; `Invalid` for documents, which are many records each; `Damaged`, also when a repair lost the whole
    /// record; `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::ChangeKind;
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| tx.config().put("limit", &json!(3)))?;
    /// let point = store.restore_point("before the night")?;
    /// store.write(|tx| tx.config().remove("limit"))?;
    /// let versions = store.view()?.versions("config", "limit", 10)?;
    /// assert_eq!((versions[0].change, &versions[0].value), (Some(ChangeKind::Removed), &json!(null)));
    /// assert_eq!(versions[1].point.as_ref().unwrap().point, point.to_string());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn versions(&self, collection: &str, key: &str, limit: usize) -> Result<Vec<Version>> {
        let names = names(self)?;
        let id = match collection {
            "bot_assignments" => Some(CollectionId::ASSIGNMENTS),
            name => names.id(name).filter(|id| *id != CollectionId::CHUNKS),
        };
        let id = id.ok_or_else(|| Error::not_found(names.without(collection)))?;
        if id == CollectionId::DOCUMENTS {
            let message = "a document is many records; compare points to see its changes";
            return Err(Error::invalid(format!("{message}: collection={collection}")).with_hint(Hint::ComparePoints));
        }
        let Some(Chain { row, held, is_whole }) = self.chain(id, key, limit)? else {
            let is_lost = self.any_point_has_lost(id, key)?;
            let (collection, key) = (collection.escape_debug(), key.escape_debug());
            return Err(match is_lost {
                true => Error::damaged(format!(
                    "a repair lost every version of that record: collection={collection} key={key}"
                )),
                false => Error::not_found(format!(
                    "neither the present nor any point has such a record: collection={collection} key={key}"
                )),
            });
        };
        let told = self.told_of(&format!("{collection}/{key}"), key, self.oldest_change(&held)?)?;
        let ends_unknown = held.last().is_some_and(|oldest| oldest.value.is_none() && !oldest.is_lost);
        let listed = held.len() - usize::from(!is_whole || ends_unknown);
        let mut versions = Vec::new();
        for (at, version) in held.iter().take(listed).enumerate() {
            versions.push(self.version(id, &row, version, held.get(at + 1), &told)?);
        }
        Ok(versions)
    }

    /// The newest point that holds a version in which the record existed, or differed from its present value.
    pub(crate) fn last_version(&self, id: CollectionId, key: &str, wanted: Wanted) -> Result<Option<VersionPoint>> {
        let Some(Chain { held, .. }) = self.chain(id, key, VERSIONS_MAX)? else { return Ok(None) };
        let now = held.first().and_then(|newest| newest.value.as_deref());
        for version in &held {
            let is_it = match wanted {
                Wanted::There => version.value.is_some(),
                Wanted::Different => version.value.as_deref() != now && !version.is_lost,
            };
            if is_it && let Some(point) = self.point_to_restore(version)? {
                return Ok(Some(point));
            }
        }
        Ok(None)
    }

    /// The versions of the record that a name means, with at most one more than `limit`.
    fn chain(&self, id: CollectionId, name: &str, limit: usize) -> Result<Option<Chain>> {
        for key in restored_together::keys_of(id, name) {
            let chain = self.chain_of_row(id.row_key(&key), limit.clamp(1, VERSIONS_MAX))?;
            if chain.held.iter().any(|version| version.value.is_some()) {
                return Ok(Some(chain));
            }
        }
        Ok(None)
    }

    fn chain_of_row(&self, row: Vec<u8>, limit: usize) -> Result<Chain> {
        let (mut held, mut bytes, mut to) = (Vec::<Held>::new(), 0, Epoch::NOW);
        // Later than every epoch, but not `NOW`, at which tombstones are invisible.
        let mut found = self.state_at(&row, Epoch(Epoch::NOW.0 - 1))?;
        while let Some(version) = found {
            let at = self.newest_within(version.birth, to)?.filter(|_| to != Epoch::NOW).unwrap_or(Epoch::NOW);
            let value = self.value_at(&row, version.frame(&row)?.state, at)?;
            let from = version.birth;
            if let Some(later) = held.last_mut().filter(|later| later.value == value) {
                later.from = from;
            } else if held.len() > limit || bytes > BYTES_MAX {
                return Ok(Chain { row, held, is_whole: false });
            } else {
                bytes += value.as_ref().map_or(0, Vec::len);
                let is_lost = value.is_none() && self.has_lost_within(&row, from, to)?;
                held.push(Held { value, is_lost, from, to });
            }
            found = self.before(&row, &version)?;
            to = from;
        }
        Ok(Chain { row, held, is_whole: true })
    }

    fn version(
        &self,
        id: CollectionId,
        row: &[u8],
        version: &Held,
        earlier: Option<&Held>,
        told: &[Told],
    ) -> Result<Version> {
        let (_, key) = CollectionId::split_row_key(row).unwrap_or((id, row));
        let value = version.value.as_deref().map(|payload| Show::new(self).record(id, key, payload)).transpose()?;
        let change = match earlier {
            _ if version.is_lost => Some(ChangeKind::Lost),
            Some(earlier) if !earlier.is_lost => Some(kind(earlier.value.is_some(), version.value.is_some())),
            _ => None,
        };
        let changed_after = self.time_of(self.members()?.retained_before(version.from))?;
        let changed_before = self.time_of(self.oldest_within(version.from, version.to)?)?;
        let is_then = |told: &&Told| {
            changed_after.is_none_or(|after| told.at > after) && changed_before.is_none_or(|before| told.at <= before)
        };
        let by = match told.iter().find(is_then).filter(|_| change.is_some()) {
            Some(told) => Some(told.by.clone()),
            None => version.value.as_deref().map(|payload| bot_of(id, key, payload)).transpose()?.flatten(),
        };
        Ok(Version {
            change,
            value: value.map_or(Value::Null, |shown| shown.value),
            point: if version.is_lost { None } else { self.point_to_restore(version)? },
            points: self.members()?.count_within(version.from, version.to),
            changed_after: changed_after.filter(|_| change.is_some()),
            changed_before,
            by,
        })
    }

    /// The newest point that holds a version and can be restored by key.
    fn point_to_restore(&self, version: &Held) -> Result<Option<VersionPoint>> {
        let mut to = version.to;
        for _ in 0..POINTS_ASKED {
            let Some(epoch) = self.newest_within(version.from, to)? else { return Ok(None) };
            let point: Point = self.point(epoch)?;
            if !matches!(point.origin, Some(Origin::Documents | Origin::Adopted)) {
                return Ok(Some(VersionPoint { point: point.to_string(), timestamp: point.timestamp }));
            }
            to = epoch;
        }
        Ok(None)
    }

    /// Whether one of the newest points of a time is known to have lost a record in a repair.
    fn has_lost_within(&self, row: &[u8], from: Epoch, mut to: Epoch) -> Result<bool> {
        for _ in 0..POINTS_ASKED {
            let Some(epoch) = self.newest_within(from, to)? else { return Ok(false) };
            if self.lost_rows(epoch)?.contains(row) {
                return Ok(true);
            }
            to = epoch;
        }
        Ok(false)
    }

    fn newest_within(&self, from: Epoch, to: Epoch) -> Result<Option<Epoch>> {
        Ok(self.members()?.retained_before(to).filter(|point| *point >= from))
    }

    fn oldest_within(&self, from: Epoch, to: Epoch) -> Result<Option<Epoch>> {
        Ok(self.members()?.retained_from(from).filter(|point| *point < to))
    }

    fn time_of(&self, point: Option<Epoch>) -> Result<Option<Timestamp>> {
        point.map(|point| self.point(point).map(|point| point.timestamp)).transpose()
    }

    /// The time from which on audit entries matter.
    fn oldest_change(&self, held: &[Held]) -> Result<Option<Timestamp>> {
        let oldest = held.last().map(|oldest| oldest.from).unwrap_or_default();
        self.time_of(self.members()?.retained_before(oldest))
    }

    /// The audit entries about a record, newest first.
    fn told_of(&self, path: &str, key: &str, since: Option<Timestamp>) -> Result<Vec<Told>> {
        let (mut told, mut page) = (Vec::new(), Page::newest(ENTRIES_PER_READ));
        for _ in 0..AUDIT_READ / ENTRIES_PER_READ {
            let entries = self.audit().list(page)?;
            let Some(last) = entries.last().map(|entry| (entry.sequence, entry.recorded)) else { break };
            let is_over = entries.len() < ENTRIES_PER_READ || since.is_some_and(|since| last.1 < since);
            let about =
                |target: &Option<String>| target.as_deref().is_some_and(|target| target == path || target == key);
            told.extend(
                entries.into_iter().filter(|entry| about(&entry.target)).map(|entry| Told {
                    at: entry.recorded,
                    by: ChangedBy { actor: entry.actor, action: entry.action },
                }),
            );
            if is_over {
                break;
            }
            page = Page::newest(ENTRIES_PER_READ).before(last.0);
        }
        Ok(told)
    }
}

/// The version to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A version in which the record existed.
    There,
    /// A version that differs from the present value.
    Different,
}

/// The bot that holds a task, or finished it.
fn bot_of(id: CollectionId, key: &[u8], payload: &[u8]) -> Result<Option<ChangedBy>> {
    if id != CollectionId::QUEUE {
        return Ok(None);
    }
    let task = Task::from_record(key, payload)?;
    let bot = task.finished_by.or(task.holder.map(|holder| holder.bot));
    Ok(bot.map(|bot| ChangedBy { actor: bot.to_string(), action: task.state.to_string() }))
}
