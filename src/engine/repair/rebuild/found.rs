//! Points, collections and damaged records that a salvage has found.

use std::collections::BTreeMap;

use crate::engine::format::codec::{self, Stored};
use crate::engine::format::epoch::Epoch;
use crate::engine::format::keys::PreImageKey;
use crate::engine::format::point::{Commit, Manifest};
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::history::members::Members;
use crate::engine::meta;
use crate::engine::repair::salvage::Salvage;
use crate::error::Result;

/// The points that are left.
pub(super) struct Points {
    pub(super) manifests: BTreeMap<Epoch, Manifest>,
    pub(super) commits: BTreeMap<Epoch, Commit>,
}

impl Points {
    pub(super) fn read(salvage: &Salvage) -> Result<Self> {
        Ok(Self { manifests: by_epoch(salvage, Table::Points)?, commits: by_epoch(salvage, Table::Commits)? })
    }

    pub(super) fn members(&self, salvage: &Salvage) -> Result<Members> {
        let mut retained: Vec<_> = self.manifests.keys().chain(self.commits.keys()).copied().collect();
        retained.sort_unstable();
        retained.dedup();
        let stored = salvage.scratch.row(Table::Meta, meta::EPOCHS)?;
        let stored = meta::epochs(stored.as_deref()).map(|epochs| epochs.open).unwrap_or_default();
        let after_points = retained.last().map_or(Epoch(1), |last| last.next());
        // Without the row that says it, the open epoch may be any at or after the newest that was seen.
        let open = stored.max(after_points).max(salvage.notes.newest);
        Ok(Members { retained, merging: Vec::new(), open })
    }
}

/// The users' collections by number. One whose name is lost gets a new one.
pub(super) fn names(salvage: &Salvage) -> Result<BTreeMap<CollectionId, String>> {
    let mut names = BTreeMap::new();
    salvage.scratch.rows(Table::Collections, |rows| {
        for (key, bytes) in rows {
            let id = meta::payload(Table::Collections, key, bytes).and_then(|id| CollectionId::of_bytes(&id));
            if let (Ok(id), Ok(name)) = (id, String::from_utf8(key.clone())) {
                names.insert(id, name);
            }
        }
        Ok(())
    })?;
    for collection in salvage.scratch.collections()? {
        if collection >= CollectionId::FIRST_USER && !names.contains_key(&collection) {
            let taken = |name: &String| names.values().any(|other| other == name);
            let mut name = format!("recovered-{}", collection.0);
            while taken(&name) {
                name.push('+');
            }
            names.insert(collection, name);
        }
    }
    Ok(names)
}

/// Records by row key of which some row is damaged, and whether it is the newest one.
pub(super) fn damaged_records(salvage: &Salvage) -> BTreeMap<Vec<u8>, bool> {
    let mut records = BTreeMap::new();
    for row in &salvage.notes.rows {
        if row.table == Table::Live.name() {
            records.insert(row.raw_key.clone(), true);
        } else if let (true, Some(key)) = (row.table == Table::PreImages.name(), PreImageKey::split(&row.raw_key)) {
            records.entry(key.row.to_vec()).or_default();
        }
    }
    records
}

/// The rows of a table by their epochs, as far as they can be read.
fn by_epoch<T: Stored>(salvage: &Salvage, table: Table) -> Result<BTreeMap<Epoch, T>> {
    let mut found = BTreeMap::new();
    salvage.scratch.rows(table, |rows| {
        rows.iter().for_each(|(key, bytes)| {
            let read = meta::payload(table, key, bytes).and_then(|payload| codec::decode(&payload));
            found.extend(epoch_of(key).zip(read.ok()));
        });
        Ok(())
    })?;
    Ok(found)
}

fn epoch_of(key: &[u8]) -> Option<Epoch> {
    Epoch::split_key(key).map(|(epoch, _)| epoch)
}
