//! Writes that wait for the replica: each is answered once the replica has it, and none waits for ever.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::shipping::AwaitedShipping;
use crate::engine::commit::Outcome;
use crate::engine::feed::receiving::fence_test::fence;
use crate::engine::options::{Durability, Sharing};
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};

const C: CollectionId = CollectionId::CONFIG;
/// Nothing below takes a tenth of it.
const LONGEST: Duration = Duration::from_secs(60);
/// The limit of a wait that no test reaches.
const NEVER: Duration = Duration::from_secs(3600);
/// A write that waits still does after this.
const A_MOMENT: Duration = Duration::from_millis(30);

struct Hive {
    _folder: tempfile::TempDir,
    /// Its writes are answered once they are on the disk.
    store: Store,
    /// Its writes wait for the replica.
    waits: Store,
}

fn hive(sharing: Sharing) -> Hive {
    let folder = tempfile::tempdir().unwrap();
    let options = Store::options().sharing(sharing).durability(Durability::Replicated).reserve(false);
    let waits = options.open_with(&folder.path().join("h.redb"), &[]).unwrap();
    let store = waits.locally();
    store.begin_feed(0).unwrap();
    Hive { _folder: folder, store, waits }
}

fn put(store: &Store, value: u8) -> Result<()> {
    store.write(|tx| tx.put(C, b"key", &[value]))
}

impl Hive {
    /// Tells that the replica has everything.
    fn ship(&self) {
        let status = self.store.feed_status().unwrap().unwrap();
        self.store.note_replicated(status.id, status.sequence);
    }

    fn value(&self) -> Option<Vec<u8>> {
        self.store.write(|tx| tx.get(C, b"key")).unwrap()
    }

    /// Begins to ship, and gives the calls of those who begin to wait.
    fn ships(&self) -> (AwaitedShipping, Receiver<()>) {
        let (shipping, (wakes, woken)) = (self.store.begin_shipping(NEVER), channel());
        shipping.wake_by(Arc::new(move || wakes.send(()).unwrap_or_default()));
        (shipping, woken)
    }

    /// Does something on another thread that waits.
    fn begin<R: Send + 'static>(&self, work: impl FnOnce(&Store) -> Result<R> + Send + 'static) -> Waiting<R> {
        let (tell, told) = channel();
        let store = self.waits.clone();
        std::thread::spawn(move || drop(tell.send(work(&store))));
        Waiting(told)
    }
}

/// Returns once so many more wait.
fn wait_for(woken: &Receiver<()>, many: usize) {
    (0..many).for_each(|_| woken.recv_timeout(LONGEST).unwrap());
}

struct Waiting<R>(Receiver<Result<R>>);

impl<R> Waiting<R> {
    fn assert_waits(&self) {
        assert!(matches!(self.0.recv_timeout(A_MOMENT), Err(RecvTimeoutError::Timeout)), "it was answered");
    }

    fn answer(self) -> Result<R> {
        self.0.recv_timeout(LONGEST).expect("it waits for ever")
    }
}

#[test]
fn a_write_is_answered_once_the_replica_has_it_and_wakes_whoever_ships() {
    for sharing in [Sharing::Shared, Sharing::Exclusive] {
        let hive = hive(sharing);
        let (_shipping, woken) = hive.ships();
        for value in 1..6 {
            let write = hive.begin(move |store| put(store, value));
            wait_for(&woken, 1);
            write.assert_waits();
            hive.ship();
            write.answer().unwrap();
            assert_eq!(hive.value(), Some(vec![value]));
        }
    }
}

#[test]
fn work_alone_waits_too_and_so_does_whoever_only_saw_or_failed() {
    let hive = hive(Sharing::Exclusive);
    let (_shipping, woken) = hive.ships();
    let alone = hive.begin(|store| store.alone(|tx| tx.put(C, b"key", b"alone").map(Outcome::Commit)));
    wait_for(&woken, 1);
    alone.assert_waits();
    hive.ship();
    alone.answer().unwrap();
    put(&hive.store, 7).unwrap();
    let looks = hive.begin(|store| store.write(|tx| tx.get(C, b"key")));
    let fails = hive.begin(|store| store.write(|_| Err::<(), _>(Error::invalid("seen"))));
    wait_for(&woken, 2);
    looks.assert_waits();
    fails.assert_waits();
    hive.ship();
    assert_eq!(looks.answer().unwrap(), Some(vec![7]));
    assert_eq!(fails.answer().unwrap_err().to_string(), "seen");
}

#[test]
fn a_write_for_the_disk_waits_for_no_replica() {
    let hive = hive(Sharing::Exclusive);
    put(&hive.store, 1).unwrap();
    assert_eq!(hive.waits.durability(), Durability::Replicated);
    put(&hive.waits.with_durability(Durability::System), 2).unwrap();
}

#[test]
fn without_a_process_that_ships_nothing_is_written() {
    let hive = hive(Sharing::Exclusive);
    assert_eq!(put(&hive.waits, 1).unwrap_err().kind(), ErrorKind::Conflict);
    drop(hive.store.begin_shipping(NEVER));
    assert_eq!(put(&hive.waits, 1).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(hive.value(), None);
}

#[test]
fn a_change_that_the_replica_does_not_get_in_time_is_uncertain_and_a_look_is_not() {
    let hive = hive(Sharing::Exclusive);
    let _shipping = hive.store.begin_shipping(Duration::from_millis(1));
    assert_eq!(put(&hive.waits, 1).unwrap_err().kind(), ErrorKind::Uncertain);
    assert_eq!(hive.value(), Some(vec![1]), "it is on the disk");
    let looked = hive.waits.write(|tx| tx.get(C, b"key"));
    assert_eq!(looked.unwrap_err().kind(), ErrorKind::NotCommitted);
    // Nothing need be reopened.
    hive.ship();
    assert_eq!(hive.waits.write(|tx| tx.get(C, b"key")).unwrap(), Some(vec![1]));
}

#[test]
fn a_replica_that_is_away_for_longer_than_a_write_waits_is_known_before_anything_is_written() {
    let hive = hive(Sharing::Exclusive);
    let limit = Duration::from_millis(20);
    let shipping = hive.store.begin_shipping(limit);
    shipping.note_reached(false);
    std::thread::sleep(limit);
    shipping.note_reached(false);
    assert_eq!(put(&hive.waits, 1).unwrap_err().kind(), ErrorKind::NotCommitted);
    assert_eq!(hive.value(), None);
    shipping.note_reached(true);
    assert_eq!(put(&hive.waits, 1).unwrap_err().kind(), ErrorKind::Uncertain);
}

#[test]
fn the_end_of_shipping_a_fence_and_a_close_wake_all_who_wait() {
    for closes in [false, true] {
        let hive = hive(Sharing::Exclusive);
        let (_shipping, woken) = hive.ships();
        let waiting: Vec<_> = (0..4).map(|value| hive.begin(move |store| put(store, value))).collect();
        wait_for(&woken, 4);
        waiting.iter().for_each(Waiting::assert_waits);
        if closes {
            hive.store.close_file().unwrap();
        } else {
            hive.store.fence(&fence()).unwrap();
        }
        for write in waiting {
            assert_eq!(write.answer().unwrap_err().kind(), ErrorKind::Uncertain, "closes={closes}");
        }
    }
    let hive = hive(Sharing::Exclusive);
    let (shipping, woken) = hive.ships();
    let waiting: Vec<_> = (0..4).map(|value| hive.begin(move |store| put(store, value))).collect();
    wait_for(&woken, 4);
    waiting.iter().for_each(Waiting::assert_waits);
    drop(shipping);
    for write in waiting {
        assert_eq!(write.answer().unwrap_err().kind(), ErrorKind::Uncertain);
    }
}

#[test]
fn a_write_that_the_replica_has_is_answered_although_the_process_is_fenced_then() {
    let hive = hive(Sharing::Exclusive);
    let (shipping, woken) = hive.ships();
    let write = hive.begin(|store| put(store, 1));
    wait_for(&woken, 1);
    hive.ship();
    hive.store.fence(&fence()).unwrap();
    drop(shipping);
    write.answer().unwrap();
    assert_eq!(put(&hive.waits, 2).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn an_older_moment_and_one_of_another_feed_answer_nobody() {
    let hive = hive(Sharing::Exclusive);
    let (_shipping, woken) = hive.ships();
    let status = hive.store.feed_status().unwrap().unwrap();
    let write = hive.begin(|store| put(store, 1));
    wait_for(&woken, 1);
    hive.store.note_replicated(status.id, status.sequence);
    hive.store.note_replicated(status.id ^ 1, u64::MAX);
    write.assert_waits();
    hive.ship();
    write.answer().unwrap();
}

#[test]
fn writers_that_come_back_are_waited_for_a_moment() {
    let hive = hive(Sharing::Exclusive);
    let (shipping, woken) = hive.ships();
    // Nobody waits, so nobody is waited for.
    shipping.gather(NEVER);
    let writes: Vec<_> = (0..3).map(|value| hive.begin(move |store| put(store, value))).collect();
    wait_for(&woken, 3);
    hive.ship();
    writes.into_iter().for_each(|write| write.answer().unwrap());
    let again: Vec<_> = (0..3).map(|value| hive.begin(move |store| put(store, value))).collect();
    wait_for(&woken, 1);
    shipping.gather(NEVER);
    hive.ship();
    again.into_iter().for_each(|write| write.answer().unwrap());
    wait_for(&woken, 2);
    let one = hive.begin(|store| put(store, 9));
    wait_for(&woken, 1);
    shipping.gather(A_MOMENT);
    hive.ship();
    one.answer().unwrap();
}

#[test]
fn while_a_request_is_not_answered_for_longer_than_a_write_waits_the_next_write_is_refused_at_once() {
    let hive = hive(Sharing::Exclusive);
    let _shipping = hive.store.begin_shipping(Duration::from_millis(1));
    hive.store.note_answered(false);
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(put(&hive.waits, 1).unwrap_err().kind(), ErrorKind::NotCommitted);
    assert_eq!(hive.value(), None, "nothing was written");
    hive.store.note_answered(true);
    assert_eq!(put(&hive.waits, 1).unwrap_err().kind(), ErrorKind::Uncertain);
}
