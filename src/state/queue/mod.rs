//! The task queue: durable tasks. A bot claims a task under a lease and finishes it, or the task becomes ready again.
//!
//! * [`tasks`]: tasks as they are stored, and their index; the queue as callers hold it
//! * [`pushing`]: on their way into the queue; [`claiming`]: on their way to a bot; [`ending`]: the ends of claims and
//!   tasks
//! * [`looking`]: the queue as a person sees it, and its check
//!
//! A claim over HTTP or by `claim_wait` passes `wait`, also when it waits for nothing: its first look writes at once;
//! only when there is no task it takes a place in `commit::wakeups`. A closure begins at `claim`; `leases` and
//! `waiting`, which make due tasks ready; the registry and `why`, for the limit of the bot; the lanes, or `order` with
//! aging; `obstacle`; `state::keys`, as a store with keys gives out tokens that nobody can guess; `save` in
//! `tasks::saving`, which writes task, assignment and counts; and the entry of an actor, by `audit::acting`.
//! `undelivered` keeps the claims until they arrive, and, for the tools of agents, `kept_claims` those of a session
//! until it ends; `delivery` gives them back. For an empty result a face asks `why` for the reason.

mod claiming;
mod ending;
mod looking;
#[cfg(test)]
mod model_test;
mod pushing;
#[cfg(test)]
mod states_test;
mod tasks;
#[cfg(test)]
mod verbs_test;

pub use self::tasks::saving::Queue;
#[cfg(feature = "replica")]
pub(crate) use claiming::claim::TOKEN;
pub use claiming::claim::{Claim, ClaimOptions, ClaimOwner};
pub use claiming::kept_claims::KeptClaims;
pub use claiming::next::Completed;
pub use claiming::obstacle::Obstacle;
pub use claiming::undelivered::Undelivered;
pub use claiming::wait::ClaimWait;
pub(crate) use ending::bulk::BulkProgress;
pub use ending::bulk::{BulkAction, BulkTasks};
pub use ending::finish::Retry;
pub(crate) use ending::memory::was_finished;
pub use ending::memory::{Memory, Remembered};
#[cfg(feature = "replica")]
pub(crate) use ending::orphans::{OrphanTask, WaitingOrphans, judge_orphan};
pub(crate) use looking::check::{check_queue, mend_queue, numbers_of_tasks};
pub use looking::list::TaskPage;
pub use looking::why::Why;
pub use pushing::enqueue::Enqueued;
#[cfg(feature = "replica")]
pub(crate) use pushing::enqueue::SEQUENCE;
pub use pushing::new_task::NewTask;
pub use tasks::filter::TaskFilter;
pub(crate) use tasks::keys::RULE as INDEX;
pub(crate) use tasks::task::{DUE_ATTRIBUTE, SCHEDULE_ATTRIBUTE, choice_text, is_finished};
pub use tasks::task::{Holder, Priority, Task, TaskState};
pub use tasks::task_counts::TaskCounts;
