//! An archive of which anything may be wrong: it is refused, or it becomes a sound store that has what its manifest
//! says. A part of the inputs has the sums put right, as a forger would, so that what is behind them is reached too.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::OnceLock;

use hivekeep::{ErrorKind, ExportOptions, ImportOptions, NewEntry, NewMessage, NewTask, Selector, Store};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::input::Input;

/// More edits than this only make a file that nothing opens.
const EDITS_MAX: usize = 8;
const SUMS: &str = "SHA256SUMS";

type Entries = Vec<(String, Vec<u8>)>;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mode = input.byte();
    let bytes = match mode & 0x80 {
        0 => packed(&edited(&mut input, mode & 1 == 1)),
        _ => data.get(1..).unwrap_or_default().to_vec(),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.tar.gz");
    std::fs::write(&file, bytes).unwrap();
    // An edited archive may claim a great length; a test has no time for that.
    let options = ImportOptions::new().max_bytes(1 << 24).max_value_bytes(1 << 20);
    let manifest = Store::verify_archive(&file, &options);
    let to = folder.path().join("new.redb");
    let made = Store::import_new(&file, &to, &options);
    assert_eq!(to.exists(), made.is_ok());
    match (manifest, made) {
        (Ok(manifest), Ok(_)) => {
            let store = Store::open(&to).unwrap();
            assert!(store.check().unwrap().is_sound());
            let point = store.find_point(Selector::Latest(0)).unwrap().unwrap();
            for collection in manifest.collections {
                let there = point.collections.get(&collection.name).copied().unwrap_or_default();
                assert_eq!((there.count, there.digest.to_string()), (collection.count, collection.digest));
            }
        }
        // Each record is as it must be, and together they contradict each other.
        (Ok(_), Err(error)) => assert!(expected(error.kind()), "{error}"),
        (Err(error), Err(also)) => {
            assert!(expected(error.kind()), "{error}");
            assert_eq!(error.to_string(), also.to_string());
        }
        (Err(error), Ok(_)) => panic!("it was taken although it is refused: {error}"),
    }
}

fn expected(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Damaged | ErrorKind::NotAStore | ErrorKind::NewerFormat | ErrorKind::Invalid)
}

/// The entries of a sound archive.
fn sound() -> &'static Entries {
    static ENTRIES: OnceLock<Entries> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        let fill = store.write(|tx| {
            tx.registry().put(&hivekeep::Bot::new("ant".parse()?))?;
            tx.queue().enqueue(NewTask::new(json!({"n": 1})).id("one".parse()?).assign_to("ant".parse()?))?;
            tx.queue().enqueue(NewTask::new("x").id("two".parse()?).after("one".parse()?))?;
            tx.chat().append(NewMessage::new("general", "ant", "hello"))?;
            tx.config().put("limit", &json!(5))?;
            tx.collection("rooms")?.put("attic", &json!({"celsius": 21.5}))?;
            tx.documents().put("load", "bot", &json!([1, {"a": null}]))?;
            tx.audit().append(NewEntry::new("deploy", "ops"))
        });
        fill.unwrap();
        let file = folder.path().join("a.tar.gz");
        store.export(&file, &ExportOptions::new()).unwrap();
        let mut entries = unpacked(&file);
        in_lines(&mut entries, "rooms", "{\"key\":\"attic\",\"value\":{\"celsius\":21.5}}\n");
        put_sums_right(&mut entries);
        entries
    })
}

/// Gives a small collection, the last one, the form of a large one.
fn in_lines(entries: &mut Entries, name: &str, lines: &str) {
    entries.retain(|(of, _)| *of != format!("records/collections/{name}-000001.bin"));
    for (of, bytes) in entries {
        if of == "manifest.json" {
            let text = String::from_utf8(std::mem::take(bytes)).unwrap();
            let (before, after) = text.rsplit_once("\"whole\": true").unwrap();
            *bytes = format!("{before}\"whole\": false{after}").into_bytes();
        } else if *of == format!("collections/{name}.json") {
            (*of, *bytes) = (format!("collections/{name}-000001.jsonl"), lines.into());
        }
    }
}

fn unpacked(file: &Path) -> Entries {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let (name, mut bytes) = (entry.path().unwrap().to_str().unwrap().to_owned(), Vec::new());
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

fn edited(input: &mut Input<'_>, puts_sums_right: bool) -> Entries {
    let mut entries = sound().clone();
    for _ in 0..usize::from(input.byte()) % (EDITS_MAX + 1) {
        if entries.is_empty() {
            break;
        }
        let (at, what) = (usize::from(input.byte()) % entries.len(), input.byte());
        let (place, value) = (usize::from(input.byte()) << 8 | usize::from(input.byte()), input.byte());
        edit(&mut entries, at, what, place, value);
    }
    if puts_sums_right {
        put_sums_right(&mut entries);
    }
    entries
}

fn put_sums_right(entries: &mut Entries) {
    let sums: String = entries.iter().filter(|(name, _)| name != SUMS).map(|(name, bytes)| sum(name, bytes)).collect();
    entries.iter_mut().filter(|(name, _)| name == SUMS).for_each(|(_, bytes)| *bytes = sums.clone().into_bytes());
}

fn edit(entries: &mut Entries, at: usize, what: u8, place: usize, value: u8) {
    let other = place % entries.len();
    match what % 7 {
        0 => entries.swap(at, other),
        1 => drop(entries.remove(at)),
        2 => {
            let again = entries[at].clone();
            entries.insert(other, again);
        }
        3 => entries[at].0.insert(0, char::from(value & 0x7f)),
        kind => {
            let bytes = &mut entries[at].1;
            let place = place % (bytes.len() + 1);
            match kind {
                4 => bytes.truncate(place),
                5 => bytes.insert(place, value),
                _ => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= value),
            }
        }
    }
}

fn sum(name: &str, bytes: &[u8]) -> String {
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{sum}  {name}\n")
}

fn packed(entries: &Entries) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        let length = name.len().min(99);
        header.as_old_mut().name[..length].copy_from_slice(&name.as_bytes()[..length]);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&tar.into_inner().unwrap()).unwrap();
    packer.finish().unwrap()
}
