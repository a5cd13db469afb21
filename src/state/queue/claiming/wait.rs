//! Waits for a claim. A look without a result costs no write transaction.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::engine::commit::wakeups::Waiter;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::state::ids::BotId;
use crate::state::queue::claiming::claim::{Claim, ClaimOptions};
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::saving::Queue;

/// A wait for a claim, one look after the other. Between two looks its owner waits for the next commit, on a thread or
/// in async code.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hivekeep::{BotId, ClaimOptions, ClaimWait, NewTask, Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::open(dir.path().join("hive.redb"))?;
/// let mut wait = ClaimWait::new(&BotId::new("BOT-1")?, &ClaimOptions::default(), Duration::from_secs(30));
/// assert_eq!(wait.look(&store)?, None);
/// store.write(|tx| tx.queue().enqueue(NewTask::new("build")))?;
/// assert_eq!(wait.look(&store)?.unwrap().len(), 1);
/// # Ok::<(), hivekeep::Error>(())
/// ```
pub struct ClaimWait {
    bot: BotId,
    options: ClaimOptions,
    /// The end of the wait; none if the time cannot be represented.
    until: Option<Instant>,
    /// Its place among those who wait; set by the first look that finds nothing.
    waiter: Option<Waiter>,
}

impl ClaimWait {
    /// A wait that has not looked yet.
    pub fn new(bot: &BotId, options: &ClaimOptions, timeout: Duration) -> Self {
        let until = Instant::now().checked_add(timeout);
        Self { bot: bot.clone(), options: options.clone(), until, waiter: None }
    }

    /// Tries to claim. Returns the claims, or an empty list once the time is over. Returns none while the wait
    /// continues.
    ///
    /// # Errors
    ///
    /// As [`Store::claim_wait`].
    pub fn look(&mut self, store: &Store) -> Result<Option<Vec<Claim>>> {
        let waiter = match &self.waiter {
            Some(waiter) => waiter,
            None => {
                let claims = store.claim(&self.bot, &self.options)?;
                if !claims.is_empty() || self.is_over() {
                    return Ok(Some(claims));
                }
                self.waiter.insert(store.waiting(self.bot.as_bytes())?)
            }
        };
        let for_others = waiter.looks();
        let claims = match store.claim_if_any(&self.bot, &self.options, for_others)? {
            LookResult::Claims(claims) => {
                waiter.consume_notification();
                claims
            }
            LookResult::Nothing => {
                waiter.consume_notification();
                Vec::new()
            }
            LookResult::NothingForIt => {
                waiter.pass_on();
                Vec::new()
            }
        };
        Ok(Some(claims).filter(|claims| !claims.is_empty() || self.is_over()))
    }

    /// Sleeps until it is time for the next look, but for `longest` at most. Says whether it is time for that look. A
    /// caller that gets false may do other work, such as handling signals, and sleep again; it keeps
    /// its place among those who wait.
    pub fn sleep(&self, longest: Duration) -> bool {
        let Some(waiter) = &self.waiter else { return true };
        let until = self.until.into_iter().chain(Instant::now().checked_add(longest)).min();
        waiter.sleep(until) || self.is_over()
    }

    /// Resolves when it is time for the next look.
    #[cfg(feature = "tokio")]
    pub(crate) async fn news(&self) {
        let Some(waiter) = &self.waiter else { return };
        match self.until {
            // Either way it is time to look.
            Some(until) => drop(tokio::time::timeout_at(until.into(), waiter.news()).await),
            None => waiter.news().await,
        }
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

impl Store {
    /// The bots that wait for a task in this process, by name.
    #[cfg(feature = "cli")]
    pub(crate) fn waiting_bots(&self) -> Vec<String> {
        self.commits().waiting_names().iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Claims tasks for `bot` as [`claim`](Queue::claim) does, and waits up to `timeout` for the first one.
    ///
    /// A commit of this process wakes waiting bots at once: as many as it made tasks ready, the longest waiting first.
    /// A bot that cannot do the task passes its notification on. One thread for all waiting bots notices within 20 ms
    /// the commits of other processes, tasks that come due, and leases that end; then one bot looks, and wakes as many
    /// others as tasks are ready. Waiting costs no write transaction, so many bots may wait.
    ///
    /// # Errors
    ///
    /// As [`claim`](Queue::claim) and [`Store::write`]; `Io` when no thread can be started. A timeout is no error: the
    /// result is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hivekeep::{BotId, ClaimOptions, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let bot = BotId::new("BOT-1")?;
    /// assert!(store.claim_wait(&bot, &ClaimOptions::default(), Duration::from_millis(10))?.is_empty());
    ///
    /// let worker = std::thread::spawn({
    ///     let (store, bot) = (store.clone(), bot.clone());
    ///     move || store.claim_wait(&bot, &ClaimOptions::default(), Duration::from_secs(30))
    /// });
    /// store.write(|tx| tx.queue().enqueue(NewTask::new(serde_json::json!("build"))))?;
    /// assert_eq!(worker.join().unwrap()?.len(), 1);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn claim_wait(&self, bot: &BotId, options: &ClaimOptions, timeout: Duration) -> Result<Vec<Claim>> {
        let mut wait = ClaimWait::new(bot, options, timeout);
        loop {
            if let Some(claims) = wait.look(self)? {
                return Ok(claims);
            }
            while !wait.sleep(Duration::MAX) {}
        }
    }

    /// Claims only if a read-only look finds a task. Arranges that the waiting bot is woken when the next task comes
    /// due, and wakes the others if it looks `for_others` too.
    pub(in crate::state::queue) fn claim_if_any(
        &self,
        bot: &BotId,
        options: &ClaimOptions,
        for_others: bool,
    ) -> Result<LookResult> {
        let view = self.view()?;
        if for_others {
            // Any of the tasks may be for one of those who wait. It may take one of them itself.
            let waiting = self.commits().waiting();
            let ready = view.queue().records.rows(Table::Index, &keys::ready().range(), waiting)?.len();
            self.commits().wake_more(u64::try_from(ready.saturating_sub(1)).unwrap_or(u64::MAX));
        }
        let next = view.queue().next_due()?;
        if let Some(next) = next {
            self.commits().wake_at(next);
        }
        let is_due = next.is_some_and(|next| next <= view.now());
        if !is_due && !view.queue().may_have_work_for(bot, options)? {
            let is_there = !view.queue().records.rows(Table::Index, &keys::ready().range(), 1)?.is_empty();
            return Ok(if is_there { LookResult::NothingForIt } else { LookResult::Nothing });
        }
        drop(view);
        let claims = self.claim(bot, options)?;
        Ok(if claims.is_empty() { LookResult::NothingForIt } else { LookResult::Claims(claims) })
    }

    pub(in crate::state::queue) fn claim(&self, bot: &BotId, options: &ClaimOptions) -> Result<Vec<Claim>> {
        self.write(|tx| tx.queue().claim(bot, options))
    }
}

/// The result of a look.
pub(in crate::state::queue) enum LookResult {
    Claims(Vec<Claim>),
    /// No task is ready.
    Nothing,
    /// Another bot may find something, or did.
    NothingForIt,
}

impl Queue<&View> {
    /// The time when the next task comes due or the next lease ends.
    fn next_due(&self) -> Result<Option<Timestamp>> {
        let mut next = None;
        for rows in [keys::leases().range(), keys::delayed().range()] {
            let first = self.records.rows(Table::Index, &rows, 1)?;
            let time = first.first().map(|(row, _)| keys::time_of(row)).transpose()?;
            next = next.into_iter().chain(time).min();
        }
        Ok(next)
    }

    /// Whether a claim of the bot could find a task, or could correct deadlines after the clock went back.
    fn may_have_work_for(&self, bot: &BotId, options: &ClaimOptions) -> Result<bool> {
        if self.clock_went_back()? {
            return Ok(true);
        }
        let registered = self.records.registry().get(bot)?;
        let claimant = self.claimant(bot, registered.as_ref(), options)?;
        Ok(claimant.free() > 0 && self.has_open_lane(&claimant)?)
    }
}

#[cfg(test)]
mod test;
