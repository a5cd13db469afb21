//! A gallery of damaged, foreign and hostile archives: each is refused by name, and changes nothing.

use std::io::{Read, Write};
use std::path::PathBuf;

use hivekeep::{ErrorKind, ExportOptions, ImportOptions, Store};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use crate::hive::Hive;

/// An archive that was taken apart.
struct Apart {
    hive: Hive,
    entries: Vec<(String, Vec<u8>)>,
}

impl Apart {
    fn new() -> Self {
        let hive = Hive::full();
        hive.export("a.tar.gz");
        let file = std::fs::File::open(hive.path("a.tar.gz")).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let (name, mut bytes) = (entry.path().unwrap().to_str().unwrap().to_owned(), Vec::new());
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        });
        let entries = entries.collect();
        Self { hive, entries }
    }

    fn bytes(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.entries.iter_mut().find(|(of, _)| of == name).unwrap().1
    }

    fn at(&self, name: &str) -> usize {
        self.entries.iter().position(|(of, _)| of == name).unwrap()
    }

    /// Puts in the sums that the entries now have, as a forger would.
    fn sum(&mut self) {
        let sums = self.entries.iter().filter(|(name, _)| name != "SHA256SUMS");
        let sums = sums.map(|(name, bytes)| {
            let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{sum}  {name}\n")
        });
        *self.bytes("SHA256SUMS") = sums.collect::<String>().into_bytes();
    }

    fn tar(&self) -> tar::Builder<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        self.entries.iter().for_each(|(name, bytes)| append(&mut tar, name, EntryType::Regular, bytes));
        tar
    }

    fn write(&self, tar: Vec<u8>) -> PathBuf {
        self.write_packed(&packed(&tar))
    }

    fn write_packed(&self, bytes: &[u8]) -> PathBuf {
        let path = self.hive.path("bad.tar.gz");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Why what it has become is refused.
    fn refused(&self) -> (ErrorKind, String) {
        let path = self.write(self.tar().into_inner().unwrap());
        self.hive.refused(&path)
    }

    /// The same, for damage; the message names this.
    fn damaged(&self, naming: &str) {
        let (kind, message) = self.refused();
        assert_eq!(kind, ErrorKind::Damaged, "{message}");
        assert!(message.contains(naming), "{message}");
    }
}

fn packed(tar: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(tar).unwrap();
    packer.finish().unwrap()
}

fn append(tar: &mut tar::Builder<Vec<u8>>, name: &str, kind: EntryType, bytes: &[u8]) {
    let mut header = Header::new_ustar();
    // A name that climbs has to be written past the builder, which refuses it.
    let field = &mut header.as_old_mut().name;
    field[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_mode(0o600);
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

#[test]
fn an_archive_that_is_put_together_again_is_taken() {
    let apart = Apart::new();
    let path = apart.write(apart.tar().into_inner().unwrap());
    Store::verify_archive(path, &ImportOptions::new()).unwrap();
}

#[test]
fn a_changed_byte_of_any_entry_is_found() {
    let names: Vec<_> = Apart::new().entries.into_iter().map(|(name, _)| name).collect();
    assert!(names.len() > 10);
    let mut apart = Apart::new();
    for name in names {
        let at = apart.bytes(&name).len() / 2;
        apart.bytes(&name)[at] ^= 1;
        let (kind, message) = apart.refused();
        assert!(matches!(kind, ErrorKind::Damaged | ErrorKind::NotAStore), "{name}: {message}");
        apart.bytes(&name)[at] ^= 1;
    }
}

#[test]
fn a_cut_off_archive_is_refused_wherever_it_ends() {
    let apart = Apart::new();
    for name in ["a.tar.gz", "a.tar.zst"] {
        let replace = ExportOptions::new().replace(true);
        apart.hive.store.export(apart.hive.path(name), &replace).unwrap();
        let bytes = std::fs::read(apart.hive.path(name)).unwrap();
        for part in 0..40 {
            let path = apart.write_packed(&bytes[..bytes.len() * part / 40]);
            let (kind, message) = apart.hive.refused(&path);
            assert!(matches!(kind, ErrorKind::Damaged | ErrorKind::NotAStore), "{part}: {message}");
        }
    }
}

#[test]
fn a_changed_byte_of_the_packed_file_is_found() {
    let apart = Apart::new();
    for name in ["a.tar.gz", "a.tar.zst"] {
        let replace = ExportOptions::new().replace(true);
        apart.hive.store.export(apart.hive.path(name), &replace).unwrap();
        let bytes = std::fs::read(apart.hive.path(name)).unwrap();
        let own = |path| Store::verify_archive(path, &ImportOptions::new());
        let before = own(apart.hive.path(name)).unwrap();
        for part in 0..60 {
            let mut bytes = bytes.clone();
            let at = bytes.len() * part / 60;
            bytes[at] ^= 1 << (part % 8);
            // A bit may say nothing, or the same in other words; then what is read is what was written.
            if let Ok(manifest) = own(apart.write_packed(&bytes)) {
                assert_eq!(manifest, before, "{name} at {at}");
            }
        }
    }
}

#[test]
fn entries_that_are_no_regular_files_are_refused() {
    use EntryType::{Block, Char, Continuous, Directory, Fifo, GNULongName, GNUSparse, Link, Symlink, XHeader};
    let apart = Apart::new();
    for kind in [Symlink, Link, Directory, Char, Block, Fifo, Continuous, GNULongName, GNUSparse, XHeader] {
        let mut tar = tar::Builder::new(Vec::new());
        let (first, rest) = apart.entries.split_first().unwrap();
        append(&mut tar, &first.0, EntryType::Regular, &first.1);
        append(&mut tar, "registry.json", kind, b"");
        rest.iter().for_each(|(name, bytes)| append(&mut tar, name, EntryType::Regular, bytes));
        let (found, message) = apart.hive.refused(&apart.write(tar.into_inner().unwrap()));
        assert_eq!(found, ErrorKind::Damaged, "{message}");
        let expected = format!("an entry is not a regular file: entry=registry.json type={kind:?}");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn paths_that_climb_and_names_that_are_not_expected_are_refused() {
    for name in ["../../etc/cron.d/x", "/etc/passwd", "registry.json/../../x", "records/queue-000002.bin", "notes", ""]
    {
        let mut apart = Apart::new();
        let at = apart.at("registry.json");
        apart.entries.insert(at, (name.to_owned(), b"x".to_vec()));
        apart.damaged(&format!("entry={name}"));
    }
}

#[test]
fn an_entry_that_comes_twice_is_missing_or_out_of_place_is_refused() {
    let names: Vec<_> = Apart::new().entries.into_iter().map(|(name, _)| name).collect();
    for name in &names {
        let mut twice = Apart::new();
        let at = twice.at(name);
        let again = (name.clone(), twice.bytes(name).clone());
        twice.entries.insert(at, again);
        if name != "SHA256SUMS" {
            twice.sum();
        }
        let (kind, message) = twice.refused();
        assert_eq!(kind, ErrorKind::Damaged, "{name} twice: {message}");

        let mut missing = Apart::new();
        missing.entries.remove(at);
        if name != "SHA256SUMS" {
            missing.sum();
        }
        let (kind, message) = missing.refused();
        let foreign = name == "manifest.json" && kind == ErrorKind::NotAStore;
        assert!(kind == ErrorKind::Damaged || foreign, "{name} missing: {message}");
    }
    let mut swapped = Apart::new();
    let (chat, queue) = (swapped.at("records/chat-000001.bin"), swapped.at("records/queue-000001.bin"));
    swapped.entries.swap(chat, queue);
    swapped.sum();
    assert_eq!(swapped.refused().0, ErrorKind::Damaged);
}

#[test]
fn records_that_are_not_those_of_the_manifest_are_refused_although_the_sums_are_right() {
    let mut apart = Apart::new();
    let records = apart.bytes("records/registry-000001.bin");
    let last = records.len() - 1;
    records[last] ^= 1;
    apart.sum();
    apart.damaged("registry");
    let mut apart = Apart::new();
    let records = apart.bytes("records/collections/rooms.attic-000001.bin");
    let last = records.len() - 1;
    records.insert(last, b'\n');
    records[2] += 1;
    apart.sum();
    apart.damaged("a value contains a line break");
    let mut apart = Apart::new();
    apart.bytes("records/queue-000001.bin").truncate(5);
    apart.sum();
    apart.damaged("a record is truncated");
    let mut apart = Apart::new();
    apart.bytes("records/queue-000001.bin").clear();
    apart.sum();
    apart.damaged("its records do not match the manifest: collection=queue records=0 expected=3");
    let mut apart = Apart::new();
    apart.bytes("config-000001.jsonl").clear();
    apart.sum();
    apart.damaged("its records do not match the manifest: collection=config records=0 expected=2");
    for (from, to, naming) in [
        (r#"{"key":"a \"2\"""#, r#"{"key":"a \"0\"""#, "records are out of order"),
        (r#"{"key":"a \"2\"""#, r#"{"key":"a \"2\""#, "the key of a line cannot be read"),
        (r#"","value":"#, r#"", "value":"#, "a line is not a record, or is truncated"),
        (r#","value":""#, r#","value":"\u"#, "a record does not belong to its collection"),
        (r#","value":""#, r#","value":" "#, "its records do not match the manifest: collection=lines"),
        ("\"}\n", "\" }\n", "its records do not match the manifest: collection=lines"),
        ("\"}\n", "\"\n}\n", "a line is not a record, or is truncated"),
        ("\"}\n", "\"}", "a record does not belong to its collection"),
    ] {
        let mut apart = Apart::new();
        let lines = String::from_utf8(apart.bytes("collections/lines-000001.jsonl").clone()).unwrap();
        assert!(lines.contains(from), "{from}");
        *apart.bytes("collections/lines-000001.jsonl") = lines.replacen(from, to, 1).into_bytes();
        apart.sum();
        apart.damaged(naming);
    }
    let mut apart = Apart::new();
    let manifest = String::from_utf8(apart.bytes("manifest.json").clone()).unwrap();
    let digest = manifest.lines().find(|line| line.contains("digest")).unwrap();
    *apart.bytes("manifest.json") = manifest.replace(digest, &digest.replace(['1', '2', '3'], "4")).into_bytes();
    apart.sum();
    apart.damaged("collection=registry");
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused() {
    let change = |from: &str, to: &str| {
        let mut apart = Apart::new();
        let manifest = String::from_utf8(apart.bytes("manifest.json").clone()).unwrap();
        assert!(manifest.contains(from), "{manifest}");
        *apart.bytes("manifest.json") = manifest.replacen(from, to, 1).into_bytes();
        apart.sum();
        apart.refused()
    };
    assert!(change("\"name\": \"chat\"", "\"name\": \"queue\"").1.contains("listed twice"));
    assert!(change("\"name\": \"chat\"", "\"name\": \"../chat\"").1.contains("listed twice, or has an invalid name"));
    assert!(change("\"name\": \"chat\"", "\"name\": \"#chunks\"").1.contains("invalid name: name=#chunks"));
    assert!(change("\"name\": \"config\"", "\"name\": \"other\"").1.contains("missing=config"));
    assert!(change("\"digest\": \"", "\"digest\": \"zz").1.contains("digest"));
    assert_eq!(change("\"version\": 1", "\"version\": 2").0, ErrorKind::NewerFormat);
    assert_eq!(change("hivekeep-archive", "somebody else's").0, ErrorKind::NotAStore);
    assert!(change("\"lost\": []", "\"lost\": [[7, 8], [3, 4]]").1.contains("out of order"));
    assert!(change("\"count\": 2", "\"count\": 3").1.contains("records=2 expected=3"));
    let loss = r#""point": {"lost": {"../a": {"count": 1, "bytes": 1, "digest": "00", "keys": []}},"#;
    assert!(change("\"point\": {", loss).1.contains("a loss is of no collection: name=../a"));
}

#[test]
fn what_unpacks_to_more_than_its_manifest_accounts_for_is_refused_before_it_is_unpacked() {
    let mut apart = Apart::new();
    let long = "x".repeat(200 << 20).into_bytes();
    *apart.bytes("registry.json") = long;
    apart.sum();
    apart.damaged("entry registry.json: it unpacks to more bytes than its manifest permits");
    let apart = Apart::new();
    let options = ImportOptions::new().max_bytes(10_000);
    let error = Store::verify_archive(apart.hive.path("a.tar.gz"), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.hint(), Some(&hivekeep::Hint::RaiseArchiveLimit), "{error}");
}

#[test]
fn a_record_over_the_limit_is_refused_with_the_limit_that_would_let_it_in() {
    let hive = Hive::full();
    let verified = |archive: &str, limit| {
        let options = ImportOptions::new().max_value_bytes(limit);
        Store::verify_archive(hive.path(archive), &options).map_err(|error| error.to_string())
    };
    for (entry, only, limit) in [
        ("config-000001.jsonl", "config", 10_000),
        ("collections/lines-000001.jsonl", "lines", 200_000),
        ("records/registry-000001.bin", "registry", 10),
    ] {
        let archive = &format!("{only}.tar.gz");
        hive.store.export(hive.path(archive), &ExportOptions::new().only([only])).unwrap();
        let message = verified(archive, limit).unwrap_err();
        assert!(message.starts_with(&format!("entry {entry}: a record is too long")), "{message}");
        let of = message.split_once("bytes=").unwrap().1.strip_suffix(&format!(" limit={limit}")).unwrap();
        let bytes: u64 = of.parse().unwrap();
        assert!(bytes > limit, "{message}");
        assert!(verified(archive, bytes - 1).unwrap_err().ends_with(&format!("bytes={bytes} limit={}", bytes - 1)));
        assert!(verified(archive, bytes).is_ok(), "{message}");
    }
}

#[test]
fn a_record_that_says_it_is_endless_needs_no_memory() {
    let mut apart = Apart::new();
    let record = [&1u16.to_le_bytes()[..], &(200u64 << 20).to_le_bytes(), b"k"].concat();
    *apart.bytes("records/registry-000001.bin") = record;
    apart.sum();
    apart.damaged("a record is truncated");
}

#[test]
fn what_follows_the_end_is_refused() {
    let apart = Apart::new();
    let tar = apart.tar().into_inner().unwrap();
    let (kind, message) = apart.hive.refused(&apart.write([&tar[..], &[1]].concat()));
    assert_eq!(kind, ErrorKind::Damaged, "{message}");
    let packed = packed(&tar);
    for more in [&packed[..], b"more"] {
        let (kind, message) = apart.hive.refused(&apart.write_packed(&[&packed[..], more].concat()));
        assert_eq!(kind, ErrorKind::Damaged, "{message}");
        assert!(message.contains("after the end of the archive"), "{message}");
    }
}

#[test]
fn files_of_other_programs_are_named_as_that() {
    let apart = Apart::new();
    let mut other = tar::Builder::new(Vec::new());
    append(&mut other, "notes.txt", EntryType::Regular, b"hello");
    let foreign = [packed(&other.into_inner().unwrap()), packed(b"not a tar"), b"PK\x03\x04".to_vec(), Vec::new()];
    for bytes in foreign {
        let (kind, message) = apart.hive.refused(&apart.write_packed(&bytes));
        assert_eq!(kind, ErrorKind::NotAStore, "{message}");
        assert!(message.contains("bad.tar.gz"), "{message}");
    }
    let (kind, _) = apart.hive.refused(&apart.hive.path("none.tar.gz"));
    assert_eq!(kind, ErrorKind::NotFound);
}

#[test]
fn an_existing_store_is_not_created_again() {
    let hive = Hive::full();
    hive.export("a.tar.gz");
    let there = hive.path("h.redb");
    let error = Store::import_new(hive.path("a.tar.gz"), &there, &ImportOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
