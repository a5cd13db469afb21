//! The proof of the bytes that came for damaged rows.
//!
//! No damaged row can have changed since it was damaged: every write reads what it overwrites. So the newest change of
//! a row, if all changes are known, is what was written. The records of a collection must also add up to its count,
//! its bytes and its digest.

use std::collections::BTreeSet;

use super::find::Damage;
use super::remedies::{Newest, Remedies};
use super::report::{HealReport, Remedy};
use crate::engine::format::digest::Stats;
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::format::{codec, frame};
use crate::engine::history::tally::{Contents, stats_of};
use crate::engine::meta;
use crate::error::Result;

/// The proved rows, and the refusals of the others.
pub(crate) struct Judged {
    pub(super) report: HealReport,
    pub(super) remedies: Vec<Remedy>,
}

impl Damage {
    /// Refuses everything, for one reason.
    pub(crate) fn refuse_all(&self, why: &str) -> HealReport {
        let mut report = HealReport::default();
        self.unread.iter().for_each(|(table, why)| report.refuse(*table, b"", why));
        self.rows.keys().for_each(|(table, key)| report.refuse(*table, key, why));
        report
    }

    /// Decides on each row, once every change has come.
    ///
    /// # Errors
    ///
    /// `Damaged` for rows that no writer makes.
    pub(crate) fn judge(self, remedies: Remedies) -> Result<Judged> {
        let proved = self.proved(&remedies)?;
        let mut report = HealReport::default();
        let mut all = Vec::new();
        self.unread.iter().for_each(|(table, why)| report.refuse(*table, b"", why));
        let mut sought = remedies.rows;
        for ((table, key), seen) in self.rows {
            let collection = Place::of_record(&key).collection;
            match sought.remove(&(table, key.clone())).unwrap_or(Newest::Unknown) {
                Newest::Unknown => report.refuse(table, &key, "the replica has no such row"),
                Newest::Gone => report.refuse(table, &key, "the row was removed, as the replica has it"),
                Newest::Is(_) if table == Table::Live && !proved.contains(&collection) => {
                    let why = "the records of its collection do not add up to its digest, with what the replica has";
                    report.refuse(table, &key, why);
                }
                Newest::Is(bytes) => all.push(Remedy { table, key, seen, bytes }),
            }
        }
        Ok(Judged { report, remedies: all })
    }

    /// The collections whose records add up to what they had together.
    fn proved(&self, remedies: &Remedies) -> Result<BTreeSet<CollectionId>> {
        // Sums of some rows prove nothing.
        if self.unread.contains_key(&Table::Live) {
            return Ok(BTreeSet::new());
        }
        let mut sums: Contents = self.stats.keys().map(|id| (*id, self.sound_of(*id))).collect();
        for ((table, key), newest) in &remedies.rows {
            let (Table::Live, Newest::Is(bytes)) = (table, newest) else { continue };
            let place = Place::of_record(key);
            if let Some(payload) = frame::decode(place, bytes)?.payload() {
                sums.entry(place.collection).or_default().merge(&stats_of(place.key, payload));
            }
        }
        let mut proved = BTreeSet::new();
        for (collection, sum) in sums {
            if self.stats_of(collection, remedies)? == Some(sum) {
                proved.insert(collection);
            }
        }
        Ok(proved)
    }

    fn sound_of(&self, collection: CollectionId) -> Stats {
        self.sound.get(&collection).copied().unwrap_or_default()
    }

    /// The statistics of a collection; none when nobody knows them.
    fn stats_of(&self, collection: CollectionId, remedies: &Remedies) -> Result<Option<Stats>> {
        if let Some(stored) = self.stats.get(&collection).copied().flatten() {
            return Ok(Some(stored));
        }
        let key = meta::stats_key(collection);
        let Some(Newest::Is(bytes)) = remedies.rows.get(&(Table::Meta, key.clone())) else { return Ok(None) };
        codec::decode(&meta::payload(Table::Meta, &key, bytes)?).map(Some)
    }
}
