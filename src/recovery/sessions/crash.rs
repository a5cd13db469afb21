//! Crashes of processes, and their meaning: acknowledged writes are on the disk, so a crash is no reason for a restore.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::events::event::EventKind;
use crate::recovery::sessions::session::{Session, SessionState};
use crate::state::page::Page;
use crate::text::counted;

/// The events that are read at a time.
const EVENTS_PER_READ: usize = 256;
/// The most events that are read to find the number of tasks that a crash returned.
const EVENTS_READ: usize = 10_000;

/// A crash that has not been acknowledged. It prints the state of the tasks, and the next step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// The session that crashed.
    pub session: Session,
    /// The reason: `process_died`, or `stale_marker`.
    #[serde(deserialize_with = "reason")]
    pub reason: Reason,
    /// The restore point that `latest` names. A crash alone is no reason to restore it.
    pub restore_point: Option<String>,
    /// The number of tasks that were claimed in that process and are ready again, or will be once the crash is noticed.
    /// A claim over HTTP or the command line stays with its bot until its lease ends.
    pub tasks_returned: u64,
}

/// The reason of a crash. Behind this name no reader of JSON tries to borrow it.
type Reason = &'static str;

/// The two reasons.
const PROCESS_DIED: &str = "process_died";
const STALE_MARKER: &str = "stale_marker";

/// One of the two reasons.
fn reason<'de, D: Deserializer<'de>>(from: D) -> Result<Reason, D::Error> {
    let text = String::deserialize(from)?;
    let known = [PROCESS_DIED, STALE_MARKER].into_iter().find(|known| *known == text);
    known.ok_or_else(|| serde::de::Error::custom(format_args!("unknown reason of a crash: {}", text.escape_debug())))
}

/// `nothing acknowledged is lost; 3 tasks went back to ready; acknowledge it once seen`.
impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; acknowledge it once seen", self.outcome())
    }
}

impl Crash {
    /// Whether a process that may write has noticed it. Until then the session has not ended.
    pub(crate) fn is_noticed(&self) -> bool {
        self.session.ended_at.is_some()
    }

    /// The effect on the state.
    pub(crate) fn outcome(&self) -> String {
        let tasks = match (self.tasks_returned, self.is_noticed()) {
            (0, _) => "claims stay with their bots until their leases end".to_owned(),
            (tasks, true) => format!("{} went back to ready", counted(tasks, "task")),
            (1, false) => "1 task goes back to ready once that is noticed".to_owned(),
            (tasks, false) => format!("{tasks} tasks go back to ready once that is noticed"),
        };
        format!("nothing acknowledged is lost; {tasks}")
    }
}

impl Store {
    /// The newest crash that has not been acknowledged, if there is one, including a crash that no process has noticed
    /// yet. This changes nothing. None of a copy, and of a store that was overtaken: its sessions are, or were, those
    /// of another machine, and nobody can acknowledge one.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn crash(&self) -> Result<Option<Crash>> {
        if self.is_standby() || self.is_overtaken() {
            return Ok(None);
        }
        let mut crashed = self.sessions()?;
        crashed.retain(Session::is_crash);
        crashed.extend(self.unnoticed_crashes()?);
        let Some(session) = crashed.into_iter().max_by_key(|session| session.id) else { return Ok(None) };
        let is_stale = session.state == SessionState::StaleMarker;
        let reason = if is_stale { STALE_MARKER } else { PROCESS_DIED };
        let view = self.view()?;
        let restore_point = view.latest_point()?.map(|point| point.to_string());
        let tasks_returned = match session.ended_at {
            Some(_) => view.tasks_returned(&session)?,
            None if is_stale => 0,
            None => view.queue().count_claimed_in(session.id)?,
        };
        Ok(Some(Crash { session, reason, restore_point, tasks_returned }))
    }
}

impl View {
    /// The number of tasks that the noticed crash of a session returned, from its event.
    fn tasks_returned(&self, session: &Session) -> Result<u64> {
        let (mut page, mut read) = (Page::newest(EVENTS_PER_READ), 0);
        while read < EVENTS_READ {
            let events = self.events().list(page)?;
            read += EVENTS_PER_READ;
            for event in &events {
                let is_it = event.kind == EventKind::CrashDetected && event.details["session"] == session.id.0;
                if is_it {
                    return Ok(event.details["tasks_returned"].as_u64().unwrap_or_default());
                }
            }
            let Some(last) = events.last().filter(|_| events.len() == EVENTS_PER_READ) else { break };
            page = Page::newest(EVENTS_PER_READ).before(last.sequence);
        }
        Ok(0)
    }
}
