//! Sealing the open epoch as a point.

use std::collections::BTreeMap;

use crate::clock::as_stored;
use crate::engine::format::codec;
use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::point::{Commit, Manifest, NewPoint};
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};

impl WriteTx<'_> {
    /// Seals the open epoch as a point: writes its manifest and opens the next epoch. That is the whole cost.
    pub(crate) fn seal(&mut self, point: NewPoint) -> Result<(Epoch, Manifest)> {
        let manifest = Manifest {
            id: point.id,
            at: as_stored(point.at),
            sealed_at: as_stored(self.now()),
            origin: point.origin,
            manual: point.manual,
            backups: point.backups,
            description: point.description,
            tags: point.tags,
            held: false,
            undoes: point.undoes,
            collections: self.all_stats()?,
            lost: Vec::new(),
        };
        let sealed = self.batch.epochs.open;
        if self.row(Table::PointIds, manifest.id.0.as_bytes())?.is_some() {
            return Err(Error::conflict(format!("a point of that name exists: id={}", manifest.id)));
        }
        self.put_row(Table::Points, &sealed.to_key(), &codec::encode(&manifest)?)?;
        self.put_row(Table::PointIds, manifest.id.0.as_bytes(), &sealed.to_key())?;
        self.open_next_epoch();
        Ok((sealed, manifest))
    }

    /// Seals the open epoch as an unnamed point.
    pub(crate) fn seal_commit(&mut self) -> Result<Epoch> {
        let sealed = self.batch.epochs.open;
        let commit = Commit { at: as_stored(self.now()), partial: false };
        self.put_row(Table::Commits, &sealed.to_key(), &codec::encode(&commit)?)?;
        self.open_next_epoch();
        Ok(sealed)
    }

    /// Opens the next epoch, so that later writes are born after the earlier ones. If the history of every commit is
    /// on, the ended epoch is a point of it; otherwise it waits to be merged, and costs nothing.
    pub(crate) fn turn_epoch(&mut self) -> Result<()> {
        let ended = self.seal_commit()?;
        if self.context.history.is_none() {
            self.mark_forgotten(ended)?;
        }
        Ok(())
    }

    /// Replaces the manifest of a retained point.
    pub(crate) fn put_manifest(&mut self, epoch: Epoch, manifest: &Manifest) -> Result<()> {
        self.put_row(Table::Points, &epoch.to_key(), &codec::encode(manifest)?)
    }

    /// The statistics of every collection now; collections without records are left out.
    pub(crate) fn all_stats(&self) -> Result<Vec<(CollectionId, Stats)>> {
        let mut stats: BTreeMap<_, _> = meta::all_stats(self)?.into_iter().collect();
        stats.extend(self.batch.stats.iter().map(|(collection, stats)| (*collection, *stats)));
        Ok(stats.into_iter().filter(|(_, stats)| *stats != Stats::default()).collect())
    }

    fn open_next_epoch(&mut self) {
        let epochs = &mut self.batch.epochs;
        let sealed = epochs.open;
        epochs.last = sealed;
        if epochs.first == Epoch(0) {
            epochs.first = sealed;
        }
        epochs.open = sealed.next();
        self.batch.changed = true;
    }
}
