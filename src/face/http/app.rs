//! The state that handlers share, and the one way in which they call the store.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::face::http::access::Access;
use crate::face::http::connection_limit::ConnectionLimit;
use crate::face::http::memory::{Charge, Memory};
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::request_counts::RequestCounts;
use crate::face::http::token::Token;
use crate::service::instance::Instance;
use crate::{Error, ErrorKind, Result, Store};

/// Maximum number of concurrent calls of the store; writers among them share their syncs.
const CALLS_AT_ONCE: usize = 64;
/// Maximum number of concurrent reads whose answers may be long.
const READS_AT_ONCE: usize = 4;
/// Timeout for a permit to call the store; then the request is refused.
const PERMIT_WITHIN: Duration = Duration::from_secs(10);
/// Timeout of a call for the store to be reopened after a failure.
const OPEN_WITHIN: Duration = Duration::from_secs(2);

/// The state that handlers share. Clones share it.
#[derive(Clone)]
pub(super) struct App(Arc<Inner>);

struct Inner {
    instance: Arc<Instance>,
    live: RwLock<Arc<Live>>,
    /// Permits to call the store.
    permits: Arc<Semaphore>,
    /// Becomes true at shutdown; waiting claims give up then.
    stopping: watch::Receiver<bool>,
    connections: ConnectionLimit,
    request_counts: RequestCounts,
    memory: Memory,
    /// Permits for reads whose answers may be long.
    reads: Arc<Semaphore>,
    /// The OpenAPI document.
    description: Value,
}

/// The settings that each request is checked against. Read for every request, written when the settings are reloaded.
#[derive(Clone, Debug)]
pub(in crate::face) struct Live {
    pub(in crate::face) token: Option<Token>,
    pub(in crate::face) access: Access,
    pub(in crate::face) limits: Limits,
}

/// The limits of a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::face) struct Limits {
    /// Maximum length of a body.
    pub(in crate::face) body_bytes: usize,
    /// Maximum memory for the bodies and answers of all requests together.
    pub(in crate::face) memory_bytes: usize,
    /// Timeout for the head of a request, and for a client that does not read its response.
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
        let memory = Memory::new(live.limits.memory_bytes);
        Self(Arc::new(Inner {
            instance,
            live: RwLock::new(Arc::new(live)),
            permits: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            stopping,
            connections,
            request_counts: RequestCounts::default(),
            memory,
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            description,
        }))
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.live.read().limits
    }

    /// Checks requests against these settings from now on.
    pub(super) fn renew(&self, live: Live) {
        self.0.memory.renew(live.limits.memory_bytes);
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

    pub(super) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    pub(super) fn description(&self) -> &Value {
        &self.0.description
    }

    /// The settings that requests are checked against now.
    pub(super) fn live(&self) -> Arc<Live> {
        self.0.live.read().clone()
    }

    /// Resolves at shutdown.
    pub(super) async fn stops(&self) {
        told(self.0.stopping.clone()).await;
    }

    /// Resolves once there are more commits than `seen`; waiting claims then look again.
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

    /// Reads records of any length and makes the whole answer, so that few of them are in memory at once.
    pub(super) async fn show<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        let permit = permit(&self.0.reads).await?;
        self.read(move |store| {
            let _held = permit;
            work(store)
        })
        .await
    }

    /// Changes the store for a client, whose mark of a clean shutdown is void from then on.
    pub(super) async fn change<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        self.change_by(move |instance| work(instance.store())).await
    }

    /// The same with the whole service, not only its store.
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

    /// Calls the store, which blocks, on a thread for blocking work. Every access to the store goes through here.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Instance) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        let permit = permit(&self.0.permits).await?;
        let instance = self.0.instance.clone();
        let work = move || {
            let done = instance.keeper().wait(instance.store(), OPEN_WITHIN).and_then(|()| work(&instance));
            if let Err(error) = &done {
                instance.keeper().tell(error);
            }
            drop(permit);
            done
        };
        Ok(self.beside(work).await??)
    }

    /// Runs work on a thread for blocking work. It may outlive the request, whose memory it keeps until it is done.
    pub(super) async fn beside<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Answer<R> {
        let failed = |source| Error::new(ErrorKind::Io, "a request handler panicked").with_source(source);
        let charge = Charge::current(&self.0.memory);
        let work = move || {
            let _held = charge;
            work()
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(failed)?)
    }
}

/// Waits for a permit, up to a timeout.
async fn permit(permits: &Arc<Semaphore>) -> Answer<OwnedSemaphorePermit> {
    let permit = tokio::time::timeout(PERMIT_WITHIN, permits.clone().acquire_owned()).await;
    permit.ok().and_then(std::result::Result::ok).ok_or_else(busy)
}

/// Resolves at shutdown.
pub(super) async fn told(mut stopping: watch::Receiver<bool>) {
    // A dropped sender means the same.
    let _told = stopping.wait_for(|stop| *stop).await.is_ok();
}

fn busy() -> Problem {
    let detail = format!("too many requests are waiting for the store; retry: waited_s={}", PERMIT_WITHIN.as_secs());
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with(header::RETRY_AFTER, "1")
}
