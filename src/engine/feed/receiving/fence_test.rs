//! A store that was overtaken: no process writes to its file any more, until somebody takes it back.

use jiff::Timestamp;

use super::leave::{LEAP, LEAP_SPREAD, Numbers, Resumed};
use super::overtaken::Fence;
use crate::engine::check::check;
use crate::engine::commit::Outcome;
use crate::engine::feed::marks::row::is_local;
use crate::engine::feed::sending::of_store::Fed;
use crate::engine::feed::test::{again, alone, now, put, shared};
use crate::engine::format::row_change::changes;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::options::Sharing;
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::engine::wal::test::{C, SHORT, options};
use crate::error::{ErrorKind, Hint};

pub(in crate::engine::feed) fn fence() -> Fence {
    Fence { replica: "s3://there/hive".into(), by_term: Some(8), at: Timestamp::UNIX_EPOCH }
}

fn refuses_every_write(store: &Store) {
    let refused = store.write(|tx| tx.put(C, b"late", b"1")).unwrap_err();
    assert_eq!((refused.kind(), refused.hint()), (ErrorKind::Conflict, Some(&Hint::TakeBack)));
    let told = refused.to_string();
    assert!(told.contains("replica=s3://there/hive") && told.contains("by_term=8"), "{told}");
    let refused = [
        store.load(|tx| tx.put(C, b"late", b"1")),
        store.alone(|tx| tx.seal_commit().map(|_| Outcome::Commit(()))),
        store.refuse_unless_writable(),
        store.compact().map(drop),
        store.begin_feed(0),
        store.write_shipped(),
    ];
    refused.into_iter().for_each(|refused| assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict));
    assert_eq!(store.overtaken().unwrap(), Some(fence()));
    assert_eq!(store.view().unwrap().get(C, b"late").unwrap(), None);
}

#[test]
fn every_process_of_a_store_that_was_overtaken_refuses_to_write_and_so_does_every_later_one() {
    let (_folder, store) = shared();
    let beside = again(&store);
    store.begin_feed(0).unwrap();
    put(&store, 1);
    put(&beside, 2);
    beside.at_close(Box::new(|tx| tx.put(C, b"end", b"1")));
    store.fence(&fence()).unwrap();
    // It stands there once.
    store.fence(&Fence { by_term: Some(9), ..fence() }).unwrap();
    for store in [&store, &beside] {
        assert_eq!(store.view().unwrap().get(C, b"a").unwrap().unwrap(), 2_u64.to_be_bytes());
    }
    refuses_every_write(&beside);
    assert!(store.is_overtaken());
    // Nothing of a close is written, and a close is no failure.
    beside.close_file().unwrap();
    store.close_file().unwrap();
    for sharing in [Sharing::Shared, Sharing::Exclusive] {
        let later = Store::options().sharing(sharing).session(false).open_with(store.path(), &[]).unwrap();
        refuses_every_write(&later);
        assert!(later.is_overtaken());
        assert_eq!(later.view().unwrap().get(C, b"end").unwrap(), None);
        later.close_file().unwrap();
    }
}

#[test]
fn a_process_writes_nothing_from_the_moment_on_in_which_it_knows_that_it_was_overtaken() {
    let (logged, (_folder, shared)) = (alone(SHORT), shared());
    for store in [&logged.store, &shared] {
        (0..4).for_each(|number| put(store, number));
        let refused = store.write(|tx| {
            tx.put(C, b"late", b"1")?;
            // No transaction can begin inside of this one, so the row is not written. The process knows it all
            // the same.
            store.fence(&fence()).unwrap_err();
            Ok(())
        });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(store.view().unwrap().get(C, b"late").unwrap(), None);
        // Nothing was uncertain, so the row can still be written.
        store.fence(&fence()).unwrap();
        refuses_every_write(store);
        assert_eq!(store.view().unwrap().get(C, b"a").unwrap().unwrap(), 3_u64.to_be_bytes());
    }
}

#[test]
fn a_store_with_a_log_keeps_the_fence_over_a_kill_and_no_replica_gets_it() {
    let hive = alone(SHORT);
    hive.store.begin_feed(0).unwrap();
    let begun = now(&hive.store);
    (0..20).for_each(|number| hive.put("a", number).unwrap());
    hive.store.fence(&fence()).unwrap();
    let Fed::Commits(commits) = hive.store.feed_after(begun, usize::MAX).unwrap() else { panic!("nothing is lost") };
    assert_eq!(commits.len(), 20);
    let rows = commits.iter().flat_map(|commit| changes(&commit.rows).map(Result::unwrap));
    rows.for_each(|row| assert!(!is_local(row.table, row.key), "{}", row.table.place(row.key)));
    let disk = hive.kill();
    let hive = crate::engine::wal::test::open_with(&disk, options(), None).unwrap();
    assert_eq!(hive.get("a"), Some(19));
    refuses_every_write(&hive.store);
}

const NUMBERS: Numbers<'_> = Numbers { leap: &["never given out"], without_gaps: &["events"] };

#[test]
fn a_store_that_is_taken_back_is_written_to_with_numbers_that_leap() {
    for replica in [None, Some(Resumed { sequence: 3, position: b"there".to_vec() })] {
        let (_folder, store) = shared();
        store.begin_feed(0).unwrap();
        assert_eq!(store.leave_fence(None, NUMBERS, |_| Ok(())).unwrap_err().kind(), ErrorKind::Conflict);
        let count = |tx: &mut crate::engine::write::WriteTx<'_>| Ok((tx.next("token")?, tx.next("events")?));
        store.write(count).unwrap();
        (0..5).for_each(|number| put(&store, number));
        let last = now(&store);
        store.fence(&fence()).unwrap();
        store.close_file().unwrap();
        let store = again(&store);
        // Nothing of a failed attempt stays.
        let failed =
            store.leave_fence(replica.clone(), NUMBERS, |_| Err::<(), _>(crate::Error::conflict("on purpose")));
        failed.unwrap_err();
        refuses_every_write(&store);
        store.leave_fence(replica.clone(), NUMBERS, |tx| tx.put(C, b"settled", b"!")).unwrap();
        store.close_file().unwrap();
        let store = again(&store);
        let (token, events) = store.write(count).unwrap();
        assert!((LEAP..LEAP + LEAP_SPREAD).contains(&(token - 2)) && events == 2, "{token} {events}");
        assert_eq!(store.view().unwrap().get(C, b"settled").unwrap().unwrap(), b"!");
        assert!(check(&store.view().unwrap(), &|_, _| Ok(())).unwrap().is_sound());
        let status = store.feed_status().unwrap();
        assert_eq!(status.is_some(), replica.is_some());
        if let Some(status) = status {
            assert_eq!((status.shipped, &status.position[..]), (3, &b"there"[..]));
            assert!(status.sequence > last + LEAP);
            // Commits of another future are no part of what is shipped.
            assert_eq!(store.feed_after(3, 1).unwrap(), Fed::Gap);
            let outbox =
                store.view().unwrap().rows(Table::Meta, &crate::engine::rows::KeyRange::prefix(meta::OUTBOX), 9);
            assert_eq!(outbox.unwrap().len(), 1, "the commit behind it");
        }
        assert_eq!(store.write(|tx| tx.next("never given out")).unwrap(), token - 1, "all leap by the same");
    }
}

#[test]
fn no_older_program_opens_a_store_with_a_feed_or_a_fence() {
    let format = |store: &Store| store.view().unwrap().row(Table::Meta, meta::FORMAT).unwrap().unwrap();
    let (first, fed) = (1_u64.to_be_bytes(), 3_u64.to_be_bytes());
    let (_folder, store) = shared();
    assert_eq!(format(&store), first);
    store.begin_feed(0).unwrap();
    assert_eq!(format(&store), fed);
    // Neither a log that begins nor the end of the feed takes that back.
    store.end_feed().unwrap();
    store.close_file().unwrap();
    let options = Store::options().sharing(Sharing::Exclusive).session(false).reserve(false);
    let store = options.open_with(store.path(), &[]).unwrap();
    (0..200).for_each(|number| put(&store, number));
    assert!(store.log_status().is_some_and(|log| log.in_use));
    assert_eq!(format(&store), fed);
    let (_folder, store) = shared();
    store.fence(&fence()).unwrap();
    assert_eq!(format(&store), fed);
}
