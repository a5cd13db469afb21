//! The state that handlers share, and the one way in which they call the store.

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use jiff::Timestamp;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::face::http::admission::access::Access;
use crate::face::http::admission::band::Band;
use crate::face::http::admission::caller::Caller;
use crate::face::http::admission::rates::{Claimed, RateLimits, Rates, Who};
use crate::face::http::admission::sessions::Sessions;
use crate::face::http::admission::token::Token;
use crate::face::http::measures::request_counts::RequestCounts;
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::sockets::client::{Address, Client};
use crate::face::http::sockets::connection_limit::ConnectionLimit;
use crate::face::http::sockets::memory::{Charge, Memory};
use crate::face::http::sockets::tls::Tls;
use crate::service::instance::Instance;
use crate::service::keyring::KeyRing;
use crate::service::refusals::note_wrong_keys;
use crate::{BotId, Error, ErrorKind, KeyName, Result, Store, Task};

/// Maximum number of concurrent calls of the store; writers among them share their syncs.
const CALLS_AT_ONCE: usize = 64;
/// Maximum number of concurrent reads whose answers may be long.
const READS_AT_ONCE: usize = 4;
/// Timeout for a permit to call the store; then the request is refused.
const PERMIT_WITHIN: Duration = Duration::from_secs(10);
/// Timeout of a call for the store to be reopened after a failure.
const OPEN_WITHIN: Duration = Duration::from_secs(2);

/// The path of the probe that asks only whether the process lives.
const ALIVE: &str = "/livez";
/// Refused requests are gathered for this long.
const REFUSALS_EVERY: Duration = Duration::from_secs(1);

/// The state that handlers share, and who asks. Clones share the state.
#[derive(Clone)]
pub(super) struct App {
    shared: Arc<Inner>,
    caller: Option<Caller>,
}

/// A handler takes it as its first argument.
impl FromRequestParts<Self> for App {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Self) -> Result<Self, Infallible> {
        Ok(Self { shared: app.shared.clone(), caller: parts.extensions.get().cloned() })
    }
}

struct Inner {
    instance: Arc<Instance>,
    live: RwLock<Arc<Live>>,
    /// The semaphore for calls of the store.
    permits: Arc<Semaphore>,
    /// Becomes true at shutdown; waiting claims give up then.
    stopping: watch::Receiver<bool>,
    connections: ConnectionLimit,
    request_counts: RequestCounts,
    sessions: Sessions,
    memory: Memory,
    rates: Rates,
    /// The semaphore for reads whose answers may be long.
    reads: Arc<Semaphore>,
    /// The semaphore with the one permit to measure the store.
    measures: Arc<Semaphore>,
    /// The OpenAPI document.
    description: Value,
}

/// The settings that each request is checked against. Read for every request, written when the settings are reloaded.
#[derive(Clone, Debug)]
pub(in crate::face) struct Live {
    pub(in crate::face) token: Option<Token>,
    pub(in crate::face) access: Access,
    pub(in crate::face) limits: Limits,
    /// The name and the colour of the page.
    #[cfg_attr(not(feature = "page"), expect(dead_code, reason = "only the page shows it"))]
    pub(in crate::face) band: Band,
    pub(in crate::face) rates: RateLimits,
    /// Whether requests need a key even if the store has none, since other machines reach the service.
    pub(in crate::face) asks_always: bool,
    /// The certificate of the service, if it has one.
    pub(in crate::face) tls: Option<Tls>,
    /// The settings of the service in words, without secrets.
    pub(in crate::face) settings: BTreeMap<String, String>,
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
        let shared = Arc::new(Inner {
            instance,
            live: RwLock::new(Arc::new(live)),
            permits: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            stopping,
            connections,
            request_counts: RequestCounts::default(),
            sessions: Sessions::default(),
            memory,
            rates: Rates::default(),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            measures: Arc::new(Semaphore::new(1)),
            description,
        });
        Self { shared, caller: None }
    }

    pub(super) fn limits(&self) -> Limits {
        self.shared.live.read().limits
    }

    /// Checks requests against these settings from now on.
    pub(super) fn renew(&self, live: Live) {
        self.shared.memory.renew(live.limits.memory_bytes);
        *self.shared.live.write() = Arc::new(live);
    }

    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.shared.instance
    }

    /// The caller of the request; none outside of a handler.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// The only bot that the caller acts as.
    pub(super) fn own_bot(&self) -> Option<BotId> {
        self.caller.as_ref().and_then(Caller::bot).cloned()
    }

    /// A task as the caller may see it.
    pub(super) fn shown(&self, mut task: Task) -> Task {
        self.caller.iter().for_each(|caller| caller.hide_token(&mut task));
        task
    }

    /// The value of a record, or of a part of a document with that path, as the caller may see it.
    pub(super) fn hide_tokens(&self, collection: &str, part: Option<&str>, value: &mut Value) {
        self.caller.iter().for_each(|caller| caller.hide_tokens(collection, part, value));
    }

    /// The keys of the store for a caller that shows this text, read again when they are old or lack that key.
    pub(super) async fn key_ring(&self, shown: Option<&[u8]>) -> Arc<KeyRing> {
        let shown = shown.and_then(|shown| str::from_utf8(shown).ok());
        let (ring, is_old) = self.shared.instance.keyring().ring(shown, self.now());
        if !is_old {
            return ring;
        }
        let instance = self.shared.instance.clone();
        self.beside(move || instance.keyring().reload(instance.store())).await.unwrap_or(ring)
    }

    /// The keys for a request to that path. Whether the process lives is answered without the store, which may be busy.
    pub(super) async fn key_ring_for(&self, path: &str, shown: Option<&[u8]>) -> Arc<KeyRing> {
        if path == ALIVE { self.shared.instance.keyring().at_hand() } else { self.key_ring(shown).await }
    }

    /// Notes that a request was refused. All of a second are written together, for which no request waits.
    pub(super) fn was_refused(&self, caller: &Caller, request: String, status: StatusCode) {
        if self.instance().refusals().add(caller.actor(), request, status.as_u16().to_string()) {
            self.later(REFUSALS_EVERY, |instance| instance.refusals().write(instance.store()));
        }
    }

    /// Notes that a key was used. About once a minute that is written, for which no request waits.
    pub(super) fn key_was_used(&self, key: &KeyName) {
        if let Some(after) = self.instance().keyring().used(key, self.instance().store().clock().now()) {
            self.later(after, |instance| instance.keyring().write_uses(instance.store()));
        }
    }

    fn later(&self, after: Duration, work: impl FnOnce(&Instance) + Send + 'static) {
        let instance = self.shared.instance.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            tokio::task::spawn_blocking(move || work(&instance));
        });
    }

    pub(super) fn rates(&self) -> &Rates {
        &self.shared.rates
    }

    /// Counts a point that the caller asks for, or refuses it.
    pub(super) fn admit_point(&self) -> Result<(), Problem> {
        self.rates().point(&self.who(), self.live().rates)
    }

    pub(super) fn who(&self) -> Who {
        self.caller().map_or(Who::Client(Client::Others), Caller::who)
    }

    /// Notes a wrong key. After some of them there is an event, for which no request waits.
    pub(super) fn key_was_wrong(&self, claimed: Claimed, address: Option<Address>) {
        let key = claimed.1.clone();
        let Some(count) = self.rates().was_wrong(claimed) else { return };
        let address = address.map(|address| address.to_string());
        let instance = self.shared.instance.clone();
        tokio::task::spawn_blocking(move || {
            note_wrong_keys(instance.store(), address.as_deref(), key.as_deref(), count);
        });
    }

    pub(super) fn connections(&self) -> &ConnectionLimit {
        &self.shared.connections
    }

    pub(super) fn request_counts(&self) -> &RequestCounts {
        &self.shared.request_counts
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.shared.memory
    }

    /// The sessions of the page.
    pub(super) fn sessions(&self) -> &Sessions {
        &self.shared.sessions
    }

    /// The time of the store's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.shared.instance.store().clock().now()
    }

    pub(super) fn description(&self) -> &Value {
        &self.shared.description
    }

    /// The settings that requests are checked against now.
    pub(super) fn live(&self) -> Arc<Live> {
        self.shared.live.read().clone()
    }

    /// Resolves at shutdown.
    pub(super) async fn stops(&self) {
        told(self.shared.stopping.clone()).await;
    }

    /// Reads from the store.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        self.call(move |_, store| work(store)).await
    }

    /// Reads records of any length and makes the whole answer, so that few of them are in memory at once.
    pub(super) async fn show<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        self.look_through(move |_, store| work(store)).await
    }

    /// Reads much of the store, which few do at once.
    pub(super) async fn look_through<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Instance, &Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        let permit = permit(&self.shared.reads).await?;
        self.call(move |instance, store| {
            let _held = permit;
            work(instance, store)
        })
        .await
    }

    /// Measures the store by reading all of it, for one request at a time and beside other reads, which it may not keep
    /// waiting: it goes on when its client has gone.
    pub(super) async fn measure<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        let permit = permit(&self.shared.measures).await?;
        self.call(move |_, store| {
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
        self.change_by(move |_, store| work(store)).await
    }

    /// The same with the whole service, not only its store.
    pub(super) async fn change_by<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Instance, &Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        self.call(move |instance, store| {
            store.take_mark_back()?;
            work(instance, store)
        })
        .await
    }

    /// Calls the store for the caller. The call blocks, so it runs on a thread for blocking work. Every access
    /// to the store goes through here.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Instance, &Store) -> Result<R> + Send + 'static,
    ) -> Answer<R> {
        let done = self.call_any(Box::new(move |instance, store| Ok(Box::new(work(instance, store)?)))).await?;
        let lost = |_| Error::new(ErrorKind::Io, "a request handler gave another result");
        Ok(*done.downcast().map_err(lost)?)
    }

    /// The same for any result: it is compiled once for all handlers, as much of the runtime is with it.
    async fn call_any(&self, work: AnyWork) -> Answer<AnyResult> {
        let permit = permit(&self.shared.permits).await?;
        let instance = self.shared.instance.clone();
        let store = match &self.caller {
            Some(caller) => instance.store().acting_as(caller.actor()),
            None => instance.store().clone(),
        };
        let work = move || {
            let _held = permit;
            let done = instance.keeper().wait(&store, OPEN_WITHIN).and_then(|()| work(&instance, &store));
            done.inspect_err(|error| instance.keeper().tell(error))
        };
        Ok(self.beside(work).await??)
    }

    /// Runs work on a thread for blocking work. It may outlive the request, whose memory it keeps until it is done.
    pub(super) async fn beside<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Answer<R> {
        let failed = |source| Error::new(ErrorKind::Io, "a request handler panicked").with_source(source);
        let charge = Charge::current(&self.shared.memory);
        let work = move || {
            let _held = charge;
            work()
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(failed)?)
    }
}

/// The result of a call of the store, of any type.
type AnyResult = Box<dyn Any + Send>;

/// A call of the store, with its result of any type.
type AnyWork = Box<dyn FnOnce(&Instance, &Store) -> Result<AnyResult> + Send>;

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
