//! Sessions: the processes that have the store open, and the cleanup after those that crashed.
//!
//! A session is alive while its process holds its byte in the file of sessions. A session that neither ended cleanly
//! nor is alive has crashed. Tasks that were claimed in that process are ready again, with the attempt counted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock;
use crate::engine::codec::{self, Stored};
use crate::engine::commit::Outcome;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::reserve;
use crate::engine::schema::Table;
use crate::engine::session::own_session::OwnSession;
use crate::engine::session::session_locks::SessionLocks;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::recovery::events::event::EventKind;
use crate::recovery::sessions::alive::alive_at;
use crate::recovery::sessions::mark::{MARK, Mark};
use crate::recovery::sessions::seen::SeenBy;
use crate::state::ids::SessionId;

/// The counter of session numbers.
pub(crate) const COUNTER: &str = "sessions";
/// The time for which ended sessions are listed.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A process that has, or had, the store open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its number, which is never reused.
    pub id: SessionId,
    /// The process id, for display only.
    pub pid: u32,
    /// The program, for display only.
    pub program: String,
    /// When it was opened.
    #[serde(with = "clock::time")]
    pub opened_at: Timestamp,
    /// When it was last known to be alive.
    #[serde(with = "clock::time")]
    pub alive_at: Timestamp,
    /// How it ended; open until then.
    pub state: SessionState,
    /// The time of its end, or at which its crash was noticed.
    #[serde(with = "clock::time::option")]
    pub ended_at: Option<Timestamp>,
}

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It has not ended.
    Open,
    /// It was closed.
    Closed,
    /// Its process died, and nobody has acknowledged that yet.
    Crashed,
    /// Its process had marked a clean shutdown, but more than 30 seconds before its death was noticed.
    StaleMarker,
    /// It crashed, and the crash was acknowledged.
    Acknowledged,
}

impl Stored for Session {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "a session";
}

impl Store {
    /// Starts this process's session: finds crashes of others first, then writes the session's row and locks its byte.
    /// The session ends when the store is closed, or dropped outside of a panic. Returns the crashes.
    pub(crate) fn begin_session(&self) -> Result<Vec<Session>> {
        let session_locks = SessionLocks::open(self.path())?;
        let (id, crashed) = self.alone(|tx| {
            // A living process locks its byte in the new file within a second. The next look notices a dead one.
            let crashed = if self.cannot_see_others() { Vec::new() } else { tx.notice_crashes(&session_locks)? };
            // If a store was removed while a process had it open, the byte of the same number may still be locked.
            let id = loop {
                let id = SessionId(tx.next(COUNTER)?);
                if session_locks.hold(id.0)? {
                    session_locks.write_holder(id.0)?;
                    break id;
                }
            };
            let now = tx.now();
            let session = Session {
                id,
                pid: std::process::id(),
                program: program(),
                opened_at: now,
                alive_at: now,
                state: SessionState::Open,
                ended_at: None,
            };
            tx.put_session(&session)?;
            Ok(Outcome::Commit((id, crashed)))
        })?;
        let held = Arc::new(OwnSession::new(self.path(), session_locks, id.0, who("")));
        self.set_session(id.0, &held);
        self.at_close(Box::new(move |tx| {
            // Held as long as this may have to be tried again.
            let _held = &held;
            tx.end_session(id)
        }));
        Ok(crashed)
    }

    /// Starts the session of a store that was just opened. On a full disk it continues without one, and the session
    /// starts once something can be written: reads and removals must not fail for lack of a page.
    pub(crate) fn begin_session_or_later(self, reopen: impl FnOnce() -> Result<Self>) -> Result<Self> {
        match self.begin_session() {
            Err(error) if reserve::is_full(&error) || self.log_waits() => {
                tracing::warn!(%error, "the store is open without a session until its file can be written");
                // A failed commit leaves a handle that refuses further work.
                drop::<Result<()>>(self.close());
                let store = reopen()?;
                store.put_session_off(true);
                Ok(store)
            }
            begun => begun.map(|_crashed| self),
        }
    }

    /// Starts a postponed session, once there are signs of free space: a failed try would end reading too.
    fn begin_session_put_off(&self) -> Result<Vec<Session>> {
        if !self.commits().has_committed() || !self.put_session_off(false) {
            return Ok(Vec::new());
        }
        let begun = self.begin_session();
        self.put_session_off(begun.is_err());
        begun
    }

    /// The session of this process, if the store was opened with one. Claims of this process belong to it unless they
    /// say [otherwise](crate::ClaimOwner).
    pub fn session(&self) -> Option<SessionId> {
        self.session_number().map(SessionId)
    }

    /// Looks for crashed sessions of other processes, and returns those that were not known.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn notice_crashes(&self) -> Result<Vec<Session>> {
        self.refuse_forked()?;
        if self.is_session_put_off() {
            return self.begin_session_put_off();
        }
        self.append_log_news();
        self.keep_session_lock();
        if self.view()?.dead_sessions(self.path(), self.session())?.is_empty() {
            return Ok(Vec::new());
        }
        let session_locks = SessionLocks::open(self.path())?;
        let own = self.session();
        self.alone(|tx| {
            if let Some(own) = own {
                tx.keep_alive(own)?;
            }
            tx.notice_crashes(&session_locks).map(Outcome::Commit)
        })
    }

    /// The crashes that no process has noticed yet, as they will be noticed. This changes nothing.
    pub(crate) fn unnoticed_crashes(&self) -> Result<Vec<Session>> {
        if self.cannot_see_others() {
            return Ok(Vec::new());
        }
        let view = self.view()?;
        let dead = view.dead_sessions(self.path(), self.session())?;
        let state = state_of_the_dead(&view, view.context().stale_mark, self.clock().now())?;
        Ok(dead.into_iter().map(|session| Session { state, ..session }).filter(Session::is_crash).collect())
    }

    /// The sessions, newest first.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn sessions(&self) -> Result<Vec<Session>> {
        let mut sessions = sessions(&self.view()?)?;
        sessions.reverse();
        Ok(sessions)
    }

    /// Acknowledges every crash, including those that no process has noticed yet. Returns their number.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn acknowledge_crashes(&self) -> Result<usize> {
        let store = self.doing("crash_acknowledge", None);
        if !self.cannot_see_others() {
            store.notice_crashes()?;
        }
        store.write(|tx| tx.acknowledge_crashes(SeenBy::Person))
    }

    /// Marks a clean shutdown, as clients of the replaced service do before they stop. If this process dies soon after,
    /// it is not a crash. A later write of a client removes the mark with [`Store::take_mark_back`].
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn mark_shutdown(&self) -> Result<Timestamp> {
        self.write(|tx| {
            tx.acknowledge_crashes(SeenBy::ShutdownMark)?;
            let at = tx.now();
            MARK.put(tx, &Mark { at })?;
            tx.events().append(EventKind::CleanShutdownMarked, json!({}))?;
            tx.note("shutdown_mark", None)?;
            Ok(at)
        })
    }

    /// Removes the mark of a clean shutdown, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn take_mark_back(&self) -> Result<()> {
        if MARK.read(&self.view()?)?.is_some() {
            self.write(|tx| MARK.remove(tx))?;
        }
        Ok(())
    }
}

impl WriteTx<'_> {
    /// Ends sessions whose processes are gone, and returns the tasks that were claimed in them.
    fn notice_crashes(&mut self, session_locks: &SessionLocks) -> Result<Vec<Session>> {
        let now = self.now();
        let state = state_of_the_dead(self, self.context.stale_mark, now)?;
        let (mut crashed, mut returned) = (Vec::new(), 0);
        for mut session in sessions(self)? {
            if session.state != SessionState::Open {
                if session.ended_at.is_some_and(|ended| ended < clock::before(now, KEEP)) && !session.is_crash() {
                    self.remove_row(Table::Sessions, &session.id.0.to_be_bytes())?;
                    self.remove_alive(session.id)?;
                }
                continue;
            }
            if session_locks.lives(session.id.0)? {
                continue;
            }
            session.ended_at = Some(now);
            session.state = state;
            self.put_session(&session)?;
            if session.state == SessionState::Crashed {
                let tasks = self.queue().return_claims_of_session(session.id)?;
                returned += tasks;
                let details = json!({
                    "session": session.id, "pid": session.pid, "program": session.program,
                    "last_alive": clock::show_time(session.alive_at), "tasks_returned": tasks,
                });
                self.events().append(EventKind::CrashDetected, details)?;
            }
            crashed.extend(session.is_crash().then_some(session));
        }
        // They are a commit of their own: a restore to the next one must not bring the claims of the dead back.
        if returned > 0 && self.context.history.is_some() {
            self.seal_commit()?;
        }
        Ok(crashed)
    }

    /// Stores that a session is alive.
    pub(crate) fn keep_alive(&mut self, id: SessionId) -> Result<()> {
        if let Some(bytes) = self.row(Table::Sessions, &id.0.to_be_bytes())? {
            let (session, now): (Session, _) = (codec::decode(&bytes)?, self.now());
            // It may have been taken for dead while it was missing in the file of sessions.
            if session.state != SessionState::Open {
                self.put_session(&Session { alive_at: now, state: SessionState::Open, ended_at: None, ..session })?;
            }
            self.put_alive(id, now)?;
        }
        Ok(())
    }

    /// Ends a session cleanly. This also acknowledges earlier crashes and removes the mark.
    fn end_session(&mut self, id: SessionId) -> Result<()> {
        if let Some(bytes) = self.row(Table::Sessions, &id.0.to_be_bytes())? {
            let session: Session = codec::decode(&bytes)?;
            let now = self.now();
            self.put_session(&Session { alive_at: now, state: SessionState::Closed, ended_at: Some(now), ..session })?;
        }
        self.acknowledge_crashes(SeenBy::CleanEnd)?;
        MARK.remove(self)?;
        Ok(())
    }

    /// Ends the sessions of processes that have another file open, of which this one is a copy. Nobody here knows
    /// whether they have crashed.
    #[cfg(feature = "transfer")]
    pub(crate) fn end_sessions_elsewhere(&mut self) -> Result<()> {
        let now = self.now();
        for session in sessions(self)?.into_iter().filter(|session| session.state == SessionState::Open) {
            self.put_session(&Session { state: SessionState::Closed, ended_at: Some(now), ..session })?;
        }
        MARK.remove(self).map(drop)
    }

    fn acknowledge_crashes(&mut self, seen: SeenBy) -> Result<usize> {
        let crashed: Vec<_> = sessions(self)?.into_iter().filter(Session::is_crash).collect();
        for session in &crashed {
            self.put_session(&Session { state: SessionState::Acknowledged, ..session.clone() })?;
        }
        if !crashed.is_empty() {
            let by = self.actor().map_or_else(|| who(""), |actor| actor.name().to_owned());
            let details = json!({"sessions": crashed.len(), "because": seen, "by": by});
            self.events().append(EventKind::CrashAcknowledged, details)?;
        }
        Ok(crashed.len())
    }

    fn put_session(&mut self, session: &Session) -> Result<()> {
        if session.state != SessionState::Open {
            self.remove_alive(session.id)?;
        }
        self.put_row(Table::Sessions, &session.id.0.to_be_bytes(), &codec::encode(session)?)
    }
}

impl View {
    /// The sessions other than `own` that are open but not alive, oldest first.
    pub(crate) fn dead_sessions(&self, store: &Path, own: Option<SessionId>) -> Result<Vec<Session>> {
        let mut open: Vec<_> = sessions(self)?
            .into_iter()
            .filter(|session| session.state == SessionState::Open && Some(session.id) != own)
            .collect();
        if open.is_empty() {
            return Ok(open);
        }
        // A look creates no file. Without a file no session is alive.
        let session_locks = SessionLocks::look(store)?;
        let is_held = |session: SessionId| session_locks.as_ref().map_or(Ok(false), |locks| locks.is_held(session.0));
        // If this process is not in the file either, the file is a new one and says nothing about other processes.
        if own.is_some_and(|own| !is_held(own).unwrap_or(true)) {
            tracing::warn!("the file of sessions was replaced; crashes are noticed again once the store is reopened");
            return Ok(Vec::new());
        }
        if let Some(session_locks) = session_locks {
            let lives = open.iter().map(|session| session_locks.lives(session.id.0)).collect::<Result<Vec<_>>>()?;
            let mut lives = lives.into_iter();
            open.retain(|_| lives.next() == Some(false));
        }
        Ok(open)
    }
}

impl Session {
    /// Whether it crashed and nobody has acknowledged that.
    pub(crate) fn is_crash(&self) -> bool {
        matches!(self.state, SessionState::Crashed | SessionState::StaleMarker)
    }
}

/// The state of a session whose process was found dead: a recent mark of a clean shutdown excuses it.
fn state_of_the_dead(records: &impl Records, stale: Option<Duration>, now: Timestamp) -> Result<SessionState> {
    let mark = MARK.read(records)?;
    Ok(match mark {
        None => SessionState::Crashed,
        Some(mark) if stale.is_some_and(|age| mark.at < clock::before(now, age)) => SessionState::StaleMarker,
        Some(_) => SessionState::Closed,
    })
}

/// Every session, oldest first.
fn sessions<R: Records>(records: &R) -> Result<Vec<Session>> {
    let stored = scan_rows(records, Table::Sessions, KeyRange::all()).map(|row| codec::decode(&row?.1));
    stored
        .map(|session| {
            let session: Session = session?;
            let alive = if session.state == SessionState::Open { alive_at(records, session.id)? } else { None };
            Ok(Session { alive_at: alive.unwrap_or(session.alive_at), ..session })
        })
        .collect()
}

/// This process, as messages name it, with a text after its number.
pub(super) fn who(behind: &str) -> String {
    format!("process {}{behind} ({})", std::process::id(), program())
}

fn program() -> String {
    let program = std::env::current_exe().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    program.unwrap_or_default()
}
