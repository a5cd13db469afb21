//! The lock of this process's session, held until the session's end has been written. Other processes look for it in
//! the file that has the name now, so it is taken again if that file was removed or replaced.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::session::session_locks::SessionLocks;
use crate::error::Result;

/// The interval of looking whether the file is still the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A session of this process.
#[derive(Debug)]
pub(crate) struct OwnSession {
    store: PathBuf,
    session: u64,
    who: String,
    state: Mutex<HeldLocks>,
}

#[derive(Debug)]
struct HeldLocks {
    session_locks: SessionLocks,
    looked: Instant,
}

impl OwnSession {
    /// A session whose byte was locked; `who` names its process in messages.
    pub(crate) fn new(store: &Path, session_locks: SessionLocks, session: u64, who: String) -> Self {
        announce(&session_locks, session, &who);
        let state = HeldLocks { session_locks, looked: Instant::now() };
        Self { store: store.to_path_buf(), session, who, state: Mutex::new(state) }
    }

    /// Keeps the lock visible to other processes, at the cost of one look a second at most. If the store itself was
    /// moved, its file of sessions is elsewhere too, and the lock stays there.
    pub(crate) fn keep(&self, store_is_there: impl FnOnce() -> bool) {
        let mut state = self.state.lock();
        if state.looked.elapsed() < LOOK_EVERY {
            return;
        }
        state.looked = Instant::now();
        if !state.session_locks.is_moved() || !store_is_there() {
            return;
        }
        match self.take_anew() {
            Ok(Some(session_locks)) => {
                tracing::warn!("the file of sessions was removed or replaced; this process is in the new one");
                state.session_locks = session_locks;
            }
            Ok(None) => {
                tracing::error!(session = self.session, "another process has locked the byte of this process's session")
            }
            Err(error) => tracing::error!(%error, "the file of sessions was removed and cannot be created again"),
        }
    }

    /// Locks the byte in the file that has the name now; none when another process has it.
    fn take_anew(&self) -> Result<Option<SessionLocks>> {
        let session_locks = SessionLocks::open(&self.store)?;
        if !session_locks.hold(self.session)? {
            return Ok(None);
        }
        session_locks.write_holder(self.session)?;
        announce(&session_locks, self.session, &self.who);
        Ok(Some(session_locks))
    }
}

fn announce(session_locks: &SessionLocks, session: u64, who: &str) {
    if let Err(error) = session_locks.announce(session, who) {
        tracing::warn!(%error, "messages cannot name this process");
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_session_is_held_in_the_file_that_others_look_in() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        let sessions = folder.path().join("h.redb.sessions");
        let session_locks = SessionLocks::open(&store).unwrap();
        assert!(session_locks.hold(7).unwrap());
        let held = OwnSession::new(&store, session_locks, 7, "process 12 (bot)".into());
        for round in 0..3 {
            let is_seen = || SessionLocks::open_existing(&store).is_some_and(|other| other.is_held(7).unwrap());
            assert!(is_seen(), "round {round}");
            fs::remove_file(&sessions).unwrap();
            if round == 1 {
                fs::write(&sessions, b"").unwrap();
            }
            held.keep(|| true);
            assert!(!is_seen(), "it was looked for again within a second");
            held.state.lock().looked -= LOOK_EVERY;
            held.keep(|| false);
            assert!(!is_seen(), "it is in the file beside a store that was moved");
            held.state.lock().looked -= LOOK_EVERY;
            held.keep(|| true);
            assert!(is_seen(), "round {round}");
        }
        assert_eq!(SessionLocks::open(&store).unwrap().living().unwrap(), ["process 12 (bot)"]);
        drop(held);
        assert!(!SessionLocks::open(&store).unwrap().is_held(7).unwrap());
    }
}
