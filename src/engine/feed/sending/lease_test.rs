//! The lease of a process that ships.

use std::time::Duration;

use crate::clock::boot_time;
use crate::engine::options::Durability;
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};

const C: CollectionId = CollectionId::CONFIG;
const SOON: Duration = Duration::from_millis(300);

#[test]
fn nothing_is_written_without_the_lease_and_nobody_is_answered_behind_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
    let put = |store: &Store, value: u8, wait: Duration| {
        store.write(|tx| {
            std::thread::sleep(wait);
            tx.put(C, b"key", &[value])
        })
    };
    let kind = |done: Result<()>| done.unwrap_err().kind();
    let get = || store.view().unwrap().get(C, b"key").unwrap();
    put(&store, 1, Duration::ZERO).unwrap();
    assert_eq!(store.lease_left(), None);
    store.need_lease(true);
    for handle in [store.clone(), store.with_durability(Durability::Disk)] {
        assert_eq!(kind(put(&handle, 2, Duration::ZERO)), ErrorKind::NotCommitted);
    }
    assert_eq!(get(), Some(vec![1]));
    store.hold_lease(boot_time() + Duration::from_secs(60));
    put(&store, 3, Duration::ZERO).unwrap();
    // It begins in time, and ends late.
    store.hold_lease(boot_time() + SOON);
    assert_eq!(kind(put(&store, 4, 2 * SOON)), ErrorKind::Uncertain);
    assert_eq!(get(), Some(vec![4]));
    store.hold_lease(boot_time() + SOON);
    let looked = store.write(|tx| {
        std::thread::sleep(2 * SOON);
        tx.get(C, b"key").map(drop)
    });
    assert_eq!(kind(looked), ErrorKind::NotCommitted);
    // Nobody is answered for this.
    put(&store.locally(), 5, Duration::ZERO).unwrap();
    store.need_lease(false);
    put(&store, 6, Duration::ZERO).unwrap();
}
