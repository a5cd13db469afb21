//! Explains why a task is not claimed, or which bots may claim it.
//!
//! [`obstacle`] is the rule of a claim. A claim applies it to every task, and [`Queue::why`] applies the same rule, so
//! the explanation agrees with the claims.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::clock::show_time;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::error::{Error, Result};
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::claiming::claim::{ClaimOptions, HOUSEKEEPING_MAX, most_at_once};
use crate::state::queue::claiming::obstacle::{AHEAD, Claimant, NAMED, Obstacle, obstacle, obstacles};
use crate::state::queue::claiming::order::Order;
use crate::state::queue::ending::finish::attempt_failed;
use crate::state::queue::looking::reach::Fleet;
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::keys;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Holder, Task, TaskState};
use crate::state::registry::{Bot, registry_of};

/// A stored task as a claim finds it, which first takes back claims that are over and makes tasks ready that are due.
fn as_found(task: Task, now: Timestamp) -> Task {
    if task.holder.as_ref().is_some_and(|holder| holder.deadline <= now) {
        return Task { ready_since: Some(now), ..attempt_failed(&task, String::new(), now, None) };
    }
    let is_due = task.waiting_for.is_empty() && task.not_before.is_some_and(|time| time <= now);
    if is_due { Task { not_before: None, ready_since: task.not_before, ..task } } else { task }
}

/// The task of a question.
struct Asked {
    /// The task as it is stored.
    task: Task,
    /// The task as the next claim finds it.
    found: Task,
    fleet: Fleet,
}

impl Asked {
    /// The obstacle of a task whose lease has ended with its last attempt.
    fn spent(&self) -> Option<Obstacle> {
        let holder = self.task.holder.as_ref().filter(|_| self.found.state == TaskState::Dead)?;
        Some(Obstacle::LeaseEnded { bot: holder.bot.clone(), at: holder.deadline })
    }
}

/// The explanation why a task is not claimed, or which bots may claim it. As text it is one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The task.
    pub id: TaskId,
    /// The state of the task.
    pub state: TaskState,
    /// The obstacles of the task, or of the bot of the question.
    pub reasons: Vec<Obstacle>,
    /// Whether every bot that holds fewer tasks than it may can claim it now, registered or not.
    pub anybody: bool,
    /// The registered bots that may claim it now, ten at most.
    pub may_claim: Vec<BotId>,
    /// The number of further bots that may claim it.
    pub may_claim_more: u64,
    /// The explanation in one line.
    pub text: String,
}

impl Why {
    /// Whether the next claim takes this task: the next claim of some bot, or of the bot of the question.
    pub fn is_next(&self) -> bool {
        self.reasons.is_empty() && (self.anybody || !self.may_claim.is_empty())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Why {
    /// The same with its text.
    fn told(mut self, asked: &Asked) -> Self {
        let ended = asked.task.holder.as_ref().filter(|_| asked.found.state == TaskState::Ready);
        let ended =
            ended.map(|Holder { bot, deadline, .. }| format!("the lease of {bot} ended at {}", show_time(*deadline)));
        let mut parts: Vec<_> = ended.into_iter().chain(self.who()).collect();
        parts.extend(self.reasons.iter().map(|reason| match reason {
            Obstacle::HandsFull { bot, held, most } if *most > 0 => format!("{bot} holds {held} of {most}"),
            reason => reason.to_string(),
        }));
        let (state, text) = (self.state.as_str(), parts.join("; "));
        self.text = match text.as_str() {
            "" => state.to_owned(),
            text if text.starts_with(state) => text.to_owned(),
            text => format!("{state}: {text}"),
        };
        self
    }

    /// The bots that may claim it, in words.
    fn who(&self) -> Option<String> {
        if self.anybody {
            return Some("any bot may claim it".to_owned());
        }
        let mut names: Vec<_> = self.may_claim.iter().map(ToString::to_string).collect();
        if self.may_claim_more > 0 {
            names.push(format!("{} more", self.may_claim_more));
        }
        let last = names.pop()?;
        let names = if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) };
        Some(format!("{names} may claim it"))
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    /// Explains why a task is not claimed, or which bots may claim it, by the rule and the order of claims with these
    /// options.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such task; `Damaged` when something that is read for it cannot be read; `Invalid` as
    /// of a point, because nobody claims there, and for options that a claim refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{ClaimOptions, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let task = store.write(|tx| tx.queue().enqueue(NewTask::new("train").capability("gpu")))?;
    /// let why = store.view()?.queue().why(&task.id, &ClaimOptions::default())?;
    /// assert_eq!(why.to_string(), "waiting: needs gpu; no registered bot has it");
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn why(&self, id: &TaskId, options: &ClaimOptions) -> Result<Why> {
        let asked = self.asked(id, options)?;
        let (mut why, found) = (self.begin(&asked)?, &asked.found);
        why.reasons = self.held_back(&asked)?;
        if !why.reasons.is_empty() {
            return Ok(why.told(&asked));
        }
        let mut full = Vec::new();
        why.anybody = found.assigned_to.is_none() && found.capabilities.is_empty();
        for bot in registry_of(&self.records).list() {
            let bot = bot?;
            match self.obstacles_for(found, &bot.id, Some(&bot), options)?.into_iter().next() {
                None if why.may_claim.len() < NAMED => why.may_claim.push(bot.id),
                None => why.may_claim_more += 1,
                Some(reason @ Obstacle::HandsFull { most: 1.., .. }) if full.len() < NAMED => full.push(reason),
                Some(_) => {}
            }
        }
        let (assignee, able) = match &found.assigned_to {
            Some(bot) => (Some(bot), registry_of(&self.records).get(bot)?.map(|bot| bot.specializations)),
            None => (None, None),
        };
        let able = able.as_ref().unwrap_or(&found.capabilities);
        why.reasons.extend(self.behind(found, assignee, able, options)?);
        why.reasons.extend(full);
        Ok(why.told(&asked))
    }

    /// Explains why a claim of this bot with these options does not take the task, or that it does.
    ///
    /// # Errors
    ///
    /// As [`why`](Self::why).
    pub fn why_bot(&self, id: &TaskId, bot: &BotId, options: &ClaimOptions) -> Result<Why> {
        let asked = self.asked(id, options)?;
        let (mut why, found) = (self.begin(&asked)?, &asked.found);
        let registered = registry_of(&self.records).get(bot)?;
        why.reasons = match asked.spent() {
            Some(spent) => vec![spent],
            None => self.named(found, self.obstacles_for(found, bot, registered.as_ref(), options)?)?,
        };
        if why.reasons.is_empty() {
            why.may_claim.push(bot.clone());
            let none = BTreeSet::new();
            let able = registered.as_ref().map_or(&none, |bot| &bot.specializations);
            why.reasons.extend(self.behind(found, Some(bot), able, options)?);
        }
        Ok(why.told(&asked))
    }

    /// Explains why a claim of the bot is empty: the bot holds as many tasks as it may, or no task is ready for it. A
    /// task that was enqueued after the claim is not considered.
    ///
    /// # Errors
    ///
    /// `Damaged` when something that is read for it cannot be read; `Invalid` as of a point.
    pub fn why_nothing(&self, bot: &BotId, options: &ClaimOptions) -> Result<Obstacle> {
        self.refuse_the_past()?;
        let registered = registry_of(&self.records).get(bot)?;
        let mut claimant = self.claimant(bot, registered.as_ref(), options)?;
        claimant.held = self.held_of(&claimant)?;
        if let Some(full) = claimant.hands_full() {
            return Ok(full);
        }
        let has_some = self.has_open_lane(&claimant)?;
        let for_others = if has_some { 0 } else { self.counts()?.ready };
        Ok(Obstacle::NothingReady { bot: bot.clone(), for_others })
    }

    /// Refuses a view of a point. Leases are compared with the clock, and the index, which holds the order, exists only
    /// for the present.
    pub(super) fn refuse_the_past(&self) -> Result<()> {
        if self.records.is_now() {
            return Ok(());
        }
        Err(Error::invalid(
            "the reasons why a task is not claimed are known for the present only; look at the task instead",
        ))
    }

    /// Reads the task of a question.
    fn asked(&self, id: &TaskId, options: &ClaimOptions) -> Result<Asked> {
        options.check()?;
        self.refuse_the_past()?;
        let task = self.existing(id)?;
        let found = as_found(task.clone(), self.now());
        Ok(Asked { task, found, fleet: Fleet::default() })
    }

    fn begin(&self, asked: &Asked) -> Result<Why> {
        Ok(Why {
            id: asked.task.id.clone(),
            state: self.state_of(&asked.fleet, &asked.task)?,
            reasons: Vec::new(),
            anybody: false,
            may_claim: Vec::new(),
            may_claim_more: 0,
            text: String::new(),
        })
    }

    fn obstacles_for(
        &self,
        task: &Task,
        bot: &BotId,
        registered: Option<&Bot>,
        options: &ClaimOptions,
    ) -> Result<Vec<Obstacle>> {
        let mut claimant = self.claimant(bot, registered, options)?;
        claimant.held = self.still_held(&claimant)?;
        Ok(obstacles(task, &claimant, self.now()))
    }

    /// The same obstacles, with all dependencies and their states.
    fn named(&self, task: &Task, obstacles: Vec<Obstacle>) -> Result<Vec<Obstacle>> {
        let mut named = Vec::new();
        for obstacle in obstacles {
            match obstacle {
                Obstacle::DependsOn { .. } => named.extend(self.dependencies(task)?),
                other => named.push(other),
            }
        }
        Ok(named)
    }

    /// The number of tasks that a bot holds. A bot that was allowed more before may hold more than its limit; those
    /// are counted up to [`AHEAD`] above it.
    fn held_of(&self, bot: &Claimant<'_>) -> Result<usize> {
        if bot.free() > 0 {
            return Ok(bot.held);
        }
        let rows = bot.most.saturating_add(AHEAD);
        Ok(self.records.rows(Table::Index, &keys::held_by(bot.id).range(), rows)?.len())
    }

    /// The number of tasks that a bot holds without expired claims.
    fn still_held(&self, bot: &Claimant<'_>) -> Result<usize> {
        let now = self.now();
        if bot.held == 0 || self.records.rows(Table::Index, &keys::expired(now), 1)?.is_empty() {
            return self.held_of(bot);
        }
        let mut held = 0;
        let rows = bot.most.saturating_add(AHEAD);
        for (row, _) in self.records.rows(Table::Index, &keys::held_by(bot.id).range(), rows)? {
            let holder = self.indexed(&keys::task_of(&row)?)?.holder;
            held += usize::from(holder.is_some_and(|holder| holder.deadline > now));
        }
        Ok(held)
    }

    /// The obstacles that keep a task from every bot.
    fn held_back(&self, asked: &Asked) -> Result<Vec<Obstacle>> {
        if let Some(spent) = asked.spent() {
            return Ok(vec![spent]);
        }
        let (task, somebody) = (&asked.found, BotId::new("any")?);
        let ideal =
            Claimant { id: task.assigned_to.as_ref().unwrap_or(&somebody), able: &task.capabilities, held: 0, most: 1 };
        let mut reasons = self.named(task, obstacles(task, &ideal, self.now()))?;
        if !matches!(reasons.first(), Some(Obstacle::Claimed { .. } | Obstacle::Finished { .. })) {
            reasons.extend(self.nobody_for(&asked.fleet, task.assigned_to.as_ref(), &task.capabilities)?);
        }
        Ok(reasons)
    }

    /// The number of tasks that a bot with these capabilities claims before this one.
    fn behind(
        &self,
        task: &Task,
        bot: Option<&BotId>,
        able: &BTreeSet<String>,
        options: &ClaimOptions,
    ) -> Result<Option<Obstacle>> {
        let (lanes, coming) = (self.lanes_open_to(bot, able)?, self.coming(task, bot, able)?);
        let mut passed = PassedOver::default();
        let mut order = Order::of(self, &lanes, coming, options.aging, &mut passed)?;
        let mut ahead = 0;
        while ahead < AHEAD && order.next(&mut passed)?.is_some_and(|next| next != task.id) {
            ahead += 1;
        }
        Ok((ahead > 0).then_some(Obstacle::Behind { tasks: ahead as u64 }))
    }

    /// The tasks that the next claim makes ready before it chooses, because they are due or their lease has ended.
    /// Their rows are in no lane yet. The task of the question is among them if it is in no lane.
    fn coming(&self, asked: &Task, bot: Option<&BotId>, able: &BTreeSet<String>) -> Result<Vec<Task>> {
        let (now, nobody) = (self.now(), BotId::new("nobody")?);
        let claimant = Claimant { id: bot.unwrap_or(&nobody), able, held: 0, most: 1 };
        let mut coming = Vec::new();
        for rows in [keys::due(now), keys::expired(now)] {
            for (row, _) in self.records.rows(Table::Index, &rows, HOUSEKEEPING_MAX)? {
                let other = as_found(self.indexed(&keys::task_of(&row)?)?, now);
                let is_for_it = bot.is_some() || other.assigned_to.is_none();
                if is_for_it && obstacle(&other, &claimant, now).is_none() {
                    coming.push(other);
                }
            }
        }
        let is_in_a_lane = self.stored(&asked.id)?.is_some_and(|stored| stored == *asked);
        if !is_in_a_lane && coming.iter().all(|other| other.id != asked.id) {
            coming.push(asked.clone());
        }
        Ok(coming)
    }

    /// The bot of a claim with these options.
    pub(in crate::state::queue) fn claimant<'b>(
        &self,
        bot: &'b BotId,
        registered: Option<&'b Bot>,
        options: &ClaimOptions,
    ) -> Result<Claimant<'b>> {
        static NOTHING: BTreeSet<String> = BTreeSet::new();
        let most = usize::try_from(most_at_once(registered, options)).unwrap_or(usize::MAX);
        let held = self.records.rows(Table::Index, &keys::held_by(bot).range(), most)?.len();
        Ok(Claimant { id: bot, able: registered.map_or(&NOTHING, |bot| &bot.specializations), held, most })
    }
}
