//! The rule of a claim: whether a bot may claim a task, and the obstacles in words.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::clock::show_time;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::tasks::task::{Task, TaskState};
use crate::text::counted;

/// The maximum number of bots, and of dependencies, that an answer names. The others are counted.
pub(in crate::state::queue) const NAMED: usize = 10;
/// The maximum number of tasks ahead that are counted.
pub(in crate::state::queue) const AHEAD: usize = 1_000;

/// The bot of a claim, with its capabilities and limits.
pub(in crate::state::queue) struct Claimant<'b> {
    pub(in crate::state::queue) id: &'b BotId,
    /// The capabilities of the bot; none when it is not registered.
    pub(in crate::state::queue) able: &'b BTreeSet<String>,
    /// The number of tasks it holds. A claim counts them up to `most`, and an explanation counts all.
    pub(in crate::state::queue) held: usize,
    /// The maximum number of tasks it may hold.
    pub(in crate::state::queue) most: usize,
}

impl Claimant<'_> {
    /// The number of tasks it may still take.
    pub(in crate::state::queue) fn free(&self) -> usize {
        self.most.saturating_sub(self.held)
    }

    /// The obstacle of a bot that holds as many tasks as it may.
    pub(in crate::state::queue) fn hands_full(&self) -> Option<Obstacle> {
        let (held, most) = (self.held as u64, self.most as u64);
        (self.free() == 0).then(|| Obstacle::HandsFull { bot: self.id.clone(), held, most })
    }
}

/// The first obstacle that keeps a bot from claiming a stored task at `now`; none when it may.
pub(in crate::state::queue) fn obstacle(task: &Task, bot: &Claimant<'_>, now: Timestamp) -> Option<Obstacle> {
    obstacles(task, bot, now).into_iter().next()
}

/// All obstacles that keep a bot from claiming a stored task at `now`. Only the first dependency is named.
pub(in crate::state::queue) fn obstacles(task: &Task, bot: &Claimant<'_>, now: Timestamp) -> Vec<Obstacle> {
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

/// An obstacle: the reason that a task cannot be claimed, or that a bot cannot claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Obstacle {
    /// A bot holds it.
    Claimed {
        /// The bot.
        bot: BotId,
        /// The end of its lease.
        #[serde(with = "crate::clock::time")]
        until: Timestamp,
    },
    /// It is done, failed, dead or cancelled.
    Finished {
        /// The state of the task.
        state: TaskState,
        /// The time when it finished.
        #[serde(with = "crate::clock::time")]
        at: Timestamp,
    },
    /// It waits for another task.
    DependsOn {
        /// The other task.
        task: TaskId,
        /// The state of the other task; none when no task has that name.
        state: Option<TaskState>,
        /// Whether the other task was purged in that state.
        purged: bool,
        /// The bot that holds the other task.
        held_by: Option<BotId>,
    },
    /// It waits for further tasks that are not named.
    DependsOnMore {
        /// The number of these tasks.
        tasks: u64,
    },
    /// Its start time is in the future.
    Scheduled {
        /// The start time.
        #[serde(with = "crate::clock::time")]
        until: Timestamp,
    },
    /// Only another bot may claim it.
    Assigned {
        /// The bot that may.
        bot: BotId,
    },
    /// Only that bot may claim it, and the bot is not registered. It can still claim.
    NotRegistered {
        /// The bot.
        bot: BotId,
    },
    /// The bot lacks capabilities that it requires.
    Lacks {
        /// The bot.
        bot: BotId,
        /// The missing capabilities.
        capabilities: BTreeSet<String>,
    },
    /// No registered bot that takes tasks has all capabilities that it requires.
    NobodyCan {
        /// The required capabilities.
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
        /// The number of tasks that it holds.
        held: u64,
        /// The maximum number of tasks that it may hold.
        most: u64,
    },
    /// Other tasks go first: more urgent or older ones.
    Behind {
        /// The number of these tasks, counted up to 1,000.
        tasks: u64,
    },
    /// No task is ready that the bot may claim.
    NothingReady {
        /// The bot.
        bot: BotId,
        /// The number of tasks that are ready for other bots.
        for_others: u64,
    },
}

impl Obstacle {
    pub(in crate::state::queue) fn dependency(
        task: &TaskId,
        state: Option<TaskState>,
        purged: bool,
        held_by: Option<BotId>,
    ) -> Self {
        Self::DependsOn { task: task.clone(), state, purged, held_by }
    }

    /// Whether it is a dependency that nobody has enqueued yet.
    pub(in crate::state::queue) fn may_still_come(&self) -> bool {
        matches!(self, Self::DependsOn { state: None, .. })
    }

    /// Whether the obstacle stays until somebody removes it.
    pub(in crate::state::queue) fn cannot_come(&self) -> bool {
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
                    (Some(state), true, _) => write!(f, "{state} and purged: enqueue it again, or cancel this one)"),
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
