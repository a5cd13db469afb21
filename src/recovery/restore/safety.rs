//! The safety point of a restore or an import. It is sealed before anything is written, and kept only if something
//! changed. Otherwise `undo` would find it instead of the safety point of the restore before.

use std::collections::BTreeMap;

use crate::engine::PreImages;
use crate::engine::commit::Outcome;
use crate::engine::epoch::Epoch;
use crate::engine::point::{Manifest, NewPoint, Origin, PointId, Restored};
use crate::engine::records::Records;
use crate::engine::write::WriteTx;
use crate::error::Result;

/// A safety point that was just sealed.
pub(crate) struct Safety {
    pub(crate) epoch: Epoch,
    manifest: Manifest,
}

impl Safety {
    /// Seals the state before the changes.
    pub(crate) fn seal(tx: &mut WriteTx<'_>, description: String) -> Result<Self> {
        let (epoch, manifest) = tx.seal(NewPoint {
            id: PointId::new(),
            at: tx.now(),
            origin: Origin::Safety,
            manual: false,
            backups: Vec::new(),
            description,
            tags: BTreeMap::new(),
            undoes: None,
        })?;
        Ok(Self { epoch, manifest })
    }

    /// Call this once everything is written. Stores what the point undoes, and returns its id. If the digests show that
    /// nothing changed, the point is forgotten and there is no id.
    pub(crate) fn finish(self, tx: &mut WriteTx<'_>, undoes: Restored) -> Result<Option<PointId>> {
        if tx.all_stats()? == self.manifest.collections {
            tx.mark_forgotten(self.epoch)?;
            return Ok(None);
        }
        let undoes = widened(tx, self.epoch, undoes)?;
        let id = self.manifest.id.clone();
        tx.put_manifest(self.epoch, &Manifest { undoes: Some(undoes), ..self.manifest })?;
        Ok(Some(id))
    }
}

/// A restore of single records may change others too, such as tasks that waited for one. An undo must revert these as
/// well.
fn widened(tx: &WriteTx<'_>, safety: Epoch, mut restored: Restored) -> Result<Restored> {
    if restored.scope.is_whole() {
        return Ok(restored);
    }
    tx.each_pre_image(safety, tx.epochs().open, |key, _| {
        if !restored.scope.contains(key.row) {
            restored.scope.rows.push(key.row.to_vec());
        }
        Ok(())
    })?;
    Ok(restored)
}

/// Commits a restore or an import that changed something. Aborts one that changed nothing, so that the births of all
/// records stay as they are.
pub(crate) fn outcome<R>(report: R, undo: impl Fn(&R) -> bool) -> Outcome<R> {
    if undo(&report) { Outcome::Commit(report) } else { Outcome::Abort(report) }
}
