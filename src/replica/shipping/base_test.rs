//! A base that cannot be made keeps no commit from the replica, and a gap that is interrupted none from the store.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures_util::poll;
use object_store::ObjectStoreExt;
use serde_json::json;

use super::outgoing::ShipOutcome;
use crate::clock::ManualClock;
use crate::engine::options::Sharing;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::wal::LogFolder;
use crate::error::{ErrorKind, Result};
use crate::replica::bucket::Bucket;
use crate::replica::connection::runtime::block_on;
use crate::replica::gated_test::{Door, Fleet, World, begin_replica, put, shipper_with};
use crate::replica::objects::name::{Folder, ObjectName};
use crate::replica::terms::lease::Lease;
use crate::replica::terms::remote::Remote as _;
use crate::state::INDEXES;
use crate::testkit::checked_store::time;
use crate::testkit::proof::disk::Disk;

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
        door.hold_of("base/");
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

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A row of a table that a base comes to last.
const ROW: &[u8] = b"rot";

fn last_table() -> Table {
    *Table::ALL.last().unwrap()
}

/// A store of more than one part of a base, with a row that is damaged, and all of it in the replica.
async fn damaged(fleet: &Fleet, store: &Store) -> Result<super::ship::Shipper> {
    let mut writer = fleet.shipper(&fleet.world.door().counting(), store).await?;
    let value = json!("x".repeat(1 << 20));
    (0..20).try_for_each(|key| store.write(|tx| tx.config().put(&format!("first-{key}"), &value)))?;
    store.write(|tx| tx.insert(last_table(), ROW, b"rot"))?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    Ok(writer)
}

async fn of_bases(fleet: &Fleet) -> Result<Vec<ObjectName>> {
    fleet.copier(&fleet.world.door()).await?.remote.list(Folder::Bases).await
}

#[test]
fn a_damaged_row_keeps_no_commit_from_the_replica_and_the_parts_of_its_base_are_sent_once() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let mut writer = damaged(&fleet, &store).await?;
        let before = of_bases(&fleet).await?;
        fleet.clock.advance(DAY + Duration::from_secs(60));
        put(&store, 1)?;
        assert_eq!(
            (writer.step().await?, writer.failed_base().map(|(_, late)| late)),
            (ShipOutcome::Done, Some(false))
        );
        assert!(writer.failed_base().unwrap().0.contains("damaged"), "{:?}", writer.failed_base());
        assert_eq!(of_bases(&fleet).await?, before, "the parts that were sent are gone");
        for number in 2..5 {
            put(&store, number)?;
            assert_eq!(writer.step().await?, ShipOutcome::Done);
            assert_eq!(writer.position().unwrap().sequence, store.feed_status()?.unwrap().sequence);
        }
        // The next try reads the store before it sends anything.
        fleet.world.count(None);
        assert_eq!(writer.base().await.unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(fleet.world.requests(), 0);
        fleet.clock.advance(DAY + Duration::from_secs(60));
        assert_eq!(writer.failed_base().map(|(_, late)| late), Some(true));
        store.write(|tx| tx.delete(last_table(), ROW).map(drop))?;
        assert_eq!(writer.base().await?, ShipOutcome::Done);
        assert_eq!(writer.failed_base(), None);
        writer.release().await
    })
    .unwrap();
}

#[test]
fn the_parts_of_the_base_of_a_gap_are_sent_once_too() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let mut writer = damaged(&fleet, &store).await?;
        load(&store)?;
        let before = of_bases(&fleet).await?;
        assert_eq!(writer.step().await.unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(of_bases(&fleet).await?, before, "the parts that were sent are gone");
        fleet.world.count(None);
        for _ in 0..2 {
            assert_eq!(writer.step().await.unwrap_err().kind(), ErrorKind::Damaged);
        }
        assert_eq!(fleet.world.requests(), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_base_that_fails_half_way_leaves_none_of_its_parts_in_the_replica() {
    for is_gap in [false, true] {
        block_on(async {
            let (fleet, store) = Fleet::begin().await?;
            let door = fleet.world.door();
            let mut writer = fleet.shipper(&door, &store).await?;
            let remote = fleet.copier(&door).await?.remote;
            let before = remote.list(Folder::Bases).await?;
            if is_gap {
                load(&store)?;
            } else {
                let value = json!("x".repeat(1 << 20));
                (0..20).try_for_each(|key| store.write(|tx| tx.config().put(&format!("long-{key}"), &value)))?;
                assert_eq!(writer.step().await?, ShipOutcome::Done);
            }
            door.hold_of("/part-00000");
            let mut step = Box::pin(async { if is_gap { writer.step().await } else { writer.base().await } });
            until_asleep(&door, &mut step).await;
            // The name of its second part is taken.
            let second = fleet.world.held().unwrap().replace("part-00000", "part-00001");
            door.put(&second.as_str().into(), "other".into()).await.unwrap();
            assert!(fleet.world.let_go().await);
            door.wake();
            assert_eq!(step.await.unwrap_err().kind(), ErrorKind::Damaged, "is_gap={is_gap}");
            assert_eq!(remote.list(Folder::Bases).await?, before, "is_gap={is_gap}");
            Ok::<_, crate::error::Error>(())
        })
        .unwrap();
    }
}

#[test]
fn a_gap_whose_place_could_not_be_written_down_is_not_sent() {
    block_on(async {
        let (fleet, store) = Fleet::begin().await?;
        let door = fleet.world.door().counting();
        let mut writer = fleet.shipper(&door, &store).await?;
        load(&store)?;
        let slot = writer.position().unwrap().slot;
        door.hold_of("/manifest");
        let mut step = Box::pin(writer.step());
        until_asleep(&door, &mut step).await;
        store.close()?;
        assert!(fleet.world.let_go().await);
        door.wake();
        step.await.unwrap_err();
        // It looks whether the slot of the gap is empty, which it does not while an object is pending there.
        fleet.world.count(None);
        assert!(!writer.is_overtaken().await?);
        assert_eq!(fleet.world.requests(), 1);
        drop(writer);
        let remote = fleet.copier(&door).await?.remote;
        assert!(remote.get(ObjectName::Log(slot)).await?.is_none(), "nobody knows the gap");
        let store = fleet.open(&fleet.path("h.redb"))?;
        let mut writer = fleet.shipper(&door, &store).await?;
        put(&store, 1)?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        writer.release().await
    })
    .unwrap();
}

#[test]
fn a_process_that_begins_on_a_full_disk_ships_all_and_one_that_must_note_its_term_claims_none() {
    for lease in [None, Lease::new(Duration::from_secs(30))] {
        block_on(async {
            let (world, clock, folder) = (World::default(), ManualClock::new(time(0)), tempfile::tempdir()?);
            let disk = Disk::default();
            let options = Store::options().clock(clock.clone()).sharing(Sharing::Exclusive).reserve(false);
            let (again, beside) = (disk.file(), disk.file());
            let log = move || Some(Box::new(beside.folder()) as Box<dyn LogFolder>);
            let store = options.open_over(move || again.clone(), log, &folder.path().join("h.redb"), INDEXES)?;
            begin_replica(&store, Arc::new(world.door()), &clock).await?;
            disk.leave_room(20);
            let number = (0..).find(|number| put(&store, *number).is_err()).unwrap();
            store.reopen()?;
            put(&store, number + 1).unwrap_err();
            let door = Arc::new(world.door());
            let opened = shipper_with(&store, door.clone(), &clock, Duration::from_secs(1), lease).await;
            let bucket = Bucket::of(door);
            let claims = bucket.list(Folder::Terms, None).await?.len();
            match lease {
                None => {
                    let mut writer = opened?;
                    assert_eq!((writer.step().await?, claims), (ShipOutcome::Done, 2));
                    assert_eq!(writer.position().unwrap().sequence, store.feed_status()?.unwrap().sequence);
                }
                Some(_) => assert_eq!((opened.err().map(|error| error.kind()), claims), (Some(ErrorKind::Reopen), 1)),
            }
            Ok::<_, crate::error::Error>(())
        })
        .unwrap();
    }
}
