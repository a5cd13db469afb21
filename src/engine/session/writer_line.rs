//! The order in which processes write. redb's lock between processes is not fair: a process that commits back to back
//! takes it again before another notices that it was free, and among several waiting processes any may be next.
//!
//! So waiting processes form a line of locks in the file of sessions. A new one takes the last place, moves forward
//! when the place before becomes free, and tries redb's lock only in the first place. A process whose turn is over goes
//! to the end of the line if there is one. A process that is alone never stops.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::engine::commit::locks::Mutex;
use crate::engine::session::session_locks::{PLACES, SessionLocks, living};

/// The length of a turn: after it, a process goes behind the waiting ones.
const TURN: Duration = Duration::from_millis(5);
/// The interval of the first in line between two looks; the system makes it about twice as long. With a microsecond,
/// processes of a real-time class stood still for up to a second.
const LOOK_FIRST: Duration = Duration::from_micros(50);
/// The interval of the others, which are not next anyway.
const LOOK: Duration = Duration::from_micros(200);
/// A process that has not moved forward for this long tries anyway: one further in front may be stopped.
const PATIENCE: Duration = Duration::from_millis(50);
/// For this long after a line was stalled, no process joins it.
const STANDS_STILL: Duration = Duration::from_secs(1);
/// How long a lock stays free after a long turn while the line does not say who is next.
const LEAVE: Duration = Duration::from_millis(1);
/// How long redb's lock stays free after a turn if no file of sessions tells whether somebody waits.
const LEAVE_BLINDLY: Duration = Duration::from_micros(100);

/// The turns of the processes that share a store.
pub(crate) struct WriterLine {
    store: PathBuf,
    /// Opened when it is first needed: a store that is just being made has no file of sessions yet.
    session_locks: OnceLock<SessionLocks>,
    /// When a caller of this process last gave up waiting in the line.
    stood_still: Mutex<Option<Instant>>,
}

/// A place in the line, until this is dropped.
pub(crate) struct Waiting<'a> {
    line: &'a WriterLine,
    /// Whether other processes go first.
    in_line: bool,
    /// Where in the line; none before a place was free.
    place: Option<u64>,
    moved: Instant,
}

/// How long this process has held redb's lock back to back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streak {
    /// The time since when, and the time of the last release.
    held: Option<(Instant, Instant)>,
}

impl Streak {
    /// Whether this process has its turn: it has written back to back for less than a turn.
    pub(crate) fn is_on(self) -> bool {
        self.held.is_some_and(|(began, last)| last.elapsed() < TURN && last - began < TURN)
    }

    /// Whether it was as long as a turn.
    fn is_over(self) -> bool {
        self.held.is_some_and(|(began, last)| last - began >= TURN)
    }

    /// Its state as another write begins; it ends unless it goes on.
    pub(crate) fn at_the_next_write(&mut self) -> Self {
        if self.is_on() { *self } else { std::mem::take(self) }
    }

    /// Notes that the lock was held from `begun` until now.
    pub(crate) fn wrote_since(&mut self, begun: Instant) {
        let held = self.held.filter(|(_, last)| begun.saturating_duration_since(*last) < TURN);
        self.held = Some((held.map_or(begun, |(began, _)| began), Instant::now()));
    }
}

impl WriterLine {
    pub(crate) fn new(store: &Path) -> Self {
        Self { store: store.to_path_buf(), session_locks: OnceLock::new(), stood_still: Mutex::new(None) }
    }

    /// The processes that have the store open, as far as they wrote it down.
    pub(crate) fn living(&self) -> String {
        living(&self.store)
    }

    fn session_locks(&self) -> Option<&SessionLocks> {
        if self.session_locks.get().is_none() {
            let opened = SessionLocks::open_existing(&self.store)?;
            return Some(self.session_locks.get_or_init(|| opened));
        }
        self.session_locks.get()
    }

    /// Whether another process is in a line that moves; no if that is unknown.
    fn somebody_waits(&self) -> bool {
        self.session_locks().is_some_and(|locks| !self.stands_still() && locks.somebody_waits())
    }

    /// Whether another process may be in the line, also where that is unknown, and also while the line stands still: a
    /// turn of several threads has no other end.
    pub(crate) fn may_be_waited_for(&self) -> bool {
        self.session_locks().is_none_or(SessionLocks::somebody_waits)
    }

    /// Leaves a lock free for a moment where the line does not say who is next.
    pub(crate) fn leave_to_others(&self) {
        if self.session_locks().is_none() || self.stands_still() {
            sleep(LEAVE);
        }
    }

    /// Leaves redb's lock free for a moment if it is unknown whether another process waits for it.
    fn leave_blindly(&self) {
        if self.session_locks().is_none() {
            sleep(LEAVE_BLINDLY);
        }
    }

    /// Whether the line stalled within the last second; if so, joining it is skipped.
    fn stands_still(&self) -> bool {
        self.stood_still.lock().is_some_and(|since| since.elapsed() < STANDS_STILL)
    }

    /// Waits for redb's lock, which is tried at once; then in line.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        Waiting { line: self, in_line: false, place: None, moved: Instant::now() }
    }

    /// Waits for redb's lock: before all others while this process has its turn, otherwise behind the line.
    pub(crate) fn wait_behind_others(&self, streak: Streak) -> Waiting<'_> {
        if streak.is_on() {
            return self.wait();
        }
        if streak.is_over() {
            self.leave_blindly();
        }
        if self.somebody_waits() { self.wait_in_line() } else { self.wait() }
    }

    /// Waits for redb's lock behind the line.
    fn wait_in_line(&self) -> Waiting<'_> {
        let mut waiting = Waiting { in_line: self.session_locks().is_some(), ..self.wait() };
        waiting.go_forward();
        waiting
    }
}

impl Waiting<'_> {
    /// Whether this process is next.
    pub(crate) fn is_next(&self) -> bool {
        !self.in_line || self.place == Some(0) || self.has_lost_patience()
    }

    fn has_lost_patience(&self) -> bool {
        self.moved.elapsed() > PATIENCE
    }

    /// Waits a moment, in line.
    pub(crate) fn a_moment(&mut self) {
        self.in_line = self.line.session_locks().is_some();
        let was_next = self.is_next();
        self.go_forward();
        if self.place == Some(0) {
            sleep(LOOK_FIRST);
        } else if was_next || !self.is_next() {
            sleep(LOOK);
        }
    }

    /// Moves forward as far as possible.
    fn go_forward(&mut self) {
        let Some(session_locks) = self.line.session_locks() else { return };
        while let Some(next) = self.place.unwrap_or(PLACES).checked_sub(1)
            && session_locks.take_place(next)
        {
            if let Some(place) = self.place.replace(next) {
                session_locks.leave_place(place);
            }
            self.moved = Instant::now();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.in_line && self.place != Some(0) && self.has_lost_patience() {
            *self.line.stood_still.lock() = Some(Instant::now());
        }
        if let Some(place) = self.place
            && let Some(session_locks) = self.line.session_locks()
        {
            session_locks.leave_place(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes, by a handle of each on the file of sessions.
    fn processes<const COUNT: usize>() -> (tempfile::TempDir, [WriterLine; COUNT]) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("h.redb");
        drop(SessionLocks::open(&store).unwrap());
        (folder, std::array::from_fn(|_| WriterLine::new(&store)))
    }

    #[test]
    fn those_who_wait_go_in_the_order_in_which_they_came() {
        let (_folder, [writing, one, two, three]) = processes();
        assert!(!writing.somebody_waits());
        let mut waiting: Vec<_> = [&one, &two, &three].into_iter().map(WriterLine::wait_in_line).collect();
        assert!(writing.somebody_waits());
        while !waiting.is_empty() {
            let next: Vec<_> = waiting.iter().map(Waiting::is_next).collect();
            assert!(next[0] && !next[1..].contains(&true), "{next:?}");
            drop(waiting.remove(0));
            // The last one that came looks first, and gains nothing by it.
            waiting.iter_mut().rev().for_each(Waiting::go_forward);
        }
        assert!(!writing.somebody_waits());
    }

    #[test]
    fn a_process_that_comes_tries_at_once_and_stands_in_line_only_when_it_has_to_wait() {
        let (_folder, [writing, comes]) = processes();
        let mut waiting = comes.wait();
        assert!(waiting.is_next() && !writing.somebody_waits());
        waiting.a_moment();
        assert!(waiting.is_next() && writing.somebody_waits());
    }

    #[test]
    fn a_process_that_does_not_move_holds_the_others_up_for_a_moment_only() {
        let (_folder, [stopped, behind]) = processes();
        let _never_moves = stopped.wait_in_line();
        assert!(behind.somebody_waits());
        let mut waiting = behind.wait_in_line();
        let started = Instant::now();
        while !waiting.is_next() {
            waiting.a_moment();
        }
        assert!(started.elapsed() >= PATIENCE / 2);
        drop(waiting);
        // And not again at the end of each turn.
        assert!(!behind.somebody_waits());
    }

    #[test]
    fn callers_beyond_the_places_of_the_line_wait_nevertheless() {
        let (_folder, turns) = processes::<12>();
        let mut waiting: Vec<_> = turns.iter().map(WriterLine::wait_in_line).collect();
        assert_eq!(waiting.iter().filter(|waiting| waiting.place.is_none()).count(), 4);
        while !waiting.is_empty() {
            drop(waiting.remove(0));
            waiting.iter_mut().for_each(Waiting::go_forward);
            assert!(waiting.first().is_none_or(Waiting::is_next));
        }
    }
}
