//! The rule by which a claim hands a task over or not, and what keeps it from doing so, in words.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::clock::show_time;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::task::{Task, TaskState};
use crate::text::counted;

/// So many bots, and so many tasks that are waited for, are named; the others are counted.
pub(super) const NAMED: usize = 10;
/// So many tasks in front of one are counted.
pub(super) const AHEAD: usize = 1_000;

/// A bot as a claim sees it.
pub(super) struct Claimant<'b> {
    pub(super) id: &'b BotId,
    /// What it can do; nothing special when it is not registered.
    pub(super) able: &'b BTreeSet<String>,
    /// How many tasks it holds, counted to `most`.
    pub(super) held: usize,
    /// How many it may hold.
    pub(super) most: usize,
}

impl Claimant<'_> {
    /// How many more tasks it may take.
    pub(super) fn free(&self) -> usize {
        self.most.saturating_sub(self.held)
    }

    /// That it holds as many as it may.
    pub(super) fn hands_full(&self) -> Option<Obstacle> {
        let (held, most) = (self.held as u64, self.most as u64);
        (self.free() == 0).then(|| Obstacle::HandsFull { bot: self.id.clone(), held, most })
    }
}

/// The first obstacle that keeps a bot from claiming a stored task at `now`; none when it may.
pub(super) fn obstacle(task: &Task, bot: &Claimant<'_>, now: Timestamp) -> Option<Obstacle> {
    obstacles(task, bot, now).into_iter().next()
}

/// All obstacles that keep a bot from claiming a stored task at `now`. Of the tasks that it waits for, only the first is
/// named.
pub(super) fn obstacles(task: &Task, bot: &Claimant<'_>, now: Timestamp) -> Vec<Obstacle> {
    if let Some(holder) = &task.holder {
        return vec![Obstacle::Claimed { bot: holder.bot.clone(), until: holder.deadline }];
    }
    if let Some(at) = task.finished_at {
        return vec![Obstacle::Finished { state: task.state, at }];
    }
    let waits = task.waiting_for.first().map(|other| Obstacle::dependency(other, None, false, None));
    let scheduled = task.not_before.filter(|until| *until > now).map(|until| Obstacle::Scheduled { until });
    let other = task.assigned_to.as_ref().filter(|other| *other != bot.id);
    let assigned = other.map(|other| Obstacle::Assigned { bot: other.clone() });
    let lacks: BTreeSet<_> = task.capabilities.difference(bot.able).cloned().collect();
    let lacks = (!lacks.is_empty()).then(|| Obstacle::Lacks { bot: bot.id.clone(), capabilities: lacks });
    [waits, scheduled, assigned, lacks, bot.hands_full()].into_iter().flatten().collect()
}

/// What keeps a task from being claimed, or a bot from claiming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Obstacle {
    /// A bot holds it.
    Claimed {
        /// Which.
        bot: BotId,
        /// When its lease ends.
        #[serde(with = "crate::clock::time")]
        until: Timestamp,
    },
    /// It is done, failed, dead or cancelled.
    Finished {
        /// Which of these.
        state: TaskState,
        /// Since when.
        #[serde(with = "crate::clock::time")]
        at: Timestamp,
    },
    /// It waits for another task.
    DependsOn {
        /// Which.
        task: TaskId,
        /// How that one is; none when there is none of that name.
        state: Option<TaskState>,
        /// Whether that one was purged in that state.
        purged: bool,
        /// Who holds that one.
        held_by: Option<BotId>,
    },
    /// It waits for so many other tasks besides.
    DependsOnMore {
        /// How many.
        tasks: u64,
    },
    /// It must not be claimed yet.
    Scheduled {
        /// From when on it may be.
        #[serde(with = "crate::clock::time")]
        until: Timestamp,
    },
    /// Only another bot may claim it.
    Assigned {
        /// Which.
        bot: BotId,
    },
    /// Only that bot may claim it, and it is not registered; it can still come and claim.
    NotRegistered {
        /// The bot.
        bot: BotId,
    },
    /// The bot cannot do all that it asks for.
    Lacks {
        /// The bot.
        bot: BotId,
        /// What it lacks.
        capabilities: BTreeSet<String>,
    },
    /// No registered bot that takes tasks can do all that it asks for.
    NobodyCan {
        /// The capabilities that it asks for.
        capabilities: BTreeSet<String>,
        /// Bots that have them and take no tasks, because their max_concurrent is 0; ten at most.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        take_none: Vec<BotId>,
    },
    /// Its lease has ended, and it has no attempt left: the next claim makes it dead.
    LeaseEnded {
        /// The bot whose lease it was.
        bot: BotId,
        /// When the lease ended.
        #[serde(with = "crate::clock::time")]
        at: Timestamp,
    },
    /// The bot holds as many tasks as it may.
    HandsFull {
        /// The bot.
        bot: BotId,
        /// How many it holds.
        held: u64,
        /// How many it may hold.
        most: u64,
    },
    /// Others go first: more urgent ones, or ones that came before.
    Behind {
        /// How many, counted to 1,000.
        tasks: u64,
    },
    /// Nothing is ready that the bot may claim.
    NothingReady {
        /// The bot.
        bot: BotId,
        /// How many tasks are ready for other bots.
        for_others: u64,
    },
}

impl Obstacle {
    pub(super) fn dependency(task: &TaskId, state: Option<TaskState>, purged: bool, held_by: Option<BotId>) -> Self {
        Self::DependsOn { task: task.clone(), state, purged, held_by }
    }

    /// Whether it is a task that nobody has enqueued yet.
    pub(super) fn may_still_come(&self) -> bool {
        matches!(self, Self::DependsOn { state: None, .. })
    }

    /// Whether it will go on until somebody does something about it.
    pub(super) fn cannot_come(&self) -> bool {
        match self {
            Self::DependsOn { state, purged, .. } => {
                *purged || state.is_none_or(|state| state.is_finished() && state != TaskState::Done)
            }
            _ => false,
        }
    }
}

fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claimed { bot, until } => write!(f, "claimed by {bot} until {}", show_time(*until)),
            Self::Finished { state, at } => write!(f, "{state} since {}", show_time(*at)),
            Self::DependsOn { task, state, purged, held_by } => {
                write!(f, "waits for {task} (")?;
                match (state, purged, held_by) {
                    (None, ..) => write!(f, "no task has that name yet)"),
                    (Some(state), true, _) => write!(f, "{state} and purged: push it again, or cancel this one)"),
                    (Some(state), _, Some(bot)) => write!(f, "{state} by {bot})"),
                    (Some(state), ..) if state.is_finished() && *state != TaskState::Done => {
                        write!(f, "{state}: will never be done; requeue or cancel it)")
                    }
                    (Some(state), ..) => write!(f, "{state})"),
                }
            }
            Self::DependsOnMore { tasks } => write!(f, "waits for {}", counted(*tasks, "more task")),
            Self::Scheduled { until } => write!(f, "scheduled until {}", show_time(*until)),
            Self::Assigned { bot } => write!(f, "assigned to {bot}"),
            Self::NotRegistered { bot } => write!(f, "assigned to {bot}, which is not registered"),
            Self::Lacks { bot, capabilities } => write!(f, "needs {}, which {bot} does not have", list(capabilities)),
            Self::NobodyCan { capabilities, take_none } if take_none.is_empty() => {
                write!(f, "needs {}; no registered bot has it", list(capabilities))
            }
            Self::NobodyCan { capabilities, take_none } => {
                let (needs, bots) = (list(capabilities), list(take_none.iter().map(BotId::as_str)));
                write!(
                    f,
                    "needs {needs}; a bot that has it takes no tasks: raise its max_concurrent from 0: bot={bots}"
                )
            }
            Self::LeaseEnded { bot, at } => {
                write!(f, "the lease of {bot} ended at {}, and no attempt is left", show_time(*at))
            }
            Self::HandsFull { bot, most: 0, .. } => {
                write!(f, "{bot} takes no tasks; raise its max_concurrent from 0")
            }
            Self::HandsFull { bot, held, most } => {
                let most = counted(*most, "task");
                write!(f, "{bot} holds {held} of at most {most}; finish one, or raise max_concurrent")
            }
            Self::Behind { tasks } if *tasks >= AHEAD as u64 => write!(f, "behind {tasks} or more that go first"),
            Self::Behind { tasks: 1 } => write!(f, "behind 1 task that goes first"),
            Self::Behind { tasks } => write!(f, "behind {tasks} tasks that go first"),
            Self::NothingReady { bot, for_others: 0 } => write!(f, "there is nothing to claim now: bot={bot}"),
            Self::NothingReady { bot, for_others } => {
                write!(f, "there is nothing to claim now: bot={bot} ready_for_others={for_others}")
            }
        }
    }
}
