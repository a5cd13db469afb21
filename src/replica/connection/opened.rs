//! A replica in its bucket, with the keys of its terms: what the protocol of terms works on outside of tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::cipher::{self, Identities, Recipients, TermKey};
use crate::clock::{Clock, boot_time, random};
use crate::error::{Error, Result};
use crate::replica::bucket::location::Location;
use crate::replica::bucket::{Bucket, Creation, ListPage};
use crate::replica::objects::kinds::{StoreHead, TermClaim};
use crate::replica::objects::layout::{Nonce, ObjectHash, StoreId};
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::{Object, StoredObject};
use crate::replica::terms::remote::{Deletes, Remote};

/// The first pause between two tries of a step; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// So many objects are deleted side by side: a writer makes dozens in the time of one request.
const DELETED_AT_ONCE: usize = 16;
/// Between two looks at a slot, or at a clock.
const REST: Duration = Duration::from_millis(200);

/// A replica in its bucket.
pub(crate) struct OpenReplica {
    bucket: Arc<Bucket>,
    head: StoreHead,
    recipients: Option<Recipients>,
    identities: Identities,
    clock: Arc<dyn Clock>,
    /// The check of the description.
    description: ObjectHash,
    /// The keys of terms that others wrote, or earlier processes of this store.
    keys: Mutex<BTreeMap<Term, TermKey>>,
    /// The key with which this process writes.
    own: Mutex<Option<(Term, TermKey)>>,
    /// The holds that this process has placed, and not taken away.
    holds: Mutex<BTreeSet<ObjectName>>,
    /// The file that this process writes, if it has it for itself and that can be told from every other.
    file: OnceLock<String>,
}

impl OpenReplica {
    /// Opens the replica at a location.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none; `Damaged`, `NewerFormat`; every error of the bucket.
    pub(crate) async fn open(location: &Location, identities: Identities, clock: Arc<dyn Clock>) -> Result<Self> {
        let at = location.clone();
        let bucket = Bucket::open_in_time(location.to_string(), move || Bucket::open(&at)).await?;
        Self::of(Arc::new(bucket), identities, clock).await
    }

    /// The same in an open bucket.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) async fn of(bucket: Arc<Bucket>, identities: Identities, clock: Arc<dyn Clock>) -> Result<Self> {
        let Some(bytes) = bucket.get(&ObjectName::Store).await? else {
            let shown = bucket.shown();
            return Err(Error::not_found(format!("there is no replica; initialize it first: location={shown}")));
        };
        Self::with(bucket, &StoredObject::read_any(ObjectName::Store, bytes)?, identities, clock)
    }

    /// The replica that this description is of.
    ///
    /// # Errors
    ///
    /// `Invalid` for recipients that are none; `Damaged` for another object.
    pub(crate) fn with(
        bucket: Arc<Bucket>,
        description: &StoredObject,
        identities: Identities,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let Object::Store(head) = description.object.clone() else {
            let kind = description.object.kind();
            return Err(Error::damaged(format!("the description of the replica is of another kind: {kind}")));
        };
        let recipients = head.recipients.as_deref().map(Recipients::parse).transpose()?;
        let description = description.hash;
        let (keys, own, holds) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { bucket, head, recipients, identities, clock, description, keys, own, holds, file: OnceLock::new() })
    }

    /// This process writes the file of that id, and has it for itself.
    pub(crate) fn note_file(&self, file: Option<String>) {
        if let Some(file) = file {
            self.file.get_or_init(|| file);
        }
    }

    /// The check of the description, which never changes.
    pub(crate) fn description(&self) -> ObjectHash {
        self.description
    }

    /// The key with which this process writes; none if the replica is plain.
    pub(crate) fn own_key(&self) -> Option<(Term, TermKey)> {
        self.own.lock().clone()
    }

    /// Takes the key of a term that the store has kept, so that no identity is needed to read its own objects again.
    pub(crate) fn know(&self, term: Term, key: TermKey) {
        self.keys.lock().insert(term, key);
    }

    /// This process places that hold, or has taken it away.
    pub(in crate::replica) fn note_hold(&self, hold: ObjectName, is_placed: bool) {
        let mut holds = self.holds.lock();
        if is_placed {
            holds.insert(hold)
        } else {
            holds.remove(&hold)
        };
    }

    /// The holds that this process has placed, and not taken away.
    pub(in crate::replica) fn holds(&self) -> Vec<ObjectName> {
        self.holds.lock().iter().copied().collect()
    }

    /// The bucket.
    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Whether a list shows an object of the same term behind a slot.
    ///
    /// # Errors
    ///
    /// The errors of the bucket.
    pub(crate) async fn is_listed_behind(&self, slot: ReplicaSlot) -> Result<bool> {
        self.bucket.has_any(Folder::Log(slot.term), ObjectName::Log(slot)).await
    }

    /// Whether only holders of a key read it.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.recipients.is_some()
    }

    /// The key of a term; none if the replica is plain.
    async fn key_of(&self, term: Term) -> Result<Option<TermKey>> {
        if self.recipients.is_none() {
            return Ok(None);
        }
        if let Some(key) = self.keys.lock().get(&term) {
            return Ok(Some(key.clone()));
        }
        let name = ObjectName::Term(term);
        let no_key = || Error::damaged(format!("a term of an encrypted replica has no key: object={name}"));
        let Some(StoredObject { object: Object::Claim(claim), .. }) = self.get(name).await? else {
            return Err(no_key());
        };
        let key = TermKey::unwrap(&claim.key.ok_or_else(no_key)?, &self.identities)?;
        self.keys.lock().insert(term, key.clone());
        Ok(Some(key))
    }
}

/// The name of this machine.
fn machine_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    name
}

/// The term whose key encrypts the body of an object, and the length of the body before it is compressed.
fn body_of(object: &Object) -> Option<(Term, u64)> {
    match object {
        Object::Batch(batch) => Some((batch.slot.term, batch.bytes)),
        Object::Manifest(manifest) => Some((manifest.base.slot.term, manifest.bytes)),
        Object::Part(part) => Some((part.base.slot.term, part.bytes)),
        _ => None,
    }
}

impl Deletes for OpenReplica {
    async fn delete(&self, name: ObjectName) -> Result<()> {
        self.bucket.delete(&name).await
    }

    async fn delete_all(&self, names: &[ObjectName]) -> Result<()> {
        let deletions = names.iter().map(|name| self.bucket.delete(name));
        stream::iter(deletions).buffer_unordered(DELETED_AT_ONCE).try_collect().await
    }
}

impl Remote for OpenReplica {
    fn store(&self) -> StoreId {
        self.head.store
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn boot_time(&self) -> Duration {
        boot_time()
    }

    fn machine(&self) -> String {
        match self.file.get() {
            None => machine_name(),
            Some(file) => format!("{} (file {file})", machine_name()),
        }
    }

    fn is_own(&self, claim: &TermClaim) -> bool {
        self.file.get().is_some_and(|file| claim.machine.ends_with(&format!(" (file {file})")))
    }

    fn nonce(&self) -> Nonce {
        Nonce::new()
    }

    fn wrapped_key(&self, term: Term) -> Result<Option<String>> {
        let Some(recipients) = &self.recipients else { return Ok(None) };
        let key = TermKey::new();
        let wrapped = key.wrap(recipients)?;
        *self.own.lock() = Some((term, key));
        Ok(Some(wrapped))
    }

    fn prepare(&self, name: ObjectName, object: Object, body: &[u8]) -> Result<StoredObject> {
        let Some((term, _)) = body_of(&object) else { return StoredObject::prepare(name, object, |_| Ok(Vec::new())) };
        let own = self.own.lock().clone();
        let key = match (&self.recipients, own) {
            (None, _) => None,
            (Some(_), Some((of, key))) if of == term => Some(key),
            // The plain text must not get into an encrypted replica.
            _ => return Err(Error::conflict(format!("this process has no key to write the term with: term={term}"))),
        };
        let nonce = object.nonce();
        StoredObject::prepare(name, object, |head| cipher::seal(key.as_ref(), &name, nonce, head, body))
    }

    async fn create(&self, object: &StoredObject) -> Result<Creation> {
        self.bucket.create(&object.name, object.bytes.clone()).await
    }

    async fn get(&self, name: ObjectName) -> Result<Option<StoredObject>> {
        let bytes = self.bucket.get(&name).await?;
        bytes.map(|bytes| StoredObject::read(name, bytes, self.head.store)).transpose()
    }

    async fn list(&self, folder: Folder) -> Result<Vec<ObjectName>> {
        self.bucket.list(folder, None).await
    }

    async fn list_page(
        &self,
        folder: Folder,
        after: Option<ObjectName>,
        before: Option<ObjectName>,
    ) -> Result<ListPage> {
        self.bucket.page(folder, after, before).await
    }

    async fn body(&self, object: &StoredObject) -> Result<Vec<u8>> {
        let Some((term, length)) = body_of(&object.object) else { return Ok(Vec::new()) };
        let key = self.key_of(term).await?;
        cipher::open(key.as_ref(), &object.name, object.object.nonce(), &object.head, &object.body, length)
    }

    async fn wait(&self, tries: u32, since: Duration, why: Error) -> Result<()> {
        let pause = FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE);
        // A bucket that swallows requests takes its time for each of them. One lost answer is asked again in any case.
        if tries > 0 && boot_time().saturating_sub(since) > self.bucket.patience() {
            return Err(why);
        }
        // Between a half and all of it, so that two processes that claim do not stay in step.
        let [chance, ..] = random();
        tokio::time::sleep(pause.mul_f64(0.5 + f64::from(chance) / 512.0)).await;
        Ok(())
    }

    async fn rest(&self) {
        tokio::time::sleep(REST).await;
    }
}
