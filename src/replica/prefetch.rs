//! A replica of which the objects of the log are asked for before their turn has come. Everything else goes through.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use jiff::Timestamp;

use super::bucket::{Creation, ListPage};
use super::objects::kinds::TermClaim;
use super::objects::layout::{Nonce, StoreId};
use super::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use super::objects::object::{Object, StoredObject};
use super::terms::remote::Remote;
use crate::error::{Error, Result};

/// A replica of which the objects of the log are asked for ahead.
pub(crate) struct Prefetch<'r, R> {
    remote: &'r R,
    /// So many objects are asked for at once.
    most: u64,
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
        Self { remote, most: most.max(1), running: RefCell::default() }
    }

    /// Asks for the objects from a slot on, as far as they were not asked for yet. Those of before are no longer
    /// needed.
    fn ask(&self, from: ReplicaSlot) {
        let mut running = self.running.borrow_mut();
        running.retain(|slot, _| *slot >= from && slot.term == from.term);
        let slots = std::iter::successors(Some(from), |slot| slot.next().ok());
        for slot in slots.take(usize::try_from(self.most).unwrap_or(usize::MAX)) {
            let remote = self.remote;
            let ask = || Running::Waits(Box::pin(remote.get(ObjectName::Log(slot))));
            running.entry(slot).or_insert_with(ask);
        }
    }

    fn poll(&self, slot: ReplicaSlot, context: &mut Context<'_>) -> Poll<Found> {
        let mut running = self.running.borrow_mut();
        running.values_mut().for_each(|one| one.poll(context));
        match running.remove(&slot) {
            Some(Running::Done(found)) => Poll::Ready(*found),
            Some(waits) => {
                running.insert(slot, waits);
                Poll::Pending
            }
            None => Poll::Ready(Err(Error::damaged(format!("an object was not asked for: slot={slot}")))),
        }
    }
}

impl Running<'_> {
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
