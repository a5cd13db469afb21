//! A replica of which the objects of the log are asked for before their turn has come. Everything else goes through.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::replica::bucket::{Creation, ListPage};
use crate::replica::objects::kinds::TermClaim;
use crate::replica::objects::layout::{Nonce, StoreId};
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::{Object, StoredObject};
use crate::replica::terms::remote::Remote;

/// So many bytes of objects may be in memory before their turn. Those that are on their way count as long as the last
/// one that was taken.
const MOST_BYTES: u64 = 64 << 20;
/// The length of an object that is expected before any was taken.
const FIRST_LENGTH: u64 = 8 << 20;

/// A replica of which the objects of the log are asked for ahead.
pub(crate) struct Prefetch<'r, R> {
    remote: &'r R,
    /// So many objects are asked for at once.
    most: u64,
    /// The length of the object that was taken last.
    length: Cell<u64>,
    running: RefCell<BTreeMap<ReplicaSlot, Running<'r>>>,
}

type Found = Result<Option<StoredObject>>;

enum Running<'r> {
    Waits(Pin<Box<dyn Future<Output = Found> + 'r>>),
    Done(Box<Found>),
}

impl<'r, R: Remote> Prefetch<'r, R> {
    /// Asks for so many objects at once.
    pub(crate) fn new(remote: &'r R, most: u64) -> Self {
        Self { remote, most: most.max(1), length: Cell::new(FIRST_LENGTH), running: RefCell::default() }
    }

    /// Asks for the objects from a slot on, as far as they were not asked for yet. Those of before are no longer
    /// needed.
    fn ask(&self, from: ReplicaSlot) {
        let mut running = self.running.borrow_mut();
        running.retain(|slot, _| *slot >= from && slot.term == from.term);
        let slots = std::iter::successors(Some(from), |slot| slot.next().ok());
        let expected = self.length.get();
        let mut bytes = running.values().map(|one| one.length(expected)).fold(0, u64::saturating_add);
        for slot in slots.take(usize::try_from(self.most).unwrap_or(usize::MAX)) {
            if running.contains_key(&slot) {
                continue;
            }
            bytes = bytes.saturating_add(expected);
            if slot != from && bytes > MOST_BYTES {
                break;
            }
            let remote = self.remote;
            running.insert(slot, Running::Waits(Box::pin(remote.get(ObjectName::Log(slot)))));
        }
    }

    fn poll(&self, slot: ReplicaSlot, context: &mut Context<'_>) -> Poll<Found> {
        let mut running = self.running.borrow_mut();
        running.values_mut().for_each(|one| one.poll(context));
        match running.remove(&slot) {
            Some(Running::Done(found)) => {
                self.length.set(length_of(&found));
                Poll::Ready(*found)
            }
            Some(waits) => {
                running.insert(slot, waits);
                Poll::Pending
            }
            None => Poll::Ready(Err(Error::damaged(format!("an object was not asked for: slot={slot}")))),
        }
    }
}

/// The bytes of an object that was found.
fn length_of(found: &Found) -> u64 {
    found.as_ref().ok().and_then(Option::as_ref).map_or(0, |object| object.bytes.len() as u64)
}

impl Running<'_> {
    /// The bytes of the object, or so many as are expected.
    fn length(&self, expected: u64) -> u64 {
        match self {
            Self::Waits(_) => expected,
            Self::Done(found) => length_of(found),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if let Self::Waits(future) = self
            && let Poll::Ready(found) = future.as_mut().poll(context)
        {
            *self = Self::Done(Box::new(found));
        }
    }
}

impl<R: Remote> Remote for Prefetch<'_, R> {
    fn store(&self) -> StoreId {
        self.remote.store()
    }

    fn now(&self) -> Timestamp {
        self.remote.now()
    }

    fn boot_time(&self) -> Duration {
        self.remote.boot_time()
    }

    fn machine(&self) -> String {
        self.remote.machine()
    }

    fn is_own(&self, claim: &TermClaim) -> bool {
        self.remote.is_own(claim)
    }

    fn nonce(&self) -> Nonce {
        self.remote.nonce()
    }

    fn wrapped_key(&self, term: Term) -> Result<Option<String>> {
        self.remote.wrapped_key(term)
    }

    fn prepare(&self, name: ObjectName, object: Object, body: &[u8]) -> Result<StoredObject> {
        self.remote.prepare(name, object, body)
    }

    async fn create(&self, object: &StoredObject) -> Result<Creation> {
        self.remote.create(object).await
    }

    async fn get(&self, name: ObjectName) -> Result<Option<StoredObject>> {
        match name {
            ObjectName::Log(slot) if slot.index > 0 => {
                self.ask(slot);
                poll_fn(|context| self.poll(slot, context)).await
            }
            _ => self.remote.get(name).await,
        }
    }

    async fn list(&self, folder: Folder) -> Result<Vec<ObjectName>> {
        self.remote.list(folder).await
    }

    async fn list_page(
        &self,
        folder: Folder,
        after: Option<ObjectName>,
        before: Option<ObjectName>,
    ) -> Result<ListPage> {
        self.remote.list_page(folder, after, before).await
    }

    async fn body(&self, object: &StoredObject) -> Result<Vec<u8>> {
        self.remote.body(object).await
    }

    async fn wait(&self, tries: u32, since: Duration, why: Error) -> Result<()> {
        self.remote.wait(tries, since, why).await
    }

    async fn rest(&self) {
        self.remote.rest().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::poll;

    use super::*;
    use crate::replica::connection::runtime::block_on;
    use crate::replica::gated_test::Fleet;
    use crate::replica::objects::kinds::LogBatch;
    use crate::replica::objects::layout::ObjectHash;
    use crate::replica::terms::settle::settle;

    #[test]
    fn no_more_objects_are_asked_for_than_fit_into_memory() {
        block_on(async {
            let (fleet, _store) = Fleet::begin().await?;
            let remote = fleet.copier(&fleet.world.door()).await?.remote;
            let slot = |index| ReplicaSlot { term: Term(7), index };
            // Bytes that do not become shorter.
            let mut hash = blake3::Hasher::new().finalize_xof();
            let mut long = vec![0; 30 << 20];
            hash.fill(&mut long);
            for index in 1..60 {
                let body = if (3..40).contains(&index) { &long[..] } else { &[] };
                if index > 8 && !body.is_empty() {
                    continue;
                }
                let batch = LogBatch {
                    store: remote.store(),
                    slot: slot(index),
                    nonce: remote.nonce(),
                    previous: ObjectHash([0; 32]),
                    time: remote.now(),
                    after: 0,
                    last: 0,
                    commits: 0,
                    states: ObjectHash([0; 32]),
                    bytes: body.len() as u64,
                };
                let object = remote.prepare(ObjectName::Log(slot(index)), Object::Batch(batch), body)?;
                let _own = settle(&*remote, &object).await?;
            }
            let door = fleet.world.door().counting();
            let counted: Arc<_> = fleet.copier(&door).await?.remote;
            let ahead = Prefetch::new(&*counted, 24);
            let mut asked = Vec::new();
            for index in 1..9 {
                fleet.world.count(None);
                let mut get = Box::pin(ahead.get(ObjectName::Log(slot(index))));
                let found = loop {
                    match poll!(&mut get) {
                        Poll::Ready(found) => break found?,
                        Poll::Pending => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                };
                assert!(found.is_some(), "{index}");
                asked.push(fleet.world.requests());
                let bytes: u64 = ahead.running.borrow().values().map(|one| one.length(0)).sum();
                assert!(bytes < 400 << 20, "{bytes}");
            }
            println!("asked={asked:?}");
            // Eight of an unknown length; as many as there may be behind a small one; few behind a large one.
            assert_eq!(asked[0], 8);
            assert!(asked[3] <= 2 && asked[4] <= 2 && asked[5] <= 2, "{asked:?}");
            Ok(())
        })
        .unwrap();
    }
}
