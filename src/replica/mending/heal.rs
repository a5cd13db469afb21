//! Healing single rows of a living store from its replica.

use serde_json::json;

use super::history::History;
use crate::engine::heal::{Damage, HealReport, Remedies};
use crate::engine::repair::Elsewhere;
use crate::engine::store::Store;
use crate::error::{Error, Result};
use crate::recovery::events::event::EventKind;
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::runtime::block_on;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::restoring::restore::Copier;

/// How a store is healed from its replica.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HealOptions {
    /// The text of an age identity file, for an encrypted replica.
    pub identity: Option<String>,
}

impl std::fmt::Debug for HealOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HealOptions").field("identity", &self.identity.is_some()).finish()
    }
}

impl Store {
    /// Gives rows whose bytes are damaged the bytes back that were written, from the store's replica and from the
    /// commits that the store keeps for it. Others may write meanwhile. Nobody sees a change: versions, pre-images,
    /// points and digests stay as they are. For each transaction of healed rows there is an event `rows_healed`.
    ///
    /// A row is healed only if every change of the store is known up to now, and if the frame fits. The records of a
    /// collection must also add up to its count, its bytes and its digest. All others are refused, with the reasons;
    /// so are rows of pages that cannot be read, for which a [repair](Store::plan_repair_from_replica) is the way. A
    /// heal that was interrupted is done again.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no replica; `Conflict` when the store is in none, when the replica is of another store
    /// or does not have the history of this one, and for a copy that only its replica changes; `Damaged` when too much
    /// is damaged, or an object of the replica is; `Invalid` with a hint when the replica is encrypted for others; the
    /// errors of the bucket, and as a write.
    pub fn heal_from_replica(&self, from: &ReplicaLocation, options: &HealOptions) -> Result<HealReport> {
        let copier = block_on(Copier::open(from, options.identity.as_deref()))?;
        self.heal_from(&copier)
    }

    /// The same from an open replica.
    ///
    /// # Errors
    ///
    /// As [`heal_from_replica`](Self::heal_from_replica).
    pub(super) fn heal_from(&self, copier: &Copier) -> Result<HealReport> {
        // Damaged rows stay as they are: a write refuses to overwrite them.
        let damage = self.find_damage()?;
        if !damage.has_rows() {
            return Ok(damage.refuse_all(""));
        }
        let (position, kept) = self.position_and_kept(&damage)?;
        let mut remedies = Remedies::of(&damage);
        History(copier).each_change(Some(&position), &mut remedies)?;
        let Some(kept) = kept else {
            let why = "the store has commits that the replica does not have, and does not keep them";
            return Ok(damage.refuse_all(why));
        };
        let remedies = remedies.followed_by(kept);
        let store = self.doing("heal", Some(copier.from.clone()));
        store.put_remedies(damage.judge(remedies)?, |tx, rows| {
            tx.events().append(EventKind::RowsHealed, json!({"rows": rows, "replica": copier.from})).map(drop)
        })
    }

    /// How far the replica is, and what the store keeps behind that: before the replica is read, since meanwhile the
    /// store keeps no longer what is shipped.
    fn position_and_kept(&self, damage: &Damage) -> Result<(Vec<u8>, Option<Remedies>)> {
        let mut before = None;
        loop {
            let status = self.feed_status()?.filter(|status| !status.position.is_empty());
            let status = status.ok_or_else(|| Error::conflict("the store is in no replica yet; initialize one"))?;
            let shipped = ShippedTo::of_bytes(&status.position)?.sequence;
            let kept = Remedies::kept(damage, self, shipped, status.sequence)?;
            // It may have been shipped between the two.
            if kept.is_some() || before == Some(shipped) {
                return Ok((status.position, kept));
            }
            before = Some(shipped);
        }
    }
}
