//! Differences between two points, or between a point and the present. The cost follows the number of changes: only the
//! keys in the segments between are read.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::PreImages;
use crate::engine::epoch::Epoch;
use crate::engine::frame::{self, State};
use crate::engine::keys::PreImageKey;
use crate::engine::point::Scope;
use crate::engine::schema::{CollectionId, Place};
use crate::engine::store::Store;
use crate::engine::value;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::points::lost::LostRows;
use crate::recovery::points::names::{Names, names};
use crate::recovery::points::selector::Selector;
use crate::state::show::{Show, Shown, bare_key};
use crate::text::OneLine;

/// The differences, by collection and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// Every record that differs, in the order of collections and keys.
    pub changes: Vec<Change>,
}

/// A record that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The collection's name.
    pub collection: String,
    /// The record's key, as people read it.
    pub key: String,
    /// The kind of change.
    pub change: ChangeKind,
    /// The earlier value, or null.
    pub before: Value,
    /// The later value, or null.
    pub after: Value,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The record was absent before.
    Added,
    /// The values differ.
    Changed,
    /// The record is absent now.
    Removed,
    /// One of the points lost the record in a repair, so the change is unknown. Both values may be null.
    Lost,
}

/// The numbers of records that differ in a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records that were absent before.
    pub added: u64,
    /// Records with another value.
    pub changed: u64,
    /// Records that are absent now.
    pub removed: u64,
}

impl Counts {
    /// The sum of all three.
    pub fn total(&self) -> u64 {
        self.added + self.changed + self.removed
    }

    pub(crate) fn count(&mut self, change: ChangeKind) {
        match change {
            ChangeKind::Added => self.added += 1,
            ChangeKind::Changed => self.changed += 1,
            ChangeKind::Removed => self.removed += 1,
            ChangeKind::Lost => {}
        }
    }
}

/// `1 added, 2 changed, 0 removed`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, changed, removed } = self;
        write!(f, "{added} added, {changed} changed, {removed} removed")
    }
}

impl Change {
    fn place(&self) -> (&str, &str) {
        (&self.collection, &self.key)
    }
}

impl Diff {
    /// Whether a repair lost a record, so that its change is unknown.
    pub fn is_partial(&self) -> bool {
        self.changes.iter().any(|change| change.change == ChangeKind::Lost)
    }

    /// The numbers of records that differ in each collection.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for change in &self.changes {
            counts.entry(change.collection.clone()).or_default().count(change.change);
        }
        counts.retain(|_, counts| counts.total() > 0);
        counts
    }
}

/// One line for each change: `+` for added, `~` for changed, with the fields that differ, `-` for removed, `?` for lost
/// in a repair.
impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Change { collection, key, change, before, after } in &self.changes {
            match change {
                // The row of a document whose elements have rows of their own has no value.
                ChangeKind::Added | ChangeKind::Removed if before == after => {
                    let sign = if *change == ChangeKind::Added { '+' } else { '-' };
                    write!(f, "{}", OneLine(format_args!("{sign} {collection}/{key}")))?;
                }
                ChangeKind::Added => write!(f, "{}", OneLine(format_args!("+ {collection}/{key} {after}")))?,
                ChangeKind::Removed => write!(f, "{}", OneLine(format_args!("- {collection}/{key} {before}")))?,
                ChangeKind::Lost => {
                    let value = if before.is_null() { after } else { before };
                    match value {
                        Value::Null => {
                            write!(f, "{}", OneLine(format_args!("? {collection}/{key} (a repair lost it)")))?
                        }
                        value => {
                            let line = format_args!("? {collection}/{key} {value} (a repair lost the other value)");
                            write!(f, "{}", OneLine(line))?;
                        }
                    }
                }
                ChangeKind::Changed => {
                    write!(f, "{}", OneLine(format_args!("~ {collection}/{key} {}", Members(before, after))))?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The fields of two values that differ.
struct Members<'a>(&'a Value, &'a Value);

impl fmt::Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Value::Object(before), Value::Object(after)) = (self.0, self.1) else {
            return write!(f, "{} -> {}", self.0, self.1);
        };
        let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let mut separator = "";
        for name in names {
            let (was, is) = (before.get(name).unwrap_or(&Value::Null), after.get(name).unwrap_or(&Value::Null));
            if was != is {
                write!(f, "{separator}{name}: {was} -> {is}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

impl Store {
    /// The changes from one point to another, or to the present. Either point may be the earlier one.
    ///
    /// # Errors
    ///
    /// As [`Store::at`].
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::Selector;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let point = store.restore_point("before")?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// let diff = store.diff(&point, Selector::Now)?;
    /// assert_eq!(diff.to_string(), "+ config/limit 5\n");
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn diff(&self, from: impl Into<Selector>, to: impl Into<Selector>) -> Result<Diff> {
        let mut changes = Vec::new();
        self.each_change(from.into(), to.into(), |change| changes.push(change))?;
        changes.sort_by(|a, b| a.place().cmp(&b.place()));
        Ok(Diff { changes })
    }

    /// Calls `each` with every change, in any order.
    fn each_change(&self, from: Selector, to: Selector, mut each: impl FnMut(Change)) -> Result<()> {
        let view = self.view()?;
        let (from, to) = (view.resolve(&from)?.epoch(), view.resolve(&to)?.epoch());
        let names = names(&view)?;
        // One view reads both ends, so that they belong to one moment. The past does not change, so views of their own
        // may look up the names.
        let past = |epoch| if epoch == Epoch::NOW { Ok(None) } else { self.view_at(epoch).map(Some) };
        let (old, new) = (past(from)?, past(to)?);
        let (mut old, mut new) = (Show::new(old.as_ref().unwrap_or(&view)), Show::new(new.as_ref().unwrap_or(&view)));
        let (lost_old, lost_new) = (view.lost_rows(from)?, view.lost_rows(to)?);
        view.each_difference(from.min(to), from.max(to), &Scope::default(), |row, then, now| {
            let (before, after) = if from <= to { (then, now) } else { (now, then) };
            let is_lost = before.is_none() && lost_old.contains(row) || after.is_none() && lost_new.contains(row);
            let mut change = change(&names, row, (&mut old, before), (&mut new, after))?;
            if let Some(change) = change.as_mut().filter(|_| is_lost) {
                change.change = ChangeKind::Lost;
            }
            change.into_iter().for_each(&mut each);
            Ok(())
        })?;
        view.each_lost_at_both((from, &lost_old), (to, &lost_new), |row| each(lost_at_both(&names, row)))
    }
}

/// A record whose two values are unknown, or one of them while the other is absent: nothing of it differs.
pub(super) fn lost_at_both(names: &Names, row: &[u8]) -> Change {
    let Place { collection, key, .. } = Place::of_record(row);
    let (collection, key) = (names.of(collection), bare_key(collection, key));
    Change { collection, key, change: ChangeKind::Lost, before: Value::Null, after: Value::Null }
}

/// Shows a row of a difference for people. It shows nothing for the pieces of long values, which belong to their
/// records, and nothing for the header row of a document if only the number of its elements differs.
pub(super) fn change(
    names: &Names,
    row: &[u8],
    (old, before): (&mut Show<'_, View>, Option<Vec<u8>>),
    (new, after): (&mut Show<'_, View>, Option<Vec<u8>>),
) -> Result<Option<Change>> {
    let Place { collection, key, .. } = Place::of_record(row);
    if collection == CollectionId::CHUNKS {
        return Ok(None);
    }
    let kind = kind(before.is_some(), after.is_some());
    let shown = |show: &mut Show<'_, View>, payload: Option<Vec<u8>>| {
        payload.map(|payload| show.record(collection, key, &payload)).transpose()
    };
    let (before, after) = (shown(old, before)?, shown(new, after)?);
    let name = after.as_ref().or(before.as_ref()).map(|shown| shown.key.clone()).unwrap_or_default();
    let value = |shown: Option<Shown>| shown.map_or(Value::Null, |shown| shown.value);
    let (before, after) = (value(before), value(after));
    if collection == CollectionId::DOCUMENTS && kind == ChangeKind::Changed && before == after {
        return Ok(None);
    }
    Ok(Some(Change { collection: names.of(collection), key: name, change: kind, before, after }))
}

/// The kind of the change of a record that existed before or not, and exists after or not.
pub(crate) fn kind(before: bool, after: bool) -> ChangeKind {
    match (before, after) {
        (false, _) => ChangeKind::Added,
        (true, true) => ChangeKind::Changed,
        (true, false) => ChangeKind::Removed,
    }
}

impl View {
    /// Calls `each` for every row of a record that is absent at both points, and that one of them lost in a repair.
    pub(super) fn each_lost_at_both(
        &self,
        (from, lost_from): (Epoch, &LostRows),
        (to, lost_to): (Epoch, &LostRows),
        mut each: impl FnMut(&[u8]),
    ) -> Result<()> {
        for row in lost_from.with(lost_to) {
            if self.is_absent_at(row, from)? && self.is_absent_at(row, to)? {
                each(row);
            }
        }
        Ok(())
    }

    /// Calls `differs` for every key whose value differs between a point and a later one, with both values. A pre-image
    /// between the two counts if and only if its birth is at or before the earlier point (S2). There is exactly one
    /// such row for each key that changed, so no set of seen keys is needed.
    pub(crate) fn each_difference(
        &self,
        from: Epoch,
        to: Epoch,
        scope: &Scope,
        mut differs: impl FnMut(&[u8], Option<Vec<u8>>, Option<Vec<u8>>) -> Result<()>,
    ) -> Result<()> {
        self.each_pre_image(from, to, |PreImageKey { row, .. }, bytes| {
            let before = frame::decode(Place::of_record(row), bytes)?;
            if before.birth > from || !scope.contains(row) {
                return Ok(());
            }
            let after = self.state_at(row, to)?;
            let then = self.value_at(row, before.state, from)?;
            let now = match &after {
                Some(found) => self.value_at(row, found.frame(row)?.state, to)?,
                None => None,
            };
            if then == now { Ok(()) } else { differs(row, then, now) }
        })
    }

    /// The value of a frame at a point.
    pub(crate) fn value_at(&self, row: &[u8], state: State<'_>, at: Epoch) -> Result<Option<Vec<u8>>> {
        let Place { collection, key, .. } = Place::of_record(row);
        value::whole(collection, key, state, |piece| {
            let row = CollectionId::CHUNKS.row_key(piece);
            let found = self.state_at(&row, at)?;
            found.map(|found| Ok(found.frame(&row)?.payload().map(<[u8]>::to_vec))).transpose().map(Option::flatten)
        })
    }
}
