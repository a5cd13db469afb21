//! The three-way comparison: each record that changed in the file is taken, is there already, or is in conflict.

use std::collections::BTreeMap;

use blake3::Hasher;

use super::merge::{Side, Values, each_row};
use super::report::{LISTED, Orphan, OrphanCounts, OrphanFate};
use super::sides::Sides;
use crate::engine::codec;
use crate::engine::records::{KeyRange, Records, scan, scan_rows};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::view::View;
use crate::error::{Error, Result};
use crate::recovery::diff::{ChangeKind, kind};
use crate::recovery::points::names::names;
use crate::state::chat::Message;
use crate::state::documents::DocumentId;
use crate::state::ids::TaskId;
use crate::state::queue::{OrphanTask, Task, WaitingOrphans, judge_orphan};

/// One transaction takes at most so many records.
const TAKEN_MOST: usize = 1_000_000;
const BOTH_CHANGED: &str = "both have changed it";

/// A record that the store takes.
pub(super) struct Taken {
    /// The number of its collection in the file.
    pub(super) collection: CollectionId,
    pub(super) name: String,
    /// The key of the record; for a document, that of its own row.
    pub(super) key: Vec<u8>,
}

/// The result of the comparison.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) taken: Vec<Taken>,
    pub(super) collections: BTreeMap<String, OrphanCounts>,
    pub(super) orphans: Vec<Orphan>,
    pub(super) not_listed: u64,
}

/// The views of a comparison.
pub(super) struct Compared<'c> {
    pub(super) base: &'c View,
    pub(super) file: &'c View,
    pub(super) here: &'c dyn Records,
}

/// Compares everything. It reads only collections that changed in the file.
///
/// # Errors
///
/// `Damaged` when the records of a state are not those of its statistics; `Invalid` for more than a million records.
pub(super) fn judge(sides: &Sides, here: &dyn Records) -> Result<Judged> {
    let (base, file) = (sides.base.view()?, sides.file.view()?);
    let compared = Compared { base: &base, file: &file, here };
    let [of_base, of_file] = [names(&base)?, names(&file)?];
    let mut judged = Judged::default();
    for name in of_file.all().chain(of_base.all().filter(|name| of_file.id(name).is_none())) {
        // Assignments follow from tasks, and pieces belong to long values.
        let id = of_file.id(name);
        if !name.starts_with('#') && id != Some(CollectionId::ASSIGNMENTS) {
            compared.collection(name, [of_base.id(name), id], &mut judged)?;
        }
    }
    Ok(judged)
}

impl Compared<'_> {
    fn collection(&self, name: &str, ids: [Option<CollectionId>; 2], judged: &mut Judged) -> Result<()> {
        let [of_base, of_file] = ids;
        let sides = [
            Side::new("the state before both went apart", self.base, of_base)?,
            Side::new("the overtaken file", self.file, of_file)?,
            Side::new("the store", self.here, self.here.collection_id(name)?)?,
        ];
        // D1: equal digests are equal records.
        if sides[0].stats() == sides[1].stats() {
            return Ok(());
        }
        let mut in_collection = InCollection { name, id: of_file.or(of_base).unwrap_or(CollectionId(0)), judged };
        match in_collection.id {
            CollectionId::QUEUE => self.tasks(sides, &mut in_collection),
            CollectionId::CHAT => self.messages(sides, &mut in_collection),
            CollectionId::DOCUMENTS => documents(sides, &mut in_collection),
            _ => each_row(name, sides, &mut |key, values| {
                let fate = three_way(values);
                in_collection.note(key, kind_of(values), fate)
            }),
        }
    }

    fn tasks(&self, sides: [Side<'_>; 3], found: &mut InCollection<'_>) -> Result<()> {
        let (mut changed, mut waiting) = (Vec::new(), WaitingOrphans::default());
        each_row(found.name, sides, &mut |key, values| {
            if values[0] == values[1] {
                return Ok(());
            }
            let read = |payload: Option<&[u8]>| payload.map(|payload| Task::from_record(key, payload)).transpose();
            let (base, old) = (read(values[0])?, read(values[1])?);
            let fate = judge_orphan(self.here, self.base, base.as_ref(), old.as_ref())?;
            if matches!(fate, OrphanTask::Unchanged | OrphanTask::AlreadyThere) {
                return found.note(key, kind_of(values), fate);
            }
            if let (OrphanTask::Take, Some(old)) = (fate, &old) {
                waiting.note(self.here, old, base.is_none())?;
            }
            found.refuse_too_many(changed.len())?;
            changed.push((key.to_vec(), kind_of(values), fate));
            Ok(())
        })?;
        let refused = waiting.refused(self.here)?;
        for (key, kind, fate) in changed {
            let fate = match refused.get(&TaskId::from_key(&key)?) {
                Some(reason) if fate == OrphanTask::Take => OrphanTask::Conflict(reason),
                _ => fate,
            };
            found.note(&key, kind, fate)?;
        }
        Ok(())
    }

    /// Messages are only appended, so new ones are known by their content, whatever number they got.
    fn messages(&self, sides: [Side<'_>; 3], found: &mut InCollection<'_>) -> Result<()> {
        let (mut said, mut last) = (Vec::new(), Vec::new());
        each_row(found.name, sides, &mut |key, values| match values {
            [None, Some(message), _] => {
                found.refuse_too_many(said.len())?;
                said.push((key.to_vec(), content_of(message)?));
                Ok(())
            }
            [None, None, _] => Ok(()),
            [Some(_), _, _] => {
                last = key.to_vec();
                let fate = three_way(values);
                // Only a new one can be appended.
                let is_changed = fate == OrphanTask::Take && values[1].is_some();
                let fate = if is_changed { OrphanTask::Conflict("a message never changes") } else { fate };
                found.note(key, kind_of(values), fate)
            }
        })?;
        let mut heard: BTreeMap<[u8; 32], u64> = said.iter().map(|(_, content)| (*content, 0)).collect();
        if said.is_empty() {
            return Ok(());
        }
        for row in scan(self.here, CollectionId::CHAT, KeyRange::all().after(&last)) {
            if let Some(count) = heard.get_mut(&content_of(&row?.1)?) {
                *count += 1;
            }
        }
        for (key, content) in said {
            let left = heard.get_mut(&content).filter(|left| **left > 0);
            let fate = if left.is_some() { OrphanTask::AlreadyThere } else { OrphanTask::Take };
            left.into_iter().for_each(|left| *left -= 1);
            found.note(&key, ChangeKind::Added, fate)?;
        }
        Ok(())
    }
}

/// Documents change as a whole: rows of two of them would be no document.
fn documents(sides: [Side<'_>; 3], found: &mut InCollection<'_>) -> Result<()> {
    let mut current: Option<(DocumentId, [Option<Hasher>; 3])> = None;
    let name = found.name;
    let mut end = |document: Option<(DocumentId, [Option<Hasher>; 3])>| {
        let Some((id, hashers)) = document else { return Ok(()) };
        let hashes = hashers.map(|hasher| hasher.map(|hasher| *hasher.finalize().as_bytes()));
        let values = hashes.each_ref().map(|hash| hash.as_ref().map(|hash| hash.as_slice()));
        let fate = three_way(values);
        found.note(&id.to_key(), kind_of(values), fate)
    };
    each_row(name, sides, &mut |key, values| {
        let id = DocumentId::of_row(key)?;
        if current.as_ref().is_none_or(|(own, _)| *own != id) {
            end(current.replace((id, [None, None, None])))?;
        }
        let hashers = current.iter_mut().flat_map(|(_, hashers)| hashers);
        for (hasher, value) in hashers.zip(values) {
            let Some(value) = value else { continue };
            let hasher = hasher.get_or_insert_default();
            for part in [key, value] {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
            }
        }
        Ok(())
    })?;
    end(current)
}

/// The rule for a record: what only the file has changed is taken.
fn three_way([base, file, here]: Values<'_>) -> OrphanTask {
    if base == file {
        OrphanTask::Unchanged
    } else if file == here {
        OrphanTask::AlreadyThere
    } else if base == here {
        OrphanTask::Take
    } else {
        OrphanTask::Conflict(BOTH_CHANGED)
    }
}

fn kind_of([base, file, _]: Values<'_>) -> ChangeKind {
    kind(base.is_some(), file.is_some())
}

/// The hash of a message without its number.
fn content_of(payload: &[u8]) -> Result<[u8; 32]> {
    let message = Message { sequence: 0, ..codec::decode(payload)? };
    Ok(*blake3::hash(&codec::encode(&message)?).as_bytes())
}

/// A collection in which orphans are found.
struct InCollection<'j> {
    name: &'j str,
    id: CollectionId,
    judged: &'j mut Judged,
}

impl InCollection<'_> {
    fn note(&mut self, key: &[u8], change: ChangeKind, fate: OrphanTask) -> Result<()> {
        let counts = match fate {
            OrphanTask::Unchanged => return Ok(()),
            _ => self.judged.collections.entry(self.name.to_owned()).or_default(),
        };
        let (fate, reason) = match fate {
            OrphanTask::Unchanged => return Ok(()),
            OrphanTask::AlreadyThere => {
                counts.already_there += 1;
                return Ok(());
            }
            OrphanTask::Take => {
                counts.taken += 1;
                let (collection, name) = (self.id, self.name.to_owned());
                self.judged.taken.push(Taken { collection, name, key: key.to_vec() });
                (OrphanFate::Take, None)
            }
            OrphanTask::Conflict(reason) => {
                counts.conflicts += 1;
                (OrphanFate::Conflict, Some(reason))
            }
        };
        self.refuse_too_many(0)?;
        if self.judged.orphans.len() < LISTED {
            let (collection, key) = (self.name.to_owned(), self.shown(key)?);
            self.judged.orphans.push(Orphan { collection, key, change, fate, reason });
        } else {
            self.judged.not_listed += 1;
        }
        Ok(())
    }

    fn shown(&self, key: &[u8]) -> Result<String> {
        Ok(match (self.id, key.try_into().map(u64::from_be_bytes)) {
            (CollectionId::DOCUMENTS, _) => DocumentId::of_row(key)?.to_string(),
            (CollectionId::CHAT, Ok(number)) => number.to_string(),
            _ => String::from_utf8(key.to_vec()).unwrap_or_else(|_| key.escape_ascii().to_string()),
        })
    }

    fn refuse_too_many(&self, more: usize) -> Result<()> {
        if self.judged.taken.len() + more <= TAKEN_MOST {
            return Ok(());
        }
        let message =
            "the file has more changes of its own than one transaction takes; compare it with the store instead";
        Err(Error::invalid(format!("{message}: max={TAKEN_MOST}")))
    }
}

/// The rows of a table behind those that the base has.
pub(super) fn rows_behind(sides: &Sides, table: Table) -> Result<u64> {
    let newest = sides.base.view()?.rows(table, &KeyRange::all().backward(), 1)?;
    let range = newest.first().map_or_else(KeyRange::all, |(key, _)| KeyRange::all().after(key));
    scan_rows(&sides.file.view()?, table, range).map(|row| row.map(|_| 1)).sum()
}
