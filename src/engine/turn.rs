//! Whose turn it is to write, among processes. redb's lock between them is not fair: a process that commits back to back
//! takes it again before another notices that it was free.
//!
//! So a process that waits says so, by a lock of its own in the file of sessions, and one that has written for a while
//! looks, and leaves redb's lock until the other has it. Nobody who is alone ever stops.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::engine::presence::Presence;

/// How long one waits between two looks.
const POLL: Duration = Duration::from_micros(50);
/// How long the lock is left at most: a process that is waiting may be stopped.
const LEAVE_MOST: Duration = Duration::from_millis(2);
/// How long it is left when there is no file of sessions that would tell.
const LEAVE_BLINDLY: Duration = Duration::from_micros(100);

/// The turns of the processes that share a store.
pub(crate) struct Turn {
    store: PathBuf,
    /// Opened when it is first needed: a store that is just being made has no file of sessions yet.
    presence: OnceLock<Presence>,
}

/// Waiting for one's turn; it ends when this is dropped.
pub(crate) struct Waiting<'a> {
    turn: &'a Turn,
    announced: bool,
}

impl Turn {
    pub(crate) fn new(store: &Path) -> Self {
        Self { store: store.to_path_buf(), presence: OnceLock::new() }
    }

    fn presence(&self) -> Option<&Presence> {
        if self.presence.get().is_none() {
            let opened = Presence::open_existing(&self.store)?;
            return Some(self.presence.get_or_init(|| opened));
        }
        self.presence.get()
    }

    /// Leaves redb's lock, which nobody here holds now, to a process that waits for it.
    pub(crate) fn leave(&self) {
        let Some(presence) = self.presence() else { return sleep(LEAVE_BLINDLY) };
        let until = Instant::now() + LEAVE_MOST;
        while presence.somebody_waits() && Instant::now() < until {
            sleep(POLL);
        }
    }

    /// Waits for redb's lock.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        Waiting { turn: self, announced: false }
    }
}

impl Waiting<'_> {
    /// Tells the others, and waits a moment.
    pub(crate) fn a_moment(&mut self) {
        if !self.announced {
            self.announced = self.turn.presence().is_some_and(Presence::begin_waiting);
        }
        sleep(POLL);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.announced
            && let Some(presence) = self.turn.presence()
        {
            presence.end_waiting();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_left_until_whoever_waits_has_it_and_not_at_all_when_nobody_does() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        drop(Presence::open(&store).unwrap());
        let (ours, theirs) = (Turn::new(&store), Turn::new(&store));
        let left = || {
            let started = Instant::now();
            ours.leave();
            started.elapsed()
        };
        let mut waiting = theirs.wait();
        waiting.a_moment();
        assert!(ours.presence().unwrap().somebody_waits());
        assert!(left() >= LEAVE_MOST);
        drop(waiting);
        assert!(!ours.presence().unwrap().somebody_waits());
        // Of several, since the machine may be busy.
        assert!((0..50).map(|_| left()).min().unwrap() < POLL);
    }
}
