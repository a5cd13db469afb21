//! A gap that is interrupted does not part the store from its replica.

use std::fs;
use std::time::Duration;

use futures_util::poll;
use serde_json::json;

use super::gated_test::{Door, Fleet, put};
use super::outgoing::ShipOutcome;
use super::runtime::block_on;
use crate::engine::store::Store;
use crate::error::Result;

/// More than a store keeps for its replica in one commit.
fn load(store: &Store) -> Result<()> {
    let value = json!("x".repeat(1 << 20));
    store.load(|tx| (0..20).try_for_each(|key| tx.config().put(&format!("long-{key}"), &value)))
}

/// The files of a store as a kill would leave them, under another name.
fn image(fleet: &Fleet) -> Result<Store> {
    for entry in fs::read_dir(fleet.folder.path())? {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap()))?;
        if name == "h.redb" || name.starts_with("h.redb.wal.") {
            fs::copy(from, fleet.path(&name.replacen("h.", "copy.", 1)))?;
        }
    }
    fleet.open(&fleet.path("copy.redb"))
}

/// Lets a step work until an object that it sends is held.
async fn until_asleep(door: &Door, step: &mut (impl Future<Output = Result<ShipOutcome>> + Unpin)) {
    tokio::task::yield_now().await;
    while !door.is_asleep() {
        assert!(poll!(&mut *step).is_pending());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_process_that_is_killed_during_the_base_of_a_gap_goes_on_also_if_it_shipped_beside_the_large_commit() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let door = fleet.world.door();
        let mut writer = fleet.shipper(&door, &store).await?;
        put(&store, 4)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        let before = store.feed_status()?.unwrap();
        put(&store, 5)?;
        door.hold();
        let mut step = Box::pin(writer.step());
        until_asleep(&door, &mut step).await;
        // The large commit has asked how far the replica is, and is being written while the next object is sent.
        store.note_shipped(before.id, before.shipped, before.position);
        load(&store)?;
        assert!(fleet.world.let_go().await);
        door.wake();
        door.hold();
        // A part of the base is on its way.
        until_asleep(&door, &mut step).await;
        let copy = image(&fleet)?;
        drop(step);
        let mut next = fleet.shipper(&fleet.world.door(), &copy).await?;
        put(&copy, 6)?;
        assert_eq!(next.step().await?, ShipOutcome::Done);
        assert!(copy.overtaken()?.is_none());
        Ok(())
    })
    .unwrap();
}
