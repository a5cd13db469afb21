//! Decides whether any registered bot could do a task.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::error::Result;
use crate::state::ids::BotId;
use crate::state::queue::claiming::obstacle::{NAMED, Obstacle};
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::keys::{self, OpenRow};
use crate::state::queue::tasks::lane::Lane;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Task, TaskState};
use crate::state::queue::tasks::task_counts::TaskCounts;
use crate::state::registry::{Bot, registry_of};

/// The registered bots, read when they are first needed.
#[derive(Default)]
pub(super) struct Fleet(OnceCell<RegisteredBots>);

/// The registered bots that can be read, and whether these are all.
struct RegisteredBots {
    bots: Vec<Bot>,
    are_all: bool,
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a queue")]
impl<R: Records> Queue<R> {
    fn registered<'f>(&self, fleet: &'f Fleet) -> Result<&'f RegisteredBots> {
        if let Some(known) = fleet.0.get() {
            return Ok(known);
        }
        let mut passed = PassedOver::default();
        let mut bots = Vec::new();
        for bot in registry_of(&self.records).list() {
            bots.extend(passed.whole(bot)?);
        }
        Ok(fleet.0.get_or_init(|| RegisteredBots { bots, are_all: passed.nothing() }))
    }

    /// Whether any bot is registered.
    pub(super) fn has_bots(&self, fleet: &Fleet) -> Result<bool> {
        self.registered(fleet).map(|known| !known.bots.is_empty() || !known.are_all)
    }

    /// The obstacle that keeps a task with that assignee and these capabilities from every bot. None if some bot could
    /// do the task, or if a damaged registration might be of such a bot.
    ///
    /// A bot that is not registered can do tasks that require no capability.
    pub(super) fn nobody_for(
        &self,
        fleet: &Fleet,
        assignee: Option<&BotId>,
        capabilities: &BTreeSet<String>,
    ) -> Result<Option<Obstacle>> {
        let Some(bot) = assignee else {
            if capabilities.is_empty() {
                return Ok(None);
            }
            let known = self.registered(fleet)?;
            let able = || known.bots.iter().filter(|bot| capabilities.is_subset(&bot.specializations));
            if !known.are_all || able().any(|bot| bot.most_at_once() > 0) {
                return Ok(None);
            }
            let take_none = able().take(NAMED).map(|bot| bot.id.clone()).collect();
            return Ok(Some(Obstacle::NobodyCan { capabilities: capabilities.clone(), take_none }));
        };
        let mut passed = PassedOver::default();
        let Some(registered) = passed.whole(registry_of(&self.records).get(bot))? else { return Ok(None) };
        Ok(match registered {
            None => Some(Obstacle::NotRegistered { bot: bot.clone() }),
            Some(known) if known.most_at_once() == 0 => {
                Some(Obstacle::HandsFull { bot: bot.clone(), held: 0, most: 0 })
            }
            Some(known) => {
                let lacks: BTreeSet<_> = capabilities.difference(&known.specializations).cloned().collect();
                (!lacks.is_empty()).then(|| Obstacle::Lacks { bot: bot.clone(), capabilities: lacks })
            }
        })
    }

    /// The state of a stored task, as callers see it.
    pub(super) fn state_of(&self, fleet: &Fleet, task: &Task) -> Result<TaskState> {
        let state = task.state_by_record();
        let is_due = || task.not_before.is_none_or(|time| self.records.is_now() && time <= self.records.now());
        match state {
            TaskState::Scheduled if !is_due() => Ok(state),
            TaskState::Scheduled | TaskState::Ready => {
                let nobody = self.nobody_for(fleet, task.assigned_to.as_ref(), &task.capabilities)?;
                Ok(if nobody.is_some() { TaskState::Waiting } else { TaskState::Ready })
            }
            state => Ok(state),
        }
    }

    /// A stored task with the state that callers see.
    pub(in crate::state::queue) fn shown(&self, task: Task) -> Result<Task> {
        self.shown_in(&Fleet::default(), task)
    }

    /// The same for many tasks.
    pub(super) fn shown_in(&self, fleet: &Fleet, task: Task) -> Result<Task> {
        Ok(Task { state: self.state_of(fleet, &task)?, ..task })
    }

    /// The obstacle that keeps every bot from a lane; none if some bot can claim from it.
    pub(super) fn nobody_in(&self, fleet: &Fleet, lane: &Lane) -> Result<Option<Obstacle>> {
        let (assignee, capabilities) = lane.asks_for()?;
        self.nobody_for(fleet, assignee.as_ref(), &capabilities)
    }

    /// Calls `found` for each lane with ready tasks that no bot could claim.
    pub(super) fn each_deserted_lane(&self, mut found: impl FnMut(&Lane, &Obstacle) -> Result<()>) -> Result<()> {
        let fleet = Fleet::default();
        let mut rest = keys::ready().range();
        while let Some((row, _)) = self.records.rows(Table::Index, &rest, 1)?.first() {
            let OpenRow::In(lane) = keys::open(row)? else { break };
            if let Some(why) = self.nobody_in(&fleet, &lane)? {
                found(&lane, &why)?;
            }
            rest = rest.from(&lane.behind());
        }
        Ok(())
    }

    /// Corrects counts that were made from the records alone, by the time and by the registered bots.
    pub(super) fn corrected(&self, mut counts: TaskCounts) -> Result<TaskCounts> {
        let (fleet, mut passed) = (Fleet::default(), PassedOver::default());
        self.each_row(keys::due(self.now()), |queue, row| {
            let task = keys::task_of(row).and_then(|id| queue.indexed(&id));
            let state = passed.whole(task.and_then(|task| queue.state_of(&fleet, &task)))?;
            counts.change(TaskState::Scheduled, state.unwrap_or(TaskState::Ready), 1);
            Ok(())
        })?;
        self.each_deserted_lane(|lane, _| {
            let mut count = 0;
            self.each_row(lane.rows(), |_, _| {
                count += 1;
                Ok(())
            })?;
            counts.change(TaskState::Ready, TaskState::Waiting, count);
            Ok(())
        })?;
        Ok(counts)
    }
}
