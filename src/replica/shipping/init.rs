//! The beginning of a replica: the bucket proves itself, the description is written, and the
//! first term begins with a base.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::ship::Shipper;
use super::source::Source;
use crate::clock::as_stored;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::check::last_replica::ReplicaWatch;
use crate::replica::bucket::Bucket;
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::cipher::{Identities, Recipients};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::probe::probe;
use crate::replica::connection::runtime::block_on;
use crate::replica::objects::kinds::StoreHead;
use crate::replica::objects::layout::{Nonce, StoreId};
use crate::replica::objects::name::{Folder, ObjectName};
use crate::replica::objects::object::{Object, StoredObject};
use crate::replica::reading::bases::bases;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::terms::chain::newest_open;
use crate::replica::terms::remote::Remote as _;
use crate::replica::terms::settle::{Settled, settle};

/// How a replica begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitReplicaOptions {
    /// Public keys of age (`age1..`) whose holders can read the replica; none leaves it
    /// unencrypted. This cannot be changed later.
    pub recipients: Vec<String>,
}

impl Store {
    /// Makes a replica of the store at a location where none is, with a first base. From now on the store keeps its
    /// commits until [`Store::replicate`] has shipped them. One that was interrupted is finished by another one.
    ///
    /// # Errors
    ///
    /// `Conflict` when there is a replica, or when the bucket cannot keep two writers apart; `Locked` while a process
    /// ships the store; `Invalid` for recipients that are none; the errors of the bucket, and as a write.
    pub fn init_replica(&self, at: &ReplicaLocation, options: &InitReplicaOptions) -> Result<()> {
        let recipients = match &options.recipients[..] {
            [] => None,
            texts => Some(Recipients::parse(texts)?.texts()),
        };
        self.init_replica_in(Arc::new(Bucket::begin(&at.0)?), at, recipients)
    }

    /// The same in the bucket of that location.
    pub(in crate::replica) fn init_replica_in(
        &self,
        bucket: Arc<Bucket>,
        at: &ReplicaLocation,
        recipients: Option<Vec<String>>,
    ) -> Result<()> {
        // A process that ships to an earlier replica would go on with the feed of this one.
        let _lock = self.lock_shipping(Duration::ZERO)?;
        // Before anything is written to the bucket.
        self.refuse_unless_writable()?;
        let store = self.doing("replica_init", Some(at.to_string()));
        block_on(async {
            let remote = match bucket.get(&ObjectName::Store).await? {
                Some(bytes) => begun(self, &bucket, bytes, recipients).await?,
                None => begin(self, &bucket, recipients).await?,
            };
            if self.position_in(&remote)?.is_none() {
                // A feed that began for an earlier replica would go on from a position in that one.
                let before = self.feed_status()?.map_or(0, |status| status.sequence);
                store.end_feed()?;
                store.begin_feed(before)?;
            }
            let source = Source::open(self.locally(), remote.store(), remote.description())?;
            let mut shipper = Shipper::open(remote, source).await?;
            let _step = shipper.base().await?;
            // A later start knows by this that a location without a replica is a mistake.
            self.locally().note_replica(&ReplicaWatch::new(at.kept()?), None)?;
            shipper.release().await
        })
    }

    /// How far the store was shipped to that replica; none if it never was.
    fn position_in(&self, remote: &OpenReplica) -> Result<Option<ShippedTo>> {
        let position = self.feed_status()?.map_or_else(Vec::new, |status| status.position);
        let at = if position.is_empty() { None } else { Some(ShippedTo::of_bytes(&position)?) };
        Ok(at.filter(|at| at.store == remote.store()))
    }
}

/// Lets the bucket prove itself, and describes a replica in it.
async fn begin(store: &Store, bucket: &Arc<Bucket>, recipients: Option<Vec<String>>) -> Result<OpenReplica> {
    // The rest of one whose description was removed alone.
    if !bucket.list(Folder::Terms, None).await?.is_empty() {
        return Err(taken(bucket));
    }
    probe(bucket).await?;
    let time = as_stored(store.clock().now());
    let head = StoreHead { store: StoreId::new(), nonce: Nonce::new(), time, recipients };
    let description = StoredObject::prepare(ObjectName::Store, Object::Store(head), |_| Ok(Vec::new()))?;
    let remote = open(store, bucket, &description)?;
    match settle(&remote, &description).await? {
        Settled::Own => Ok(remote),
        Settled::Other(_) => Err(taken(bucket)),
    }
}

/// A replica whose beginning was interrupted, by this store or before any store was in it.
async fn begun(
    store: &Store,
    bucket: &Arc<Bucket>,
    description: Bytes,
    recipients: Option<Vec<String>>,
) -> Result<OpenReplica> {
    let description = StoredObject::read_any(ObjectName::Store, description)?;
    let remote = open(store, bucket, &description)?;
    // A store that took the replica over knows of no base of its own either.
    let is_unfinished = match store.position_in(&remote)? {
        Some(_) => bases(&remote).await?.is_empty(),
        None => newest_open(&remote).await?.is_none(),
    };
    if !is_unfinished {
        return Err(taken(bucket));
    }
    if !matches!(&description.object, Object::Store(head) if head.recipients == recipients) {
        let message = "the replica was begun for other recipients; name these, or another prefix";
        return Err(Error::new(ErrorKind::Conflict, format!("{message}: location={}", bucket.shown())));
    }
    Ok(remote)
}

fn open(store: &Store, bucket: &Arc<Bucket>, description: &StoredObject) -> Result<OpenReplica> {
    OpenReplica::with(bucket.clone(), description, Identities::default(), store.clock().clone())
}

fn taken(bucket: &Bucket) -> Error {
    let shown = bucket.shown();
    let message = "there is a replica already, perhaps the last copy of a store: to go on with that store here, \
                   restore it; for a replica of this store, name another prefix";
    Error::new(ErrorKind::Conflict, format!("{message}: location={shown}"))
}
