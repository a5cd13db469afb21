//! A base: every row of one moment, in parts, with a manifest that is written last.

use jiff::Timestamp;

use super::objects::kinds::{BaseManifest, BasePart};
use super::objects::name::{BaseName, Folder, ObjectName};
use super::objects::object::Object;
use super::objects::parts::{self, PartEntry};
use super::terms::remote::{Remote, ReplicaPosition};
use super::terms::settle::{Settled, settle};
use crate::clock::as_stored;
use crate::engine::feed::Dump;
use crate::error::{Error, Result};

/// The rows of a part, before they are compressed.
const PART_BYTES: usize = 16 << 20;
/// No base is tried so often in one slot.
const ATTEMPTS: u16 = 999;

/// A base that is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeBase {
    pub(crate) name: BaseName,
    pub(crate) at: Timestamp,
    /// The bytes of all its objects.
    pub(crate) bytes: u64,
}

/// Makes a base of a dump, whose state is that of the position.
///
/// # Errors
///
/// The errors of the replica and of the store.
pub(crate) async fn make(remote: &impl Remote, dump: &mut Dump, at: &ReplicaPosition) -> Result<MadeBase> {
    let time = as_stored(remote.now());
    let mut name = BaseName { slot: at.slot, attempt: next_attempt(remote, at).await? };
    let mut entries: Vec<PartEntry> = Vec::new();
    let (mut rows_bytes, mut bytes) = (0, 0);
    while let Some(rows) = dump.next_part(PART_BYTES)? {
        let number = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        rows_bytes += rows.len() as u64;
        let part = |base| BasePart {
            store: remote.store(),
            base,
            part: number,
            nonce: remote.nonce(),
            bytes: rows.len() as u64,
        };
        let object = loop {
            let object = remote.prepare(ObjectName::Part(name, number), Object::Part(part(name)), &rows)?;
            match settle(remote, &object).await? {
                Settled::Own => break object,
                // A list may lag: an earlier attempt left its first part behind.
                Settled::Other(_) if number == 0 && name.attempt < ATTEMPTS => name.attempt += 1,
                Settled::Other(_) => {
                    return Err(Error::conflict(format!("another process makes the base: base={name}")));
                }
            }
        };
        bytes += object.bytes.len() as u64;
        entries.push(PartEntry { length: u32::try_from(object.bytes.len()).unwrap_or(u32::MAX), hash: object.hash });
    }
    let body = parts::encode(&entries)?;
    let made = as_stored(remote.now());
    let manifest = BaseManifest {
        store: remote.store(),
        base: name,
        nonce: remote.nonce(),
        previous: at.previous,
        time,
        made,
        sequence: at.sequence,
        states: at.states,
        parts: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        rows_bytes,
        bytes: body.len() as u64,
    };
    // L8: it counts from here on.
    let object = remote.prepare(ObjectName::Manifest(name), Object::Manifest(manifest), &body)?;
    bytes += object.bytes.len() as u64;
    match settle(remote, &object).await? {
        Settled::Own => Ok(MadeBase { name, at: made, bytes }),
        Settled::Other(_) => Err(Error::conflict(format!("another process makes the base: base={name}"))),
    }
}

/// The number of the next attempt in the slot: one that failed half-way has left parts behind.
async fn next_attempt(remote: &impl Remote, at: &ReplicaPosition) -> Result<u16> {
    let names = remote.list(Folder::Bases).await?;
    let of_slot = names.into_iter().filter_map(|name| match name {
        ObjectName::Part(base, _) | ObjectName::Manifest(base) if base.slot == at.slot => Some(base.attempt),
        _ => None,
    });
    let next = of_slot.max().map_or(0, |attempt| attempt.saturating_add(1));
    if next > ATTEMPTS {
        return Err(Error::conflict(format!("a base was begun too often in one slot: slot={}", at.slot)));
    }
    Ok(next)
}
