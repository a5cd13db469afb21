//! Comparing the present and every point with their statistics before the damage, and writing the new statistics.

use std::collections::{BTreeMap, BTreeSet};

use super::found::Points;
use super::new_store::Rebuild;
use crate::engine::commit::Outcome;
use crate::engine::format::codec;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::{Epoch, Epochs};
use crate::engine::format::point::{Commit, Lost, Manifest};
use crate::engine::format::schema::{Place, Table};
use crate::engine::history::tally::Contents;
use crate::engine::meta;
use crate::engine::repair::report::{CollectionLoss, LostRecord, PartialPoint, RepairOutcome, RepairReport};
use crate::error::Result;

/// A manifest names no more of the records that a point lost.
const KEYS_MAX: usize = 100;

impl Rebuild<'_> {
    /// Compares the present and every point with their statistics before the damage, and writes the new statistics.
    pub(super) fn finish(mut self, points: Points) -> Result<RepairReport> {
        let now = self.tally.now().clone();
        self.compare_now(&now)?;
        let open = self.members.open;
        let (first, last) = (self.members.retained.first().copied(), self.members.retained.last().copied());
        let Points { mut manifests, commits } = points;
        for (epoch, there) in std::mem::take(&mut self.tally).points(self.members) {
            let Some(mut manifest) = manifests.remove(&epoch) else { continue };
            self.compare_point(epoch, &mut manifest, there);
            self.push_payload(Table::Points, &epoch.to_key(), &codec::encode(&manifest)?)?;
            self.push_payload(Table::PointIds, manifest.id.0.as_bytes(), &epoch.to_key())?;
        }
        self.drop_what_was_proved_whole(!commits.is_empty());
        let hurt = [Table::Live, Table::PreImages, Table::Tombstones]
            .iter()
            .any(|table| self.salvage.notes.hurt.contains(table));
        let suspect = hurt || !self.report.lost.is_empty() || !self.report.collections.is_empty();
        for (epoch, commit) in commits {
            let partial = commit.partial || suspect;
            if partial {
                let (timestamp, collections) = (commit.at, Vec::new());
                self.report.partial.push(PartialPoint { id: None, epoch, timestamp, collections });
            }
            self.push_payload(Table::Commits, &epoch.to_key(), &codec::encode(&Commit { partial, ..commit })?)?;
        }
        for (collection, stats) in now {
            self.push_payload(Table::Meta, &meta::stats_key(collection), &codec::encode(&stats)?)?;
        }
        self.flush()?;
        self.into.alone(|tx| {
            let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
            tx.batch.epochs = Epochs { open, first, last, merging: 0, dropping: Epoch(0) };
            tx.batch.changed = true;
            Ok(Outcome::Commit(()))
        })?;
        Ok(self.report)
    }

    fn compare_now(&mut self, now: &Contents) -> Result<()> {
        let mut was = BTreeMap::new();
        self.salvage.scratch.rows(Table::Meta, |rows| {
            for (key, bytes) in rows {
                if let Some(collection) = meta::stats_collection(key) {
                    let stats = meta::payload(Table::Meta, key, bytes).and_then(|payload| codec::decode(&payload));
                    was.extend(stats.ok().map(|stats: Stats| (collection, stats)));
                }
            }
            Ok(())
        })?;
        let all: BTreeSet<_> = was.keys().chain(now.keys()).copied().collect();
        for collection in all {
            let is = now.get(&collection).copied().unwrap_or_default();
            let was = was.get(&collection).copied();
            let unknown = was.is_none() && self.salvage.notes.hurt.contains(&Table::Live);
            if unknown || was.is_some_and(|was| was != is) {
                self.report.collections.push(CollectionLoss { collection: self.name(collection), was, is });
            }
        }
        Ok(())
    }

    fn compare_point(&mut self, epoch: Epoch, manifest: &mut Manifest, there: Contents) {
        let was: Contents = manifest.collections.iter().copied().collect();
        let all: BTreeSet<_> = was.keys().chain(there.keys()).copied().collect();
        let mut losses = Vec::new();
        for collection in all {
            let stats = |contents: &Contents| contents.get(&collection).copied().unwrap_or_default();
            let (was, is) = (stats(&was), stats(&there));
            if was == is {
                continue;
            }
            losses.push(CollectionLoss { collection: self.name(collection), was: Some(was), is });
            let of_collection = |record: &&LostRecord| Place::of_record(&record.row).collection == collection;
            let keys = self.report.lost.iter().filter(of_collection).map(|record| record.row.get(4..));
            let keys = keys.flatten().take(KEYS_MAX).map(<[u8]>::to_vec).collect();
            // A point that was partial before keeps the content that it had at first as the measure of its loss.
            if manifest.lost.iter().all(|lost| lost.collection != collection) {
                manifest.lost.push(Lost { collection, was, keys });
            }
        }
        if !losses.is_empty() {
            let (id, timestamp) = (Some(manifest.id.0.clone()), manifest.at);
            self.report.partial.push(PartialPoint { id, epoch, timestamp, collections: losses });
        }
        manifest.collections = there.into_iter().collect();
    }

    /// A collection whose digests are unchanged, now and at every point, has lost nothing, whatever was damaged.
    fn drop_what_was_proved_whole(&mut self, commits: bool) {
        let report = &mut self.report;
        let of_points = report.partial.iter().flat_map(|point| &point.collections);
        let differs: BTreeSet<_> = of_points.chain(&report.collections).map(|loss| loss.collection.as_str()).collect();
        report.lost.retain(|lost| {
            differs.contains(lost.collection.as_str()) || (commits && lost.outcome == RepairOutcome::PastLost)
        });
    }
}
