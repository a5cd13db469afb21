//! The writes that wait for the replica, and the process that ships, as far as they know of each other.
//!
//! A write waits behind its commit, without any lock, for the moment in which the replica is told to have that commit.
//! It wakes the thread that ships at once. Everything that ends shipping wakes all who wait.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, ErrorKind, Result};

/// The longest time for which a write waits.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The writes that wait for the replica.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    state: Mutex<AwaitedState>,
    /// Notified when a write may have waited for long enough.
    changed: Condvar,
    /// Notified when another write waits.
    joined: Condvar,
}

#[derive(Debug, Default)]
struct AwaitedState {
    /// The shipping that runs in this process, if one does.
    shipping: Option<Running>,
    /// How many shippings have begun.
    begun: u64,
    /// The replica has everything up to this moment.
    reached: Option<Moment>,
    /// How many writes wait now,
    waiting: usize,
    /// and how many waited when the last object was acknowledged.
    expected: usize,
}

/// A number of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::feed) struct Moment {
    pub(in crate::engine::feed) feed: u64,
    pub(in crate::engine::feed) sequence: u64,
}

/// The shipping that runs.
pub(in crate::engine::feed) struct Running {
    number: u64,
    /// A write waits so long.
    limit: Duration,
    /// When the first request began that the replica has not answered, since it answered one.
    pub(super) away_since: Option<Instant>,
    /// Called when a write waits.
    pub(super) wake: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Running {
    pub(super) fn note_answered(&mut self, is_answered: bool) {
        self.away_since = if is_answered { None } else { self.away_since.or_else(|| Some(Instant::now())) };
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("number", &self.number).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Awaited {
    /// Begins a shipping, and gives its number.
    pub(in crate::engine::feed) fn begin(&self, limit: Duration) -> u64 {
        let mut state = self.state.lock();
        state.begun += 1;
        let number = state.begun;
        state.shipping = Some(Running { number, limit: limit.min(LONGEST), away_since: None, wake: None });
        number
    }

    /// Changes the shipping of that number, if it still runs.
    pub(in crate::engine::feed) fn change(&self, number: u64, change: impl FnOnce(&mut Running)) {
        let mut state = self.state.lock();
        if let Some(running) = state.shipping.as_mut().filter(|running| running.number == number) {
            change(running);
        }
    }

    /// A request to the replica begins, or was answered.
    pub(super) fn note_answered(&self, is_answered: bool) {
        if let Some(running) = &mut self.state.lock().shipping {
            running.note_answered(is_answered);
        }
    }

    /// Waits until as many writes wait as waited for the object before.
    pub(super) fn gather(&self, most: Duration) {
        let (until, mut state) = (Instant::now() + most, self.state.lock());
        while state.waiting > 0 && state.waiting < state.expected {
            if self.joined.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }

    /// The replica has everything up to a moment.
    pub(in crate::engine::feed) fn note(&self, moment: Moment) {
        let mut state = self.state.lock();
        let before = state.reached.filter(|reached| reached.feed == moment.feed).map_or(0, |reached| reached.sequence);
        state.reached = Some(Moment { sequence: moment.sequence.max(before), ..moment });
        state.expected = state.waiting;
        drop(state);
        self.changed.notify_all();
    }

    /// Ends the shipping of that number, or any, and wakes all who wait.
    pub(in crate::engine) fn end(&self, number: Option<u64>) {
        let mut state = self.state.lock();
        if number.is_none_or(|number| state.shipping.as_ref().is_some_and(|running| running.number == number)) {
            state.shipping = None;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Wakes all who wait, so that they look at the fence.
    pub(in crate::engine::feed) fn look(&self) {
        // A waiting write has looked before, or looks after this.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Refuses a write that would wait in vain.
    pub(super) fn refuse_unless_shipped(&self) -> Result<()> {
        let state = self.state.lock();
        let Some(running) = &state.shipping else { return Err(no_shipping()) };
        match running.away_since.map(|since| since.elapsed()).filter(|away| *away >= running.limit) {
            None => Ok(()),
            Some(away) => {
                let message = "nothing was written, as the replica has not been reached for longer than a write waits";
                let (away, limit) = (away.as_secs(), running.limit.as_millis());
                Err(Error::new(ErrorKind::NotCommitted, format!("{message}: away_s={away} limit_ms={limit}")))
            }
        }
    }

    /// Waits until the replica has that moment. `refuse_fenced` tells whether it will ever have it.
    pub(super) fn wait(&self, moment: Moment, refuse_fenced: impl Fn() -> Result<()>) -> Result<()> {
        let (begun, mut has_woken) = (Instant::now(), false);
        let mut state = self.state.lock();
        state.waiting += 1;
        self.joined.notify_all();
        let waited = loop {
            let is_reached = |reached: Moment| reached.feed == moment.feed && reached.sequence >= moment.sequence;
            if state.reached.is_some_and(is_reached) {
                break Ok(());
            }
            if let Err(fenced) = refuse_fenced() {
                break Err(fenced);
            }
            let Some(running) = &state.shipping else { break Err(no_shipping()) };
            let limit = running.limit;
            if begun.elapsed() >= limit {
                let message = "the replica did not get it in the time for which a write waits";
                break Err(Error::new(ErrorKind::Io, format!("{message}: limit_ms={}", limit.as_millis())));
            }
            if let Some(wake) = running.wake.as_ref().filter(|_| !has_woken) {
                wake();
                has_woken = true;
            }
            let _timed_out = self.changed.wait_until(&mut state, begun + limit);
        };
        state.waiting -= 1;
        waited
    }
}

fn no_shipping() -> Error {
    let message = "this process does not ship the store, so no write can wait for the replica; replicate it first, or \
                   choose another durability";
    Error::conflict(message)
}
