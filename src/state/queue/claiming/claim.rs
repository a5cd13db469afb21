//! Claims: a bot takes ready tasks, the highest priority first, and first in, first out within a priority.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{self, after, as_stored};
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::limits;
use crate::state::ids::{BotId, SessionId, TaskId, Token, check_new};
use crate::state::page::PageRoom;
use crate::state::queue::claiming::obstacle::{Claimant, obstacle};
use crate::state::queue::claiming::order::Order;
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::lane::{FoundLane, Lane};
use crate::state::queue::tasks::saving::{Queue, names};
use crate::state::queue::tasks::task::{Holder, Task, TaskState};
use crate::state::registry::{Bot, DEFAULT_MAX_CONCURRENT};

/// The counter of tokens.
pub(crate) const TOKEN: &str = "token";
/// Random tokens are below 2^53, so that every JSON reader keeps them exact.
const RANDOM_TOKENS: u64 = (1 << 53) - 1;
/// Random tokens are not below this, and the counter never comes so far.
const RANDOM_FROM: u64 = 1 << 52;
/// The default lease.
const LEASE: Duration = Duration::from_secs(30);
/// The maximum number of expired leases, and of due tasks, that one claim processes. The next claim processes the rest,
/// so that no claim is slow.
pub(in crate::state::queue) const HOUSEKEEPING_MAX: usize = 128;

/// The options of a claim.
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
    /// The lease: the time within which the bot must finish or extend. The default is 30 seconds, the maximum seven
    /// days.
    pub lease: Duration,
    /// The maximum number of tasks to claim, at least one. The default is one.
    pub max: usize,
    /// The maximum number of tasks that the bot may hold. The default is three. If the registered bot has a
    /// [`max_concurrent`](Bot::max_concurrent) too, the smaller number counts.
    pub max_concurrent: Option<u32>,
    /// The owner, whose crash ends the claim before its lease does. The default is this process.
    pub owner: ClaimOwner,
    /// Raises the priority of a task by one for each full period that the task has been ready, so that a stream of
    /// urgent tasks cannot delay it forever. A P3 task counts as P0 after three periods. Off by default.
    pub aging: Option<Duration>,
}

impl Default for ClaimOptions {
    fn default() -> Self {
        Self { lease: LEASE, max: 1, max_concurrent: None, owner: ClaimOwner::Process, aging: None }
    }
}

impl ClaimOptions {
    /// Refuses options that no claim can have.
    pub(crate) fn check(&self) -> Result<()> {
        check_lease(self.lease)?;
        limits::not_zero("a claim takes at least one task", "max", self.max)?;
        if self.aging.is_some_and(|period| period < Duration::from_millis(1)) {
            return Err(Error::invalid("aging takes at least a millisecond; leave it out for none: aging_ms=0"));
        }
        Ok(())
    }
}

/// The owner of a claim, whose crash ends the claim before its lease does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimOwner {
    /// The process that claims, because it does the work. If it crashes, its tasks become ready at once. A store that
    /// was opened without a [session](crate::Options::session) cannot notice a crash; there only the lease counts.
    #[default]
    Process,
    /// The process that has this session.
    Session(SessionId),
    /// No process: the work is done elsewhere, and only the end of the lease ends the claim. Claims over HTTP and from
    /// the command line use this.
    Nobody,
}

/// A claimed task: its payload, and the token that proves the claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The task.
    pub id: TaskId,
    /// The token that extend, complete, fail and release require.
    pub token: Token,
    /// The payload of the task.
    pub payload: Value,
    /// The end of the lease, unless it is extended.
    #[serde(with = "crate::clock::time")]
    pub deadline: Timestamp,
    /// The number of this attempt, from 1. The JSON field is `attempt`.
    #[serde(rename = "attempt")]
    pub attempts: u32,
    /// The attributes that the producer gave.
    pub attributes: Map<String, Value>,
}

impl Queue<&mut WriteTx<'_>> {
    /// Claims tasks for `bot`. A claimable task is ready and due, waits for no other task, is assigned to this bot or
    /// to none, and requires only capabilities that the bot has. The highest priority comes first, then the oldest
    /// task.
    ///
    /// Fewer than `max` tasks are claimed if fewer are claimable, if those hold 4 MiB together, or if the bot would
    /// hold more than its [`max_concurrent`](Bot::max_concurrent). A bot that is not registered has no capabilities and
    /// may hold three tasks, or as many as the options say. [`why_nothing`](Queue::why_nothing) explains an empty
    /// result. Expired leases are processed first, as by [`expire`](Queue::expire). A damaged task is skipped.
    ///
    /// # Errors
    ///
    /// `Invalid` when the lease or the period of aging has no length, when the lease is longer than seven days, and
    /// when `max` is zero. An empty queue is no error. `Damaged` when nothing could be claimed and a task was skipped;
    /// the message names that task.
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
        self.records.refuse_other_bot(bot)?;
        self.refuse_unfit(bot)?;
        let claims = self.together(|queue| {
            let mut passed = PassedOver::default();
            let (claims, had_room) = queue.take(bot, options, &mut passed)?;
            passed.unless(!had_room || !claims.is_empty())?;
            Ok(claims)
        })?;
        if let Some(claimed) = names(claims.iter().map(|claim| &claim.id)) {
            self.records.note("queue_claim", Some(&claimed))?;
        }
        Ok(claims)
    }

    /// Claims tasks, and notes the damaged ones that were skipped. Returns whether the bot could hold more, too.
    pub(in crate::state::queue) fn take(
        &mut self,
        bot: &BotId,
        options: &ClaimOptions,
        passed: &mut PassedOver,
    ) -> Result<(Vec<Claim>, bool)> {
        // Expired claims and due tasks become ready first, or the queue would seem empty until the next upkeep.
        self.take_back_expired(HOUSEKEEPING_MAX, passed)?;
        self.make_due(HOUSEKEEPING_MAX, passed)?;
        let registered = self.records.registry().get(bot)?;
        let claimant = self.claimant(bot, registered.as_ref(), options)?;
        let chosen = self.choose(&claimant, options, passed)?;
        let has_keys = !chosen.is_empty() && self.records.keys().are_used()?;
        let hand_over = |task| {
            let token = self.new_token(has_keys)?;
            self.hand_over(task, bot, token, options)
        };
        let claims = chosen.into_iter().map(hand_over).collect::<Result<_>>()?;
        Ok((claims, claimant.free() > 0))
    }

    /// Chooses the tasks to claim: the first ones of all lanes that are open to the bot.
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
            let (mut tasks, mut room) = (Vec::new(), PageRoom::default());
            for id in &heads {
                if tasks.len() < count && !room.is_full() {
                    // A damaged task must not stop the bots behind it.
                    let task = passed.whole(self.claimable(id, bot))?;
                    room.take(task.as_ref().filter(|_| count > 1).map_or(0, Task::weight));
                    tasks.extend(task);
                }
            }
            if tasks.len() == count || heads.len() < ask || room.is_full() {
                return Ok(tasks);
            }
            // Behind each skipped task there may be a sound one.
            ask = count.saturating_add(heads.len() - tasks.len());
        }
    }

    /// The task that a row of an open lane names. The bot must be allowed to claim it.
    fn claimable(&self, id: &TaskId, bot: &Claimant<'_>) -> Result<Task> {
        let task = self.changeable(id, TaskState::Ready)?;
        match obstacle(&task, bot, self.now()) {
            None => Ok(task),
            Some(reason) => Err(Error::damaged(format!(
                "the index names a task that the bot may not claim ({reason}); check the store: task={id} bot={}",
                bot.id
            ))
            .with_hint(Hint::CheckStore)),
        }
    }

    /// The first tasks of all lanes.
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

    /// The first tasks of all lanes with aging.
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

    /// A token that no claim had before. Where the store has keys, nobody can guess it.
    ///
    /// A holder may throw away its work once another one has a newer token, so a power cut must give out none again.
    fn new_token(&mut self, has_keys: bool) -> Result<Token> {
        self.records.wait_for_disk();
        let number = self.records.next(TOKEN)?;
        if !has_keys {
            return Ok(Token(number));
        }
        let [a, b, c, d, e, f, g, ..] = clock::random();
        let random = u64::from_be_bytes([0, a, b, c, d, e, f, g]) & RANDOM_TOKENS;
        Ok(Token(random | RANDOM_FROM))
    }

    /// Makes the bot the holder of the task.
    fn hand_over(&mut self, task: Task, bot: &BotId, token: Token, options: &ClaimOptions) -> Result<Claim> {
        let now = self.now();
        let holder = Holder {
            bot: bot.clone(),
            token,
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
        let deadline = holder.deadline;
        let attempts = task.attempts.saturating_add(1);
        let claimed = Task { state: TaskState::Claimed, holder: Some(holder), attempts, ..task.clone() };
        let Task { id, payload, attributes, .. } = self.save(Some(&task), claimed)?;
        Ok(Claim { id, token, payload, deadline, attempts, attributes })
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// Refuses the name of an unknown bot if the name is not allowed for new ids.
    pub(in crate::state::queue) fn refuse_unfit(&self, bot: &BotId) -> Result<()> {
        check_new("a bot id", bot.as_str(), || {
            let is_in = |rows: &KeyRange| Ok::<_, Error>(!self.records.rows(Table::Index, rows, 1)?.is_empty());
            Ok(self.records.get(CollectionId::REGISTRY, bot.as_bytes())?.is_some()
                || is_in(&keys::held_by(bot).range())?
                || is_in(&Lane::lanes_of(Some(bot)).range())?)
        })
    }

    /// The lanes with ready tasks that are open to a bot with these capabilities.
    pub(in crate::state::queue) fn lanes_open_to(
        &self,
        bot: Option<&BotId>,
        able: &BTreeSet<String>,
    ) -> Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        let all = self.each_open_lane(bot, able, |lane| {
            lanes.push(lane);
            ControlFlow::Continue(())
        });
        all.map(|_| lanes)
    }

    /// Whether any lane with ready tasks is open to the bot.
    pub(in crate::state::queue) fn has_open_lane(&self, bot: &Claimant<'_>) -> Result<bool> {
        Ok(self.each_open_lane(Some(bot.id), bot.able, |_| ControlFlow::Break(()))?.is_break())
    }

    /// Calls `found` for each open lane. Skips the rows of a lane in one step.
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
                    FoundLane::Open { lane, next } => match found(lane) {
                        ControlFlow::Continue(()) => next,
                        ended => return Ok(ended),
                    },
                    FoundLane::Closed { next } => next,
                };
                rest = all.clone().from(&next);
            }
            // Without a bot, both passes would be over the lanes of everybody.
            if bot.is_none() {
                break;
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The maximum number of tasks that a bot may hold: the smaller of its registration's and its options' number.
pub(in crate::state::queue) fn most_at_once(registered: Option<&Bot>, options: &ClaimOptions) -> u32 {
    let own = registered.and_then(|bot| bot.max_concurrent);
    own.into_iter().chain(options.max_concurrent).min().unwrap_or(DEFAULT_MAX_CONCURRENT)
}

/// The number of a token that the counter gave out; zero for a random one.
pub(in crate::state::queue) fn counted(token: Token) -> u64 {
    if token.0 < RANDOM_FROM { token.0 } else { 0 }
}

/// Refuses a lease without length, and one that is too long.
pub(in crate::state::queue) fn check_lease(lease: Duration) -> Result<()> {
    if lease < Duration::from_millis(1) {
        return Err(Error::invalid("a lease lasts at least a millisecond: lease_ms=0"));
    }
    limits::duration("a lease", lease, limits::LEASE)
}

/// The whole milliseconds of a duration.
pub(in crate::state::queue) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
