//! What every handler is given, and the one way in which it calls the store.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use crate::face::http::access::Access;
use crate::face::http::connection_limit::ConnectionLimit;
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::request_counts::RequestCounts;
use crate::face::http::token::Token;
use crate::service::instance::Instance;
use crate::{Error, ErrorKind, Result, Store};

/// So many calls work on the store at the same time; writers among them share their syncs.
const CALLS_AT_ONCE: usize = 64;
/// A call that has waited this long for its turn is told to come back.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// A call waits so long for a file that a failure has closed to be open again.
const OPEN_WITHIN: Duration = Duration::from_secs(2);

/// What every handler is given. Clones share it.
#[derive(Clone)]
pub(super) struct App(Arc<Inner>);

struct Inner {
    instance: Arc<Instance>,
    live: RwLock<Arc<Live>>,
    /// Taken by each call for as long as it works.
    turns: Arc<Semaphore>,
    /// Becomes true when the service is to stop; waiting claims give up then.
    stopping: watch::Receiver<bool>,
    connections: ConnectionLimit,
    request_counts: RequestCounts,
    /// The OpenAPI document.
    description: Value,
}

/// What each request is held against. Read for each, written when the settings are read anew.
#[derive(Clone, Debug)]
pub(in crate::face) struct Live {
    pub(in crate::face) token: Option<Token>,
    pub(in crate::face) access: Access,
    pub(in crate::face) limits: Limits,
}

/// How much a request may ask for.
#[derive(Clone, Copy, Debug)]
pub(in crate::face) struct Limits {
    /// The length of a body.
    pub(in crate::face) body_bytes: usize,
    /// How long a client may be silent: before the head of its request is there, or while it takes nothing of its answer.
    pub(in crate::face) silence: Duration,
}

impl App {
    pub(super) fn new(
        instance: Arc<Instance>,
        live: Live,
        stopping: watch::Receiver<bool>,
        connections: ConnectionLimit,
        description: Value,
    ) -> Self {
        Self(Arc::new(Inner {
            instance,
            live: RwLock::new(Arc::new(live)),
            turns: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            stopping,
            connections,
            request_counts: RequestCounts::default(),
            description,
        }))
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.live.read().limits
    }

    /// Holds requests against this from now on.
    pub(super) fn renew(&self, live: Live) {
        *self.0.live.write() = Arc::new(live);
    }

    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.0.instance
    }

    pub(super) fn connections(&self) -> &ConnectionLimit {
        &self.0.connections
    }

    pub(super) fn request_counts(&self) -> &RequestCounts {
        &self.0.request_counts
    }

    pub(super) fn description(&self) -> &Value {
        &self.0.description
    }

    /// What requests are held against now.
    pub(super) fn live(&self) -> Arc<Live> {
        self.0.live.read().clone()
    }

    /// Ends when the service is to stop.
    pub(super) async fn stops(&self) {
        told(self.0.stopping.clone()).await;
    }

    /// How many commits of this process waiting claims have been told of.
    pub(super) fn commits(&self) -> u64 {
        self.0.instance.store().commits().count()
    }

    /// Ends once there are more commits than those: then waiting claims look again.
    pub(super) async fn more_commits_than(&self, seen: u64) {
        self.0.instance.store().commits().more_than(seen).await;
    }

    /// Reads from the store.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        self.call(move |instance| work(instance.store())).await
    }

    /// Changes the store for a client: what it said before about a clean shutdown does not hold any more.
    pub(super) async fn change<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        self.change_by(move |instance| work(instance.store())).await
    }

    /// The same by what the service adds to the store.
    pub(super) async fn change_by<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Instance) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        self.call(move |instance| {
            instance.store().take_mark_back()?;
            work(instance)
        })
        .await
    }

    /// Works on the store, which blocks, beside the threads that answer. The one door to the store.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Instance) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.0.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(busy()) };
        let instance = self.0.instance.clone();
        let work = move || {
            let done = instance.keeper().wait(instance.store(), OPEN_WITHIN).and_then(|()| work(&instance));
            if let Err(error) = &done {
                instance.keeper().tell(error);
            }
            drop(turn);
            done
        };
        Ok(self.beside(work).await??)
    }

    /// Runs work beside the threads that answer.
    pub(super) async fn beside<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Answer<R> {
        let failed = |source| Error::new(ErrorKind::Io, "a request ended in a panic").with_source(source);
        Ok(tokio::task::spawn_blocking(work).await.map_err(failed)?)
    }
}

/// Ends when the service is to stop.
pub(super) async fn told(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone says the same as one that says so.
    let _told = stopping.wait_for(|stop| *stop).await.is_ok();
}

fn busy() -> Problem {
    let detail = format!("too many requests wait for the store; try again: waited_s={}", TURN_WITHIN.as_secs());
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with(header::RETRY_AFTER, "1")
}
