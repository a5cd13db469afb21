//! Reading pages past redb gives the rows that redb reads, whatever others write meanwhile, or an error.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU32};

use super::*;
use crate::engine::check::check;
use crate::engine::check::walk::{Way, walk};
use crate::engine::format::schema::CollectionId;
use crate::engine::opening::options::{Sharing, VerifyOnOpen};
use crate::engine::store::Store;
use crate::engine::view::View;

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// The store to which another process writes.
const STORE: &str = "HIVEKEEP_TEST_SNAPSHOT";

fn rows(view: &View, way: Way, table: Table) -> Result<Rows> {
    let collect = |rows: &mut Rows, key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        Ok(())
    };
    let mut rows = walk(view, way, table, &|_| Ok(()), collect)?.concat();
    rows.sort();
    Ok(rows)
}

fn open(path: &Path) -> Store {
    Store::options().verify_on_open(VerifyOnOpen::Never).open_with(path, &[]).unwrap()
}

/// Keys in no order.
fn key(number: u32) -> [u8; 4] {
    number.wrapping_mul(0x9E37_79B9).to_be_bytes()
}

fn load(store: &Store, records: u32, bytes: usize) {
    let put = |number| store.write(|tx| tx.put(CollectionId::CONFIG, &key(number), &vec![7; bytes]));
    (0..records.min(3)).for_each(|number| put(number).unwrap());
    store
        .load(|tx| (3..records).try_for_each(|number| tx.put(CollectionId::CONFIG, &key(number), &vec![7; bytes])))
        .unwrap();
}

#[test]
fn pages_have_the_rows_that_redb_reads() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("h.redb"));
    for (records, bytes) in [(1, 0), (3, 30_000), (2, (5 << 20) + 1), (20_000, 90)] {
        load(&store, records, bytes);
        store.alone(|tx| tx.seal_commit().map(crate::engine::commit::Outcome::Commit)).unwrap();
        store.write(|tx| tx.remove(CollectionId::CONFIG, &key(0))).unwrap();
        let view = store.view_of_all().unwrap();
        for table in Table::ALL {
            let read = rows(&view, Way::Redb, table).unwrap();
            assert!(rows(&view, Way::Pages, table).unwrap() == read, "{table:?}");
            let least = match table {
                Table::Live => records - 1,
                Table::Tombstones => 1,
                _ => 0,
            };
            assert!(read.len() >= least as usize, "{table:?}");
        }
        assert!(check(&view, &|_, _| Ok(())).unwrap().is_sound());
    }
}

/// Overwrites records, each with the next number, until it is told to stop or killed.
fn overwrite(store: &Store, stop: &AtomicBool) {
    let mut number = 0u32;
    while !stop.load(Ordering::Relaxed) {
        let put = |tx: &mut crate::engine::write::WriteTx<'_>| {
            (0..20).try_for_each(|at| tx.put(CollectionId::CONFIG, &key((number * 7 + at) % 6000), &[number as u8; 90]))
        };
        store.write(put).unwrap();
        number += 1;
    }
}

#[test]
fn the_child_writes_until_it_is_killed() {
    if let Some(path) = std::env::var_os(STORE) {
        overwrite(&open(&PathBuf::from(path)), &AtomicBool::new(false));
    }
}

/// Ends with the test.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn writing_process(path: &Path) -> Writer {
    let test = "engine::redb_file::pages::snapshot::test::the_child_writes_until_it_is_killed";
    let mut command = Command::new(std::env::current_exe().unwrap());
    Writer(command.args(["--exact", test]).env(STORE, path).spawn().unwrap())
}

#[test]
fn beside_writers_in_threads_and_processes_the_rows_are_those_of_the_view() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = open(&path);
    load(&store, 6000, 90);
    let (stop, taken, transactions) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| overwrite(&store, &stop));
        let writer = writing_process(&path);
        let look = |store: &Store| {
            let view = store.view_of_all().unwrap();
            transactions.fetch_add(1, Ordering::Relaxed);
            if view.snapshot().is_some() {
                taken.fetch_add(1, Ordering::Relaxed);
                for table in [Table::Live, Table::Tombstones, Table::Meta] {
                    let read = rows(&view, Way::Redb, table);
                    let pages = rows(&view, Way::Pages, table);
                    assert!(pages.unwrap() == read.unwrap(), "{table:?}");
                }
            }
            assert!(check(&view, &|_, _| Ok(())).unwrap().is_sound());
        };
        let reader = Store::options().read_only(true).session(false).open_with(&path, &[]).unwrap();
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..15).for_each(|_| [&store, &reader].into_iter().for_each(look));
        }));
        stop.store(true, Ordering::Relaxed);
        drop(writer);
        looked.unwrap();
    });
    let (taken, of) = (taken.into_inner(), transactions.into_inner());
    assert!(taken * 2 > of, "snapshots={taken} views={of}");
}

#[test]
fn a_store_that_may_be_behind_its_file_or_over_it_is_not_read_from_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    load(&open(&path), 10, 10);
    let options = [Store::options().sharing(Sharing::Exclusive), Store::options().untouched()];
    for options in options {
        let store = options.session(false).open_with(&path, &[]).unwrap();
        let view = store.view_of_all().unwrap();
        assert!(view.snapshot().is_none());
        assert_eq!(check(&view, &|_, _| Ok(())).unwrap().records, 10);
        drop(view);
        store.close_file().unwrap();
    }
    assert!(open(&path).view_of_all().unwrap().snapshot().is_some());
}

/// Enough for two levels of branches.
const RECORDS: u32 = 1500;

/// A store whose table of records has two levels of branches, closed, and where the first branch above leaves is.
fn sample(path: &Path) -> (Vec<u8>, usize) {
    let store = open(path);
    load(&store, RECORDS, 900);
    store.close_file().unwrap();
    let store = open(path);
    let view = store.view_of_all().unwrap();
    let snapshot = view.snapshot().unwrap();
    let bytes_left = AtomicU64::new(u64::MAX);
    let mut reader = Reader::new(&snapshot.file, &bytes_left).unwrap();
    let tables = snapshot.tables().unwrap();
    let (_, root, _) = tables.into_iter().find(|(name, ..)| name == "live").unwrap();
    assert_eq!(reader.branches_above_leaves(root.unwrap()).unwrap(), 2);
    let page = reader.read(reader.pages.place(root.unwrap().page)).unwrap();
    let first = links(page).next().unwrap();
    let at = usize::try_from(reader.pages.place(first.page).offset).unwrap();
    drop(view);
    store.close_file().unwrap();
    (std::fs::read(path).unwrap(), at)
}

/// A change of the bytes of a file.
type Change<'a> = &'a dyn Fn(&mut Vec<u8>);

/// The rows of the records, read from the pages.
fn pages_of(path: &Path, bytes: &[u8]) -> Result<Rows> {
    std::fs::write(path, bytes).unwrap();
    let options = Store::options().session(false).read_only(true).verify_on_open(VerifyOnOpen::Never);
    let store = options.open_with(path, &[]).unwrap();
    rows(&store.view_of_all().unwrap(), Way::Pages, Table::Live)
}

#[test]
fn a_tree_that_leads_astray_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let (good, at) = sample(&path);
    assert_eq!(pages_of(&path, &good).unwrap().len(), RECORDS as usize);
    let children = usize::from(u16::from_le_bytes([good[at + 2], good[at + 3]])) + 1;
    let number = |child: usize| at + 8 + 16 * children + 8 * child;
    let own_number = {
        let place = (at as u64 - PAGE_SIZE) / PAGE_SIZE;
        place.to_le_bytes()
    };
    let wrong: [(&str, Change<'_>); 6] = [
        ("two leaves have changed places", &|bytes| {
            let (one, other) = (number(1), number(2));
            (0..8).for_each(|byte| bytes.swap(one + byte, other + byte));
        }),
        ("a leaf is there twice", &|bytes| bytes.copy_within(number(1)..number(1) + 8, number(2))),
        ("a branch leads to itself", &|bytes| bytes[number(0)..number(0) + 8].copy_from_slice(&own_number)),
        ("a branch has one child less", &|bytes| bytes[at + 2] -= 1),
        ("a branch is a leaf", &|bytes| bytes[at] = LEAF),
        ("a leaf has one row less", &|bytes| {
            let index = u64::from_le_bytes(bytes[number(3)..number(3) + 8].try_into().unwrap());
            let leaf = 4096 * (1 + usize::try_from(index & 0xF_FFFF).unwrap());
            assert_eq!(bytes[leaf], LEAF);
            bytes[leaf + 2] -= 1;
        }),
    ];
    for (what, wrong) in wrong {
        let mut bytes = good.clone();
        wrong(&mut bytes);
        assert!(pages_of(&path, &bytes).is_err(), "{what}");
    }
}

#[test]
fn damage_is_named_as_redb_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let (good, at) = sample(&path);
    let mut found = 0;
    // Through the branch, the pages around it, and the header.
    let bytes = (at - 40_960..at + 40_960).step_by(731).chain((at..at + 4096).step_by(227)).chain([9, 70, 200]);
    for byte in bytes {
        let mut bytes = good.clone();
        bytes[byte] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let report = |view: fn(&Store) -> Result<View>| {
            let options = Store::options().session(false).read_only(true).verify_on_open(VerifyOnOpen::Never);
            let store = options.open_with(&path, &[])?;
            check(&view(&store)?, &|_, _| Ok(()))
        };
        match (report(Store::view_of_all), report(Store::view)) {
            (Ok(one), Ok(other)) => {
                assert_eq!((one.findings, one.found, one.records), (other.findings, other.found, other.records));
                found += u32::from(other.found > 0);
            }
            (one, other) => assert_eq!(one.map_err(|e| e.kind()).err(), other.map_err(|e| e.kind()).err(), "{byte}"),
        }
    }
    assert!(found > 5, "{found}");
}
