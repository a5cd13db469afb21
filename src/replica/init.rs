//! The beginning of a replica: the bucket proves itself, the description is written, and the
//! first term begins with a base.

use std::sync::Arc;

use super::bucket::Bucket;
use super::cipher::{Identities, Recipients};
use super::location::ReplicaLocation;
use super::objects::kinds::StoreHead;
use super::objects::layout::{Nonce, StoreId};
use super::objects::name::{Folder, ObjectName};
use super::objects::object::{Object, StoredObject};
use super::opened::OpenReplica;
use super::probe::probe;
use super::runtime::block_on;
use super::ship::Shipper;
use super::source::Source;
use super::terms::settle::{Settled, settle};
use crate::clock::as_stored;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};

/// How a replica begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitReplicaOptions {
    /// Public keys of age (`age1..`) whose holders can read the replica; none leaves it
    /// unencrypted. This cannot be changed later.
    pub recipients: Vec<String>,
}

impl Store {
    /// Makes a replica of the store at a location where none is, with a first base. From now on the store keeps its
    /// commits until [`Store::replicate`] has shipped them.
    ///
    /// # Errors
    ///
    /// `Conflict` when there is a replica, or when the bucket cannot keep two writers apart; `Invalid` for recipients
    /// that are none; the errors of the bucket, and as a write.
    pub fn init_replica(&self, at: &ReplicaLocation, options: &InitReplicaOptions) -> Result<()> {
        let recipients = match &options.recipients[..] {
            [] => None,
            texts => Some(Recipients::parse(texts)?.texts()),
        };
        let store = self.doing("replica_init", Some(at.to_string()));
        block_on(async {
            let bucket = Arc::new(Bucket::open(&at.0)?);
            refuse_taken(&bucket).await?;
            probe(&bucket).await?;
            let time = as_stored(self.clock().now());
            let head = StoreHead { store: StoreId::new(), nonce: Nonce::new(), time, recipients };
            let description =
                StoredObject::prepare(ObjectName::Store, Object::Store(head.clone()), |_| Ok(Vec::new()))?;
            let (none, clock) = (Identities::default(), self.clock().clone());
            let remote = OpenReplica::with(bucket.clone(), &description, none, clock)?;
            if let Settled::Other(_) = settle(&remote, &description).await? {
                return Err(taken(&bucket));
            }
            // A feed that began for an earlier replica would go on from a position in that one.
            let before = self.feed_status()?.map_or(0, |status| status.sequence);
            store.end_feed()?;
            store.begin_feed(before)?;
            let mut shipper = Shipper::open(remote, Source::open(self.clone(), head.store, description.hash)?).await?;
            let _step = shipper.base().await?;
            shipper.release().await
        })
    }
}

async fn refuse_taken(bucket: &Bucket) -> Result<()> {
    let has_store = bucket.get(&ObjectName::Store).await?.is_some();
    // The rest of one whose description was removed alone.
    if has_store || !bucket.list(Folder::Terms, None).await?.is_empty() {
        return Err(taken(bucket));
    }
    Ok(())
}

fn taken(bucket: &Bucket) -> Error {
    let shown = bucket.shown();
    let message =
        "there is a replica already, or the beginning of one; name another prefix, or remove everything below this one";
    Error::new(ErrorKind::Conflict, format!("{message}: location={shown}"))
}
