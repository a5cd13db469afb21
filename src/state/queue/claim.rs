//! Claiming: a bot takes tasks, highest priority first, first in first out within one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::{after, as_stored};
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::limits;
use crate::state::ids::{BotId, SessionId, TaskId, Token, check_new};
use crate::state::queue::Queue;
use crate::state::queue::damage::PassedOver;
use crate::state::queue::keys::{self, Found, Lane};
use crate::state::queue::obstacle::{Claimant, obstacle};
use crate::state::queue::order::Order;
use crate::state::queue::task::{Holder, Task, TaskState};
use crate::state::registry::{Bot, DEFAULT_MAX_CONCURRENT};

/// The counter of tokens.
pub(super) const TOKEN: &str = "token";
/// How long a claim lasts when its caller does not say.
const LEASE: Duration = Duration::from_secs(30);
/// How many expired leases, and how many tasks that came due, one claim deals with. More are left to the next one, so
/// that no claim is slow.
pub(super) const HOUSEKEEPING_MAX: usize = 128;

/// How a bot claims.
///
/// # Examples
///
/// ```
/// use hivekeep::ClaimOptions;
///
/// let ten = ClaimOptions { max: 10, ..ClaimOptions::default() };
/// assert_eq!(ten.lease.as_secs(), 30);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimOptions {
    /// How long the bot has until it must finish or extend; 30 seconds unless set, at most seven days.
    pub lease: Duration,
    /// At most this many tasks; one unless set.
    pub max: usize,
    /// How many tasks the bot may hold; three unless set. For a registered bot that has a
    /// [`max_concurrent`](Bot::max_concurrent) the smaller of both counts.
    pub max_concurrent: Option<u32>,
    /// With whom the claim ends before its lease does: with this process, unless set.
    pub owner: ClaimOwner,
    /// Raises the priority of a task by one for each time that it has been ready for so long, so that urgent work without
    /// end does not keep it waiting for ever; a P3 task counts as P0 after three times. Off unless set.
    pub aging: Option<Duration>,
}

impl Default for ClaimOptions {
    fn default() -> Self {
        Self { lease: LEASE, max: 1, max_concurrent: None, owner: ClaimOwner::Process, aging: None }
    }
}

impl ClaimOptions {
    /// Refuses what no claim can ask for.
    pub(super) fn check(&self) -> Result<()> {
        check_lease(self.lease)?;
        limits::not_zero("a claim takes at least one task", "max", self.max)?;
        if self.aging.is_some_and(|period| period < Duration::from_millis(1)) {
            return Err(Error::invalid("aging takes at least a millisecond; leave it out for none: aging_ms=0"));
        }
        Ok(())
    }
}

/// With whom a claim ends before its lease does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimOwner {
    /// With the process that claims, because the work is done in it: should it crash, its tasks go back at once. A store
    /// that was opened without a [session](crate::Options::session) notices no crash; there only the lease counts.
    #[default]
    Process,
    /// With the process that has this session.
    Session(SessionId),
    /// With nobody: the work is done elsewhere, and only the end of the lease takes it back. Claims over HTTP and of the
    /// command line are like that.
    Nobody,
}

/// A task that a bot has claimed: what is to be done, and the token that proves that it may.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// The task.
    pub id: TaskId,
    /// To be shown to extend, complete, fail or release it.
    pub token: Token,
    /// What is to be done.
    pub payload: Value,
    /// When the lease ends, unless it is extended.
    #[serde(with = "crate::clock::time")]
    pub deadline: Timestamp,
    /// Which attempt this is, from 1. JSON calls it `attempt`.
    #[serde(rename = "attempt")]
    pub attempts: u32,
    /// Anything else that the task's caller gave.
    pub attributes: Map<String, Value>,
}

impl Queue<&mut WriteTx<'_>> {
    /// Takes tasks for `bot`: of those that are ready, due and wait for nothing, that are assigned to it or to nobody,
    /// and that ask for nothing it cannot do, those of the highest priority, and of these the ones that came first.
    ///
    /// It takes fewer than `max` when there are not as many, or when the bot would hold more than its
    /// [`max_concurrent`](Bot::max_concurrent). A bot that is not registered can do nothing special and may hold three, or
    /// as many as the options say. [`why_nothing`](Queue::why_nothing) tells why it took none.
    /// Leases that have ended are dealt with first, as by [`expire`](Queue::expire). A task that is damaged is passed over.
    ///
    /// # Errors
    ///
    /// `Invalid` when the lease or the period of aging has no length, when the lease is longer than seven days, and when
    /// `max` is zero. Nothing to claim is no error. `Damaged` when nothing could be claimed and a task was passed over, which
    /// the message names.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BotId, ClaimOptions, NewTask, Store};
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let bot = BotId::new("BOT-1")?;
    /// store.write(|tx| tx.queue().enqueue(NewTask::new(json!({"build": "4f2a"}))))?;
    /// for claim in store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default()))? {
    ///     assert_eq!(claim.payload["build"], "4f2a");
    ///     store.write(|tx| tx.queue().complete(&claim.id, claim.token, json!("built")))?;
    /// }
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn claim(&mut self, bot: &BotId, options: &ClaimOptions) -> Result<Vec<Claim>> {
        options.check()?;
        self.refuse_unfit(bot)?;
        let mut passed = PassedOver::default();
        self.take_back_expired(HOUSEKEEPING_MAX, &mut passed)?;
        self.make_due(HOUSEKEEPING_MAX, &mut passed)?;
        let registered = self.records.registry().get(bot)?;
        let claimant = self.claimant(bot, registered.as_ref(), options)?;
        let chosen = self.choose(&claimant, options, &mut passed)?;
        passed.unless(claimant.free().min(options.max) == 0 || !chosen.is_empty())?;
        chosen.into_iter().map(|task| self.hand_over(&task, bot, options)).collect()
    }

    /// The tasks to hand over: the best of the heads of every lane that is open to the bot.
    fn choose(&self, bot: &Claimant<'_>, options: &ClaimOptions, passed: &mut PassedOver) -> Result<Vec<Task>> {
        let count = options.max.min(bot.free());
        if count == 0 {
            return Ok(Vec::new());
        }
        let lanes = self.lanes_open_to(Some(bot.id), bot.able)?;
        let mut ask = count;
        loop {
            let heads = match options.aging {
                Some(period) => self.aged_heads(&lanes, ask, period, passed)?,
                None => self.heads(&lanes, ask)?,
            };
            let mut tasks = Vec::new();
            for id in &heads {
                if tasks.len() < count {
                    tasks.extend(passed.whole(self.claimable(id, bot))?);
                }
            }
            if tasks.len() == count || heads.len() < ask {
                return Ok(tasks);
            }
            // Behind each that was passed over there may be one that is whole.
            ask = count.saturating_add(heads.len() - tasks.len());
        }
    }

    /// The task that a row of an open lane names, which must be one that the bot may claim.
    fn claimable(&self, id: &TaskId, bot: &Claimant<'_>) -> Result<Task> {
        let task = self.changeable(id, TaskState::Ready)?;
        match obstacle(&task, bot, self.now()) {
            None => Ok(task),
            Some(reason) => Err(Error::damaged(format!(
                "the index names a task that the bot may not claim ({reason}); run check: task={id} bot={}",
                bot.id
            ))),
        }
    }

    /// The first tasks of all lanes together.
    fn heads(&self, lanes: &[Lane], count: usize) -> Result<Vec<TaskId>> {
        let mut heads = Vec::new();
        for lane in lanes {
            for (row, _) in self.records.rows(Table::Index, &lane.rows(), count)? {
                heads.push(lane.place_of(&row)?);
            }
        }
        heads.sort();
        Ok(heads.into_iter().take(count).map(|(_, _, id)| id).collect())
    }

    /// The first tasks of all lanes together, when each full period that a task has been ready raises its priority by one.
    fn aged_heads(
        &self,
        lanes: &[Lane],
        count: usize,
        period: Duration,
        passed: &mut PassedOver,
    ) -> Result<Vec<TaskId>> {
        let mut order = Order::of(self, lanes, Vec::new(), Some(period), passed)?;
        let mut heads = Vec::new();
        while heads.len() < count
            && let Some(id) = order.next(passed)?
        {
            heads.push(id);
        }
        Ok(heads)
    }

    /// Makes the bot the task's holder.
    fn hand_over(&mut self, task: &Task, bot: &BotId, options: &ClaimOptions) -> Result<Claim> {
        let now = self.now();
        let holder = Holder {
            bot: bot.clone(),
            token: Token(self.records.next(TOKEN)?),
            since: now,
            deadline: as_stored(after(now, options.lease)),
            lease_ms: millis(options.lease),
            session: match options.owner {
                ClaimOwner::Process => self.records.context.session(),
                ClaimOwner::Session(session) => Some(session.0),
                ClaimOwner::Nobody => None,
            }
            .map(SessionId),
        };
        let (token, deadline) = (holder.token, holder.deadline);
        let attempts = task.attempts.saturating_add(1);
        let claimed = Task { state: TaskState::Claimed, holder: Some(holder), attempts, ..task.clone() };
        let Task { id, payload, attributes, .. } = self.save(Some(task), claimed)?;
        Ok(Claim { id, token, payload, deadline, attempts, attributes })
    }
}

#[expect(private_bounds, reason = "what a queue is read from is the crate's own matter")]
impl<R: Records> Queue<R> {
    /// Refuses the name of a bot that was never heard of, when nothing new may be called so.
    pub(super) fn refuse_unfit(&self, bot: &BotId) -> Result<()> {
        check_new("a bot id", bot.as_str(), || {
            let is_in = |rows: &KeyRange| Ok::<_, Error>(!self.records.rows(Table::Index, rows, 1)?.is_empty());
            Ok(self.records.get(CollectionId::REGISTRY, bot.as_bytes())?.is_some()
                || is_in(&keys::held_by(bot).range())?
                || is_in(&Lane::lanes_of(Some(bot)).range())?)
        })
    }

    /// The lanes that have ready tasks and are open to a bot that can do this.
    pub(super) fn lanes_open_to(&self, bot: Option<&BotId>, able: &BTreeSet<String>) -> Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        let all = self.each_open_lane(bot, able, |lane| {
            lanes.push(lane);
            ControlFlow::Continue(())
        });
        all.map(|_| lanes)
    }

    /// Whether there is a lane that is open to the bot.
    pub(super) fn has_open_lane(&self, bot: &Claimant<'_>) -> Result<bool> {
        Ok(self.each_open_lane(Some(bot.id), bot.able, |_| ControlFlow::Break(()))?.is_break())
    }

    /// Finds them by leaping from one to the next.
    fn each_open_lane(
        &self,
        bot: Option<&BotId>,
        able: &BTreeSet<String>,
        mut found: impl FnMut(Lane) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        for assignee in [None, bot] {
            let head = Lane::lanes_of(assignee);
            let all = head.clone().range();
            let mut rest = all.clone();
            while let Some((row, _)) = self.records.rows(Table::Index, &rest, 1)?.first() {
                let next = match Lane::find(&head, row, able)? {
                    Found::Open { lane, next } => match found(lane) {
                        ControlFlow::Continue(()) => next,
                        ended => return Ok(ended),
                    },
                    Found::Closed { next } => next,
                };
                rest = all.clone().from(&next);
            }
            if bot.is_none() {
                break;
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// How many tasks a bot may hold: as its registration says, or the options of its claim, the smaller where both do.
pub(super) fn most_at_once(registered: Option<&Bot>, options: &ClaimOptions) -> u32 {
    let own = registered.and_then(|bot| bot.max_concurrent);
    own.into_iter().chain(options.max_concurrent).min().unwrap_or(DEFAULT_MAX_CONCURRENT)
}

/// Refuses a lease that would be over as it begins, or not for a week.
pub(super) fn check_lease(lease: Duration) -> Result<()> {
    if lease < Duration::from_millis(1) {
        return Err(Error::invalid("a lease lasts at least a millisecond: lease_ms=0"));
    }
    limits::duration("a lease", lease, limits::LEASE)
}

/// As it is stored.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
