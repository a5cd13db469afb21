//! The sessions of agents over HTTP, each with the key that began it: they end by their client's word, by
//! its silence, or with the service.
//!
//! The SDK would take a session whose client thinks for one whose client is gone, and would end it as if its client had
//! ended it. So it ends none by itself. A client that keeps a stream of events open is there, however long it is
//! silent. One that is silent without a stream may think or be gone, and nobody can tell: its session ends, and the
//! lease of each of its claims decides, as it was promised when the task was claimed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::BotId;
use crate::face::http::admission::rates::Who;
use crate::face::http::app::App;
use crate::face::mcp::leases::Leases;

/// The header that names a session.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The sessions of all agents, and of one key or client.
pub(super) const SESSIONS: usize = 256;
pub(super) const SESSIONS_OF_ONE: usize = 8;
/// The streams of events of one session. The second one is for a client that comes back before the first is seen to be
/// dead.
pub(super) const STREAMS_OF_ONE: usize = 2;
/// The calls of one key or client that may wait for a task at once. A wait needs no connection.
pub(super) const WAITS_OF_ONE: usize = 16;

/// The key and the bot of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) who: Who,
    pub(super) bot: Option<BotId>,
}

impl Owner {
    pub(super) fn of(app: &App) -> Self {
        Self { who: app.who(), bot: app.own_bot() }
    }
}

/// The open sessions, by their ids.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<String, Arc<Session>>>,
    /// The places of those who wait for a task.
    waits: Mutex<HashMap<Who, Arc<Semaphore>>>,
}

/// A session.
pub(super) struct Session {
    owner: Owner,
    /// The claims that it keeps. They go back when the SDK drops the session.
    leases: Weak<Leases>,
    heard: Mutex<Instant>,
    streams: Arc<Semaphore>,
}

/// A stream of events of a session. Its end is the last that is heard of its client.
pub(super) struct Stream {
    session: Arc<Session>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.session.is_heard();
    }
}

impl Session {
    fn is_heard(&self) {
        *self.heard.lock() = Instant::now();
    }

    /// Begins a stream of events, if there are not too many.
    pub(super) fn stream(self: &Arc<Self>) -> Option<Stream> {
        let place = self.streams.clone().try_acquire_owned().ok()?;
        Some(Stream { session: self.clone(), _place: place })
    }

    /// Whether its client has been silent for this long.
    fn is_silent(&self, silence: Duration) -> bool {
        self.streams.available_permits() == STREAMS_OF_ONE && self.heard.lock().elapsed() >= silence
    }
}

impl Sessions {
    /// Keeps only the sessions that the SDK has, and counts all and those of one.
    pub(super) fn count(&self, is_open: impl Fn(&str) -> bool, who: &Who) -> (usize, usize) {
        let mut open = self.open.lock();
        open.retain(|id, _| is_open(id));
        (open.len(), open.values().filter(|session| session.owner.who == *who).count())
    }

    pub(super) fn add(&self, id: &str, owner: Owner, leases: Weak<Leases>) {
        let (heard, streams) = (Mutex::new(Instant::now()), Arc::new(Semaphore::new(STREAMS_OF_ONE)));
        self.open.lock().insert(id.to_owned(), Arc::new(Session { owner, leases, heard, streams }));
    }

    /// The session of a request, if it is one of that owner; that request is heard.
    pub(super) fn of(&self, headers: &HeaderMap, owner: &Owner) -> Option<Arc<Session>> {
        let id = headers.get(SESSION)?.to_str().ok()?;
        let session = self.open.lock().get(id).filter(|session| session.owner == *owner).cloned()?;
        session.is_heard();
        Some(session)
    }

    /// Ends a session by the word of its client: its claims go back, and its calls that wait end.
    pub(super) async fn end(&self, session: &Arc<Session>) {
        self.open.lock().retain(|_, other| !Arc::ptr_eq(other, session));
        let Some(leases) = session.leases.upgrade() else { return };
        // One that cannot be given back is logged, and its lease ends it.
        drop(tokio::task::spawn_blocking(move || leases.end()).await);
    }

    /// Takes out the sessions that were silent for this long, and leaves their claims to the leases. Returns their ids.
    pub(super) fn take_silent(&self, silence: Duration) -> Vec<String> {
        let silent: Vec<_> = self.open.lock().extract_if(|_, session| session.is_silent(silence)).collect();
        silent.iter().filter_map(|(_, session)| session.leases.upgrade()).for_each(|leases| leases.leave());
        silent.into_iter().map(|(id, _)| id).collect()
    }

    /// The places of that key or client among those who wait for a task.
    pub(super) fn places_to_wait(&self, who: &Who) -> Arc<Semaphore> {
        let mut waits = self.waits.lock();
        // Somebody has those that are in use.
        waits.retain(|_, places| Arc::strong_count(places) > 1);
        waits.entry(who.clone()).or_insert_with(|| Arc::new(Semaphore::new(WAITS_OF_ONE))).clone()
    }
}
