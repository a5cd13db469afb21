//! Claiming: a bot takes tasks, highest priority first, first in first out within one.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::{after, as_stored};
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::limits;
use crate::state::ids::{BotId, SessionId, TaskId, Token};
use crate::state::queue::Queue;
use crate::state::queue::damage::PassedOver;
use crate::state::queue::keys::{self, Found, Lane};
use crate::state::queue::task::{Holder, Task, TaskState};
use crate::state::registry::{Bot, DEFAULT_MAX_CONCURRENT};

/// The counter of tokens.
pub(super) const TOKEN: &str = "token";
/// How long a claim lasts when its caller does not say.
const LEASE: Duration = Duration::from_secs(30);
/// How many expired leases, and how many tasks that came due, one claim deals with. More are left to the next one, so
/// that no claim is slow.
const HOUSEKEEPING_MAX: usize = 128;

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
    /// The session of this process, when the work is done in it: should the process crash, the tasks go back at once,
    /// before their leases end.
    pub session: Option<SessionId>,
}

impl Default for ClaimOptions {
    fn default() -> Self {
        Self { lease: LEASE, max: 1, session: None }
    }
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
    /// [`max_concurrent`](Bot::max_concurrent). A bot that is not registered can do nothing special and may hold three.
    /// Leases that have ended are dealt with first, as by [`expire`](Queue::expire). A task that is damaged is passed over.
    ///
    /// # Errors
    ///
    /// `Invalid` when the lease has no length, or is longer than seven days. Nothing to claim is no error. `Damaged` when nothing could be claimed and a
    /// task was passed over, which the message names.
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
        check_lease(options.lease)?;
        let mut passed = PassedOver::default();
        self.take_back_expired(HOUSEKEEPING_MAX, &mut passed)?;
        self.make_due(HOUSEKEEPING_MAX, &mut passed)?;
        let registered = self.records.registry().get(bot)?;
        let free = self.free_hands(bot, registered.as_ref())?;
        let count = options.max.min(free);
        let chosen = self.choose(bot, registered.as_ref(), count, &mut passed)?;
        passed.unless(count == 0 || !chosen.is_empty())?;
        chosen.into_iter().map(|task| self.hand_over(&task, bot, options)).collect()
    }

    /// The tasks to hand over: the best of the heads of every lane that is open to the bot.
    fn choose(
        &self,
        bot: &BotId,
        registered: Option<&Bot>,
        count: usize,
        passed: &mut PassedOver,
    ) -> Result<Vec<Task>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let lanes = self.open_lanes(bot, registered)?;
        let mut ask = count;
        loop {
            let heads = self.heads(&lanes, ask)?;
            let mut tasks = Vec::new();
            for id in &heads {
                if tasks.len() < count {
                    tasks.extend(passed.whole(self.changeable(id, TaskState::Ready))?);
                }
            }
            if tasks.len() == count || heads.len() < ask {
                return Ok(tasks);
            }
            // Behind each that was passed over there may be one that is whole.
            ask = count.saturating_add(heads.len() - tasks.len());
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

    /// Makes the bot the task's holder.
    fn hand_over(&mut self, task: &Task, bot: &BotId, options: &ClaimOptions) -> Result<Claim> {
        let now = self.now();
        let holder = Holder {
            bot: bot.clone(),
            token: Token(self.records.next(TOKEN)?),
            since: now,
            deadline: as_stored(after(now, options.lease)),
            lease_ms: millis(options.lease),
            session: options.session,
        };
        let (token, deadline) = (holder.token, holder.deadline);
        let attempts = task.attempts.saturating_add(1);
        let claimed = Task { state: TaskState::Claimed, holder: Some(holder), attempts, ..task.clone() };
        self.save(Some(task), &claimed)?;
        let Task { id, payload, attributes, .. } = claimed;
        Ok(Claim { id, token, payload, deadline, attempts, attributes })
    }
}

#[expect(private_bounds, reason = "what a queue is read from is the crate's own matter")]
impl<R: Records> Queue<R> {
    /// How many more tasks the bot may hold.
    pub(super) fn free_hands(&self, bot: &BotId, registered: Option<&Bot>) -> Result<usize> {
        let most = registered.map_or(DEFAULT_MAX_CONCURRENT, Bot::most_at_once);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let held = self.records.rows(Table::Index, &keys::held_by(bot).range(), most)?;
        Ok(most - held.len())
    }

    /// The lanes that have ready tasks and are open to the bot.
    fn open_lanes(&self, bot: &BotId, registered: Option<&Bot>) -> Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        let all = self.each_open_lane(bot, registered, |lane| {
            lanes.push(lane);
            ControlFlow::Continue(())
        });
        all.map(|_| lanes)
    }

    /// Whether there is such a lane.
    pub(super) fn has_open_lane(&self, bot: &BotId, registered: Option<&Bot>) -> Result<bool> {
        Ok(self.each_open_lane(bot, registered, |_| ControlFlow::Break(()))?.is_break())
    }

    /// Finds them by leaping from one to the next.
    fn each_open_lane(
        &self,
        bot: &BotId,
        registered: Option<&Bot>,
        mut found: impl FnMut(Lane) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let none = Default::default();
        let able = registered.map_or(&none, |bot| &bot.specializations);
        for assignee in [None, Some(bot)] {
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
        }
        Ok(ControlFlow::Continue(()))
    }
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
