//! Tells the thread that moves sections into redb when there is something to do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// After this time without an append, the rest of a section is moved into redb, if there is enough of it.
const REST: Duration = Duration::from_secs(1);
/// After this time without an append, the whole log is moved into redb and its files are removed. A writer that comes
/// more often pays one sync for a commit.
pub(in crate::engine::wal) const LONG_REST: Duration = Duration::from_secs(30);

/// Wakes the thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
    /// Something was appended since the thread looked.
    has_appended: AtomicBool,
    is_stopped: AtomicBool,
    has_thread: AtomicBool,
}

#[derive(Debug, Default)]
struct BellState {
    is_full: bool,
    /// The work that the rests since the last append have done.
    moved: Moved,
}

/// How much of the appended entries has been moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Moved {
    /// Not by any rest.
    No,
    /// By a short one.
    Short,
    /// By a long one: there is nothing to wait for.
    #[default]
    Long,
}

/// Why the thread was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    /// A section is full.
    Full,
    /// Nothing was appended for a while.
    Rest,
    /// Nothing was appended for long.
    LongRest,
    /// The log is used no more.
    Stopped,
}

impl Bell {
    /// A section is full.
    pub(crate) fn ring_full(&self) {
        self.state.lock().is_full = true;
        self.rung.notify_all();
    }

    /// Something was appended.
    pub(crate) fn note_append(&self) {
        if !self.has_appended.swap(true, Ordering::Relaxed) {
            let mut state = self.state.lock();
            if state.moved != Moved::No {
                state.moved = Moved::No;
                self.rung.notify_all();
            }
        }
    }

    /// The log is used no more.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        drop(self.state.lock());
        self.rung.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// There is a thread that waits for it.
    pub(crate) fn note_thread(&self) {
        self.has_thread.store(true, Ordering::Relaxed);
    }

    /// Whether a section was filled since this was asked before, and no thread sees to it.
    pub(crate) fn take_full_without_thread(&self) -> bool {
        !self.has_thread.load(Ordering::Relaxed) && std::mem::take(&mut self.state.lock().is_full)
    }

    /// Waits until there is something to do, and at least for the pause.
    pub(crate) fn wait(&self, pause: Duration) -> Rung {
        let mut state = self.state.lock();
        let begun = Instant::now();
        let (mut rest_at, mut long_rest_at) = (begun + REST, begun + LONG_REST);
        loop {
            if self.is_stopped() {
                return Rung::Stopped;
            }
            // A rest counts from the last append that was noticed.
            if self.has_appended.swap(false, Ordering::Relaxed) {
                state.moved = Moved::No;
                (rest_at, long_rest_at) = (Instant::now() + REST, Instant::now() + LONG_REST);
            }
            // After a failure the pause comes first, whatever has rung.
            let left = pause.saturating_sub(begun.elapsed());
            if !left.is_zero() {
                self.rung.wait_for(&mut state, left);
                continue;
            }
            if std::mem::take(&mut state.is_full) {
                return Rung::Full;
            }
            let (until, next, rung) = match state.moved {
                Moved::No => (rest_at, Moved::Short, Rung::Rest),
                Moved::Short => (long_rest_at, Moved::Long, Rung::LongRest),
                // Redb has everything, so only an append or the end can wake the thread.
                Moved::Long => {
                    self.rung.wait(&mut state);
                    continue;
                }
            };
            if self.rung.wait_until(&mut state, until).timed_out() && !self.has_appended.load(Ordering::Relaxed) {
                state.moved = next;
                return rung;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bell_tells_of_a_full_section_of_rest_and_of_the_end() {
        let bell = Bell::default();
        bell.note_append();
        bell.ring_full();
        assert_eq!(bell.wait(Duration::ZERO), Rung::Full);
        let begun = Instant::now();
        assert_eq!(bell.wait(Duration::ZERO), Rung::Rest);
        assert!(begun.elapsed() >= REST);
        bell.note_append();
        bell.stop();
        assert_eq!(bell.wait(Duration::from_secs(60)), Rung::Stopped);
        bell.ring_full();
        assert!(bell.take_full_without_thread() && !bell.take_full_without_thread());
        bell.ring_full();
        bell.note_thread();
        assert!(!bell.take_full_without_thread());
    }
}
