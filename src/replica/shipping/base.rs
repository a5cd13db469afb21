//! A base: every row of one moment, in parts, with a manifest that is written last.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::clock::as_stored;
use crate::engine::feed::Dump;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::objects::kinds::{BaseManifest, BasePart};
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{ATTEMPT_MAX, BaseName, Folder, ObjectName};
use crate::replica::objects::object::Object;
use crate::replica::objects::parts::{self, PartEntry};
use crate::replica::terms::remote::{Deletes, Remote, ReplicaPosition};
use crate::replica::terms::settle::{Settled, settle};

/// The rows of a part, before they are compressed.
const PART_BYTES: usize = 16 << 20;

/// Between two tries of an object of a base.
pub(super) const BASE_PAUSE: Duration = Duration::from_millis(500);

/// A base that is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeBase {
    pub(crate) name: BaseName,
    pub(crate) at: Timestamp,
    /// The bytes of all its objects.
    pub(crate) bytes: u64,
}

/// A base that is being made of a dump, part by part.
pub(crate) struct UnfinishedBase {
    dump: Dump,
    at: ReplicaPosition,
    time: Timestamp,
    name: BaseName,
    entries: Vec<PartEntry>,
    rows_bytes: u64,
    bytes: u64,
    /// The number of parts that may be there.
    sent: u32,
    patience: Duration,
}

impl UnfinishedBase {
    /// Begins a base of a dump, whose state is that of the position.
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(crate) async fn begin(remote: &impl Remote, dump: Dump, at: ReplicaPosition) -> Result<Self> {
        let time = as_stored(remote.now());
        let name = BaseName { slot: at.slot, attempt: next_attempt(remote, &at).await? };
        let (entries, patience) = (Vec::new(), Duration::ZERO);
        Ok(Self { dump, at, time, name, entries, rows_bytes: 0, bytes: 0, sent: 0, patience })
    }

    /// The position of its state.
    pub(crate) fn at(&self) -> ReplicaPosition {
        self.at
    }

    /// An object is tried for so long after a failure, since all parts before it would be lost.
    #[must_use]
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Writes the next part, or the manifest behind the last one. Gives the base once it is whole.
    ///
    /// # Errors
    ///
    /// The errors of the replica and of the store.
    pub(crate) async fn step(&mut self, remote: &impl Remote) -> Result<Option<MadeBase>> {
        match self.next_part(remote).await? {
            true => Ok(None),
            false => self.finish(remote, self.at.previous).await.map(Some),
        }
    }

    /// Writes the next part. False if there is none.
    ///
    /// # Errors
    ///
    /// The errors of the replica and of the store.
    pub(crate) async fn next_part(&mut self, remote: &impl Remote) -> Result<bool> {
        let Some(rows) = self.dump.next_part(PART_BYTES)? else { return Ok(false) };
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let (store, bytes) = (remote.store(), rows.len() as u64);
        self.rows_bytes += bytes;
        let object = loop {
            let part = BasePart { store, base: self.name, part: number, nonce: remote.nonce(), bytes };
            let object = remote.prepare(ObjectName::Part(self.name, number), Object::Part(part), &rows)?;
            self.sent = number.saturating_add(1);
            match patiently(self.patience, async || settle(remote, &object).await).await? {
                Settled::Own => break object,
                // A list may lag: an earlier attempt left its first part behind.
                Settled::Other(_) if number == 0 && self.name.attempt < ATTEMPT_MAX => self.name.attempt += 1,
                Settled::Other(_) => {
                    self.sent = number;
                    return Err(self.is_of_another());
                }
            }
        };
        self.bytes += object.bytes.len() as u64;
        let length = u32::try_from(object.bytes.len()).unwrap_or(u32::MAX);
        self.entries.push(PartEntry { length, hash: object.hash });
        Ok(true)
    }

    /// Writes the manifest. `previous` is the check of the object before the slot of the base.
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(crate) async fn finish(&mut self, remote: &impl Remote, previous: ObjectHash) -> Result<MadeBase> {
        // L8: with its manifest, which may be there from here on, none of its parts is ever removed before it.
        self.sent = 0;
        let body = parts::encode(&self.entries)?;
        let made = as_stored(remote.now());
        let manifest = BaseManifest {
            store: remote.store(),
            base: self.name,
            nonce: remote.nonce(),
            previous,
            time: self.time,
            made,
            sequence: self.at.sequence,
            states: self.at.states,
            parts: u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
            rows_bytes: self.rows_bytes,
            bytes: body.len() as u64,
        };
        // L8: it counts from here on.
        let object = remote.prepare(ObjectName::Manifest(self.name), Object::Manifest(manifest), &body)?;
        match patiently(self.patience, async || settle(remote, &object).await).await? {
            Settled::Own => Ok(MadeBase { name: self.name, at: made, bytes: self.bytes + object.bytes.len() as u64 }),
            Settled::Other(_) => Err(self.is_of_another()),
        }
    }

    /// The same under another name than a base that was given up: a deletion of its parts may still be on its way.
    #[must_use]
    pub(crate) fn apart_from(mut self, given_up: Option<BaseName>) -> Self {
        if let Some(given_up) = given_up.filter(|given_up| given_up.slot == self.name.slot) {
            self.name.attempt = self.name.attempt.max(given_up.attempt.saturating_add(1).min(ATTEMPT_MAX));
        }
        self
    }

    pub(crate) fn name(&self) -> BaseName {
        self.name
    }

    /// Whether any part may be there.
    pub(crate) fn has_sent(&self) -> bool {
        self.sent > 0
    }

    /// Removes the parts of a base that failed: on a small disk they would leave no room for the log.
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(crate) async fn give_up(&self, remote: &impl Deletes) -> Result<()> {
        for part in 0..self.sent {
            remote.delete(ObjectName::Part(self.name, part)).await?;
        }
        Ok(())
    }

    fn is_of_another(&self) -> Error {
        Error::new(ErrorKind::Io, format!("another process makes the base: base={}", self.name))
    }
}

/// Reads every row of a dump, so that damage is found before anything is sent.
///
/// # Errors
///
/// The errors of the store.
pub(super) async fn read_through(mut dump: Dump) -> Result<()> {
    while dump.next_part(PART_BYTES)?.is_some() {
        yield_now().await;
    }
    Ok(())
}

/// Sends an object of a base, or beside one, again while the replica does not answer and there is patience.
pub(super) async fn patiently<R>(patience: Duration, mut send: impl AsyncFnMut() -> Result<R>) -> Result<R> {
    let (mut failed_since, mut was_refused) = (None, false);
    loop {
        match send().await {
            // Credentials that have expired were read again.
            Err(error) if error.kind() == ErrorKind::Forbidden && !was_refused && !patience.is_zero() => {
                was_refused = true;
            }
            // One try may take long.
            Err(error)
                if error.kind() == ErrorKind::Io
                    && failed_since.get_or_insert_with(Instant::now).elapsed() < patience =>
            {
                tracing::warn!(%error, "an object of a base is sent again");
                sleep(BASE_PAUSE).await;
            }
            sent => return sent,
        }
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
    if next > ATTEMPT_MAX {
        return Err(Error::new(ErrorKind::Io, format!("a base was begun too often in one slot: slot={}", at.slot)));
    }
    Ok(next)
}
