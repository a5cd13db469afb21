//! Whatever cannot be opened says what it is and what to do, and is left as it was, byte for byte.

use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Database, StorageBackend, TableDefinition};

use crate::engine::format::epoch::Epoch;
use crate::engine::format::frame::{self, State};
use crate::engine::format::schema::{CollectionId, FORMAT_VERSION, Table};
use crate::engine::meta;
use crate::engine::opening::options::{Options, Sharing, VerifyOnOpen};
use crate::engine::redb_file::{WRITER, definition};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind};

struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    Fixture { path, _folder: folder }
}

fn open(path: &Path, options: Options) -> crate::Result<Store> {
    options.open_with(path, &[])
}

/// Every way of opening is refused alike, and the file stays as it was.
fn refused(path: &Path) -> Error {
    let before = fs::read(path).ok();
    let ways = [
        Store::options(),
        Store::options().create(false),
        Store::options().read_only(true),
        Store::options().sharing(Sharing::Exclusive),
        Store::options().verify_on_open(VerifyOnOpen::Always),
    ];
    let errors: Vec<_> = ways.into_iter().map(|options| open(path, options).unwrap_err()).collect();
    assert!(fs::read(path).ok() == before, "the file was changed");
    assert!(errors.iter().all(|error| error.to_string() == errors[0].to_string()), "{errors:#?}");
    errors.into_iter().next().unwrap()
}

/// A store with one record, closed.
fn store(path: &Path) {
    let store = open(path, Store::options()).unwrap();
    store.write(|tx| tx.put(CollectionId::CONFIG, b"k", b"v")).unwrap();
    store.close_file().unwrap();
}

/// Replaces a row of `meta`, with a sound frame.
fn put_meta(path: &Path, key: &[u8], payload: &[u8]) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, Table::Meta.place(key), Epoch(0), State::Present(payload));
    transaction.open_table(definition(Table::Meta)).unwrap().insert(key, bytes.as_slice()).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn where_no_store_is_and_none_may_be_created_the_error_has_a_hint() {
    let Fixture { path, .. } = &fixture();
    for options in [Store::options().create(false), Store::options().read_only(true)] {
        let error = open(path, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoStore);
        assert_eq!(error.to_string(), format!("no store at {}", path.display()));
        assert_eq!(error.hint(), Some(&crate::error::Hint::NameStore));
    }
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_no_store_is_named_and_left_alone() {
    let long = [&b"redb is not what this begins with"[..]; 400].concat();
    for (content, why) in [
        (&b""[..], "it is too short"),
        (b"redb", "it is too short"),
        (&[0; 9], "it does not begin like one"),
        (&long, "it does not begin like one"),
    ] {
        let Fixture { path, .. } = &fixture();
        fs::write(path, content).unwrap();
        let error = refused(path);
        assert_eq!(error.kind(), ErrorKind::NotAStore);
        assert_eq!(error.to_string(), format!("{} is not a store: {why}", path.display()));
    }
}

#[test]
fn a_directory_is_named_as_one() {
    let Fixture { path, .. } = &fixture();
    fs::create_dir(path).unwrap();
    let error = refused(path);
    assert_eq!(error.kind(), ErrorKind::NotAStore);
    assert_eq!(error.to_string(), format!("{} is not a store: it is a directory", path.display()));
}

#[test]
fn a_redb_file_of_another_program_is_left_alone() {
    let Fixture { path, .. } = &fixture();
    for table in ["something", "meta"] {
        let database = Database::create(path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u64, u64>::new(table)).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = refused(path);
        assert_eq!(error.kind(), ErrorKind::NotAStore, "{error}");
        let message = format!("{} is not a store: it is a redb file of another program", path.display());
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_redb_file_of_another_program_that_was_not_closed_is_left_alone() {
    let Fixture { path, .. } = &fixture();
    let live = path.with_extension("live");
    let database = Database::create(&live).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("something")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    fs::copy(&live, path).unwrap();
    let error = refused(path);
    assert_eq!(error.kind(), ErrorKind::NotAStore, "{error}");
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let Fixture { path, .. } = &fixture();
    store(path);
    let newer = FORMAT_VERSION + 1;
    put_meta(path, meta::FORMAT, &newer.to_be_bytes());
    let error = refused(path);
    assert_eq!(error.kind(), ErrorKind::NewerFormat);
    let message = format!(
        "{} was written by a newer version; use that version: format={newer} known={FORMAT_VERSION}",
        path.display()
    );
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_header_that_is_damaged_is_damage_and_is_left_alone() {
    let Fixture { path, .. } = &fixture();
    store(path);
    let mut bytes = fs::read(path).unwrap();
    bytes[64..4096].fill(0xFF);
    fs::write(path, bytes).unwrap();
    let error = refused(path);
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error:?}");
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_an_error_of_the_system() {
    use std::os::unix::fs::PermissionsExt;
    let Fixture { path, .. } = &fixture();
    store(path);
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(path).is_ok() {
        println!("skipped: this user may read every file");
        return;
    }
    let error = refused(path);
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().to_lowercase().contains("permission denied"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_store_is_followed_and_a_link_to_nothing_is_named() {
    let Fixture { path, .. } = &fixture();
    let link = path.with_extension("link");
    std::os::unix::fs::symlink(path, &link).unwrap();
    let error = open(&link, Store::options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoStore);
    let message = format!("{} is a symbolic link to nothing; remove it or name its target", link.display());
    assert_eq!(error.to_string(), message);
    store(path);
    let opened = open(&link, Store::options()).unwrap();
    assert_eq!(opened.path(), path.canonicalize().unwrap(), "what lies beside the store is looked for beside the file");
}

/// A store with one record, as a killed process leaves it.
fn killed_store(path: &Path) {
    let live = path.with_extension("live");
    let store = open(&live, Store::options()).unwrap();
    store.write(|tx| tx.put(CollectionId::CONFIG, b"k", b"v")).unwrap();
    fs::copy(&live, path).unwrap();
}

#[test]
fn several_that_come_at_once_after_a_crash_all_get_in() {
    let Fixture { path, .. } = &fixture();
    for round in 0..8 {
        killed_store(path);
        std::thread::scope(|scope| {
            for way in 0..4 {
                let options = Store::options().read_only(way == 3 && round % 2 == 1);
                scope.spawn(move || open(path, options).unwrap().view().unwrap());
            }
        });
    }
}

#[test]
fn opening_waits_for_a_writer_up_to_the_lock_timeout() {
    let Fixture { path, .. } = &fixture();
    store(path);
    let writing = FileBackend::new(fs::File::open(path).unwrap()).unwrap();
    let byte = Bound::Included(WRITER);
    assert!(writing.try_lock_shared_range(byte, byte).unwrap());
    let error = open(path, Store::options().lock_timeout(Duration::from_millis(50))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().ends_with("by another process; try again later"), "{error}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| open(path, Store::options()).map(drop));
        std::thread::sleep(Duration::from_millis(20));
        drop(writing);
        waiting.join().unwrap().unwrap();
    });
}

/// Makes a small store that is closed, and changes a bit of its one value.
fn damaged(path: &Path, options: Options) {
    let store = open(path, options).unwrap();
    store.write(|tx| tx.put(CollectionId::CONFIG, b"k", b"as it was written")).unwrap();
    store.close_file().unwrap();
    let mut bytes = fs::read(path).unwrap();
    let value = bytes.windows(17).rposition(|bytes| bytes == b"as it was written").unwrap();
    bytes[value] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_reader_of_a_small_closed_file_learns_of_damaged_pages_too() {
    let Fixture { path, .. } = &fixture();
    damaged(path, Store::options());
    open(path, Store::options().read_only(true).verify_on_open(VerifyOnOpen::Never)).unwrap();
    for verify in [VerifyOnOpen::Auto, VerifyOnOpen::Always] {
        let error = open(path, Store::options().read_only(true).verify_on_open(verify)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
}

#[test]
fn a_small_closed_file_is_verified_when_it_is_opened_in_any_way_of_sharing() {
    for sharing in [Sharing::Shared, Sharing::Exclusive] {
        let Fixture { path, .. } = &fixture();
        let options = || Store::options().sharing(sharing);
        damaged(path, options());
        assert_eq!(open(path, options()).unwrap_err().kind(), ErrorKind::Damaged, "{sharing:?}");
    }
}

#[test]
fn a_store_that_another_machine_wrote_is_verified_once_and_is_this_machines_from_then_on() {
    let Fixture { path, .. } = &fixture();
    store(path);
    let host = || {
        let store = open(path, Store::options().read_only(true)).unwrap();
        let view = store.view().unwrap();
        crate::engine::records::Records::row(&view, Table::Meta, meta::HOST).unwrap().unwrap()
    };
    let own = host();
    put_meta(path, meta::HOST, b"another");
    open(path, Store::options().verify_on_open(VerifyOnOpen::Never)).unwrap().close_file().unwrap();
    assert_eq!(host(), b"another");
    open(path, Store::options()).unwrap().close_file().unwrap();
    assert_eq!(host(), own);
}

#[test]
fn a_store_that_somebody_has_open_alone_is_locked_for_all_others() {
    let fixture = fixture();
    let alone = open(&fixture.path, Store::options().sharing(Sharing::Exclusive)).unwrap();
    for options in [Store::options(), Store::options().sharing(Sharing::Exclusive)] {
        let error = open(&fixture.path, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        let message = error.to_string();
        assert!(message.contains("is locked by") && message.ends_with("open both in shared mode"), "{message}");
    }
    alone.close_file().unwrap();
    open(&fixture.path, Store::options()).unwrap();
}
