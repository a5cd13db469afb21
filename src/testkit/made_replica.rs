//! A replica that the fuzzer writes: whatever is in it, looking at it, verifying, restoring and following it end, with
//! an answer or with an error, and a replica that is verified can be restored, unless its rows are damaged.
//!
//! The fuzzer can guess no check, so the objects of its input have none. One after another, each is a line with the
//! name, a line with the head, the length of the body in two bytes, and the body. In a head, `$previous` stands for the
//! check of the object of the log before it, `$states` for the digest of the state that the rows so far make, and
//! `$bytes` for the length of the body, which is then compressed. The body `$parts` names the parts so far of a base.
//! An object with an exclamation mark before its name stands in the replica as it is, without a check.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, path};

use crate::clock::{Clock, SystemClock};
use crate::engine::feed::States;
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::replica::bucket::Bucket;
use crate::replica::checks::status::status;
use crate::replica::checks::verify::{VerifiedReplica, verify};
use crate::replica::connection::cipher::{self, Identities};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::runtime::block_on;
use crate::replica::following::follower::Follower;
use crate::replica::objects::commits;
use crate::replica::objects::layout::{self, Nonce, ObjectHash};
use crate::replica::objects::name::{BaseName, ObjectName};
use crate::replica::objects::object::StoredObject;
use crate::replica::objects::parts::{self, PartEntry};
use crate::replica::reading::position::CopyPosition;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::restoring::restore::{Copier, RestoredCopy};

/// More objects than this find nothing new, and only take time.
const OBJECTS_MAX: usize = 64;
/// So often a copy follows.
const STEPS: usize = 3;
/// The identity with which the replica is read, and nothing else.
pub(crate) const IDENTITY: &str = "AGE-SECRET-KEY-1QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSWPC8QURSKMP32K";

/// Reads a replica that the bytes describe, and says whether it is sound. Copies are made in `folder`.
pub(crate) fn read_any(data: &[u8], folder: &Path) -> bool {
    let objects = Arc::new(InMemory::new());
    let mut maker = Maker::default();
    let made = block_on(async {
        for record in records(data).take(OBJECTS_MAX) {
            let bytes = maker.make(&record);
            if let Ok(path) = path::Path::parse(format!("p/{}", record.name)) {
                objects.put(&path, bytes.into()).await.map_err(std::io::Error::from)?;
            }
        }
        Ok(())
    });
    assert!(made.is_ok(), "{made:?}");
    reads_positions(data);
    block_on(use_it(objects, data, folder)).unwrap_or_default()
}

/// Does all that is done with a replica, and says whether it is sound.
async fn use_it(objects: Arc<dyn ObjectStore>, data: &[u8], folder: &Path) -> Result<bool> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bucket = Arc::new(Bucket::of(objects).with_patience(Duration::ZERO));
    let remote = Arc::new(OpenReplica::of(bucket, Identities::parse(IDENTITY)?, clock.clone()).await?);
    let _looked = status(&remote).await;
    let found = verify(&remote).await.unwrap_or_default();
    // A restore takes ten times as long as everything else.
    if !found.is_sound() && !data.len().is_multiple_of(8) {
        return Ok(false);
    }
    let copier = Copier { remote, from: "memory".into(), clock };
    let earlier = ReplicaMoment::Sequence(found.sequence.unwrap_or_default().saturating_sub(1));
    let path = folder.join("copy.redb");
    for (number, at) in [ReplicaMoment::Newest, earlier].into_iter().enumerate() {
        let restored = copier.restore(&path, &at).await;
        if number == 0 && found.is_sound() {
            is_restored(&found, &restored);
        }
        assert_eq!(restored.is_ok(), path.exists(), "a restore that failed left a file: {restored:?}");
        if restored.is_ok() {
            let mut follower = Follower::open(copier.clone(), &path, Store::options()).await?;
            for _ in 0..STEPS {
                let _step = follower.step().await;
            }
            follower.close()?;
            std::fs::remove_file(&path)?;
        }
    }
    Ok(found.is_sound())
}

/// A restore brings back the newest commit that a verification found. It alone applies the rows of commits, and may
/// find them damaged, if a writer of nonsense has made them.
fn is_restored(found: &VerifiedReplica, restored: &Result<RestoredCopy>) {
    match restored {
        Ok(copy) => assert_eq!(Some(copy.position.sequence), found.sequence),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "a sound replica was not restored: {error}"),
    }
}

/// A position is read, and is one way to write it.
fn reads_positions(data: &[u8]) {
    if let Ok(position) = CopyPosition::of_bytes(data) {
        let again = position.to_bytes().and_then(|bytes| CopyPosition::of_bytes(&bytes));
        assert_eq!(again.ok(), Some(position));
    }
    if let Ok(shipped) = ShippedTo::of_bytes(data) {
        let again = shipped.to_bytes().and_then(|bytes| ShippedTo::of_bytes(&bytes));
        assert_eq!(again.ok(), Some(shipped));
    }
}

/// An object of the input.
struct Record<'a> {
    name: &'a str,
    head: String,
    body: &'a [u8],
    /// Whether it gets a check.
    is_packed: bool,
}

fn records(mut data: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (name, rest) = line(data)?;
        let (head, rest) = line(rest).unwrap_or_default();
        let (length, rest) = rest.split_first_chunk().unwrap_or((&[0; 2], rest));
        let (body, rest) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
        data = rest;
        let name = std::str::from_utf8(name).unwrap_or_default();
        let (is_packed, name) = name.strip_prefix('!').map_or((true, name), |name| (false, name));
        Some(Record { name, head: String::from_utf8_lossy(head).into_owned(), body, is_packed })
    })
}

fn line(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    Some((data.get(..end)?, data.get(end + 1..)?))
}

/// Makes objects of the input, in its order.
#[derive(Default)]
struct Maker {
    previous: Option<ObjectHash>,
    states: States,
    parts: BTreeMap<BaseName, Vec<PartEntry>>,
}

impl Maker {
    fn make(&mut self, record: &Record<'_>) -> Vec<u8> {
        let name = ObjectName::parse(record.name);
        if let Some(name) = name {
            assert_eq!(name.to_string(), record.name, "a name is written in one way");
        }
        let raw = [record.head.as_bytes(), b"\n", record.body].concat();
        let Some(name) = name.filter(|_| record.is_packed) else {
            let name = name.unwrap_or(ObjectName::Store);
            let _unread = StoredObject::read_any(name, raw.clone().into());
            return raw;
        };
        let Some((bytes, hash)) = self.pack(name, record) else { return raw };
        if let Ok(read) = StoredObject::read_any(name, bytes.clone()) {
            let again = StoredObject::prepare(name, read.object.clone(), |_| Ok(read.body.to_vec()));
            let again = again.and_then(|again| StoredObject::read_any(name, again.bytes));
            assert_eq!(again.ok().map(|again| again.object), Some(read.object), "{name}");
        }
        match name {
            ObjectName::Log(_) => self.previous = Some(hash),
            ObjectName::Part(base, _) => {
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                self.parts.entry(base).or_default().push(PartEntry { length, hash });
            }
            _ => {}
        }
        bytes.to_vec()
    }

    /// The object with its check.
    fn pack(&mut self, name: ObjectName, record: &Record<'_>) -> Option<(Bytes, ObjectHash)> {
        let parts = match name {
            ObjectName::Manifest(base) if record.body == b"$parts" => self.parts.get(&base),
            _ => None,
        };
        let body = parts.map_or(Ok(record.body.to_vec()), |entries| parts::encode(entries)).ok()?;
        match name {
            ObjectName::Log(_) => {
                let commits = commits::decode(&body, 0).unwrap_or_default();
                commits.iter().for_each(|commit| self.states.apply(&commit.rows).unwrap_or_default());
            }
            ObjectName::Part(..) => self.states.apply(&body).unwrap_or_default(),
            _ => {}
        }
        let previous = self.previous.unwrap_or(ObjectHash([0; 32])).to_string();
        let head = record.head.replace("$previous", &previous);
        let head = head.replace("$states", &ObjectHash(self.states.digest()).to_string());
        let is_compressed = head.contains("$bytes");
        let mut head = head.replace("$bytes", &body.len().to_string()).into_bytes();
        head.push(b'\n');
        let body = if is_compressed { cipher::seal(None, &name, Nonce(0), &head, &body).ok()? } else { body };
        layout::pack(&name, head, &body).ok()
    }
}
