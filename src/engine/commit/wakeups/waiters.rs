//! The callers that wait, and which of them a commit wakes: as many as it made tasks ready, the longest waiting first.
//!
//! A woken caller has a *notification*. If it takes nothing, because the task is not for it or because it is gone, its
//! notification passes to the next caller that has not looked since. So a task wakes one caller, and a task that only
//! the last caller may take wakes each of them once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Condvar;

use crate::engine::format::wakes::Wakes;

/// The callers that wait, each by a number of its own; a lower one has waited longer.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: BTreeMap<u64, Waits>,
    next: u64,
    /// Counts changes that may concern waiting callers. One that begins to sleep looks again if it
    /// is higher than at its last look.
    news: u64,
}

/// A caller that waits.
struct Waits {
    name: Vec<u8>,
    /// The news at its last look.
    seen: u64,
    /// While it sleeps: how it is woken.
    sleeps: Option<Sleeper>,
    notification: Option<Notification>,
}

/// A way to wake a caller.
pub(super) enum Sleeper {
    Thread(Arc<Condvar>),
    #[cfg_attr(not(any(feature = "tokio", test)), expect(dead_code, reason = "only async programs have tasks"))]
    Task(Waker),
}

/// A notification of one thing: its caller looks for that first.
#[derive(Clone)]
struct Notification {
    news: u64,
    /// The only callers for whom it is.
    name: Option<Vec<u8>>,
    /// Whether its first look is also for others: another process has committed, and nobody knows for how many.
    for_others: bool,
}

impl Sleeper {
    /// Wakes the caller, without the lock.
    pub(super) fn wake(self) {
        match self {
            Self::Thread(condvar) => drop(condvar.notify_all()),
            Self::Task(waker) => waker.wake(),
        }
    }
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The names under which callers wait.
    #[cfg(feature = "cli")]
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.waiting.values().map(|waits| waits.name.as_slice())
    }

    #[cfg(test)]
    pub(super) fn asleep(&self) -> usize {
        self.waiting.values().filter(|waits| waits.sleeps.is_some()).count()
    }

    /// Adds a caller of that name. Its first look counts from now on.
    pub(super) fn come(&mut self, name: &[u8]) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, Waits { name: name.to_vec(), seen: self.news, sleeps: None, notification: None });
        number
    }

    /// Removes a caller. Its notification passes on.
    pub(super) fn leave(&mut self, number: u64) -> Option<Sleeper> {
        let notification = self.waiting.remove(&number)?.notification?;
        self.give(notification)
    }

    /// Notes that a caller looks now. Says whether it looks for others too.
    pub(super) fn looks(&mut self, number: u64) -> bool {
        let news = self.news;
        let Some(waits) = self.waiting.get_mut(&number) else { return false };
        (waits.seen, waits.sleeps) = (news, None);
        // One does, however often the notification passes on.
        waits.notification.as_mut().is_some_and(|notification| std::mem::take(&mut notification.for_others))
    }

    /// Notes that a caller took something, or that there was nothing for anybody: its notification is consumed.
    pub(super) fn consume_notification(&mut self, number: u64) {
        if let Some(waits) = self.waiting.get_mut(&number) {
            waits.notification = None;
        }
    }

    /// Passes the notification of a caller for whom there was nothing to the next one.
    pub(super) fn pass_on(&mut self, number: u64) -> Option<Sleeper> {
        let notification = self.waiting.get_mut(&number)?.notification.take()?;
        self.give(notification)
    }

    /// Lets a caller sleep, unless there is something to look at.
    pub(super) fn sleep(&mut self, number: u64, sleeper: Sleeper) -> bool {
        let news = self.news;
        let Some(waits) = self.waiting.get_mut(&number) else { return false };
        let sleeps = waits.notification.is_none() && waits.seen == news;
        waits.sleeps = sleeps.then_some(sleeper);
        sleeps
    }

    /// Whether a caller still sleeps.
    pub(super) fn is_asleep(&self, number: u64) -> bool {
        self.waiting.get(&number).is_some_and(|waits| waits.sleeps.is_some())
    }

    /// Notes that a caller has woken by itself.
    pub(super) fn is_awake(&mut self, number: u64) {
        if let Some(waits) = self.waiting.get_mut(&number) {
            waits.sleeps = None;
        }
    }

    /// The callers to wake for a transaction.
    pub(super) fn woken_by(&mut self, wakes: &Wakes) -> Vec<Sleeper> {
        if wakes.is_nobody() {
            return Vec::new();
        }
        self.news += 1;
        if wakes.everybody {
            return self.waiting.values_mut().filter_map(|waits| waits.sleeps.take()).collect();
        }
        let news = self.news;
        let named = wakes.named.iter().map(|(name, count)| (Some(name.clone()), *count));
        let mut woken = Vec::new();
        for (name, count) in named.chain([(None, wakes.anybody)]) {
            for number in 0..count {
                let for_others = wakes.from_others && name.is_none() && number == 0;
                let Some(sleeper) = self.give(Notification { news, name: name.clone(), for_others }) else { break };
                woken.push(sleeper);
            }
        }
        woken
    }

    /// Gives a notification to the first sleeping caller that has not looked since. If there is none,
    /// everybody has looked, or is about to.
    fn give(&mut self, notification: Notification) -> Option<Sleeper> {
        let is_for = |waits: &&mut Waits| {
            waits.sleeps.is_some()
                && waits.seen < notification.news
                && notification.name.as_ref().is_none_or(|name| *name == waits.name)
        };
        let waits = self.waiting.values_mut().find(is_for)?;
        let sleeper = waits.sleeps.take();
        waits.notification = Some(notification);
        sleeper
    }
}
