//! What must hold between the tasks of a queue.

use crate::engine::records::Records;
use crate::error::Result;
use crate::state::queue::Queue;
use crate::state::queue::task::TaskState;

/// Reports every task that breaks a rule of the queue:
///
/// 1. Only a ready task waits for others, and only for some of those that it depends on.
/// 2. No task waits for one that is done.
/// 3. As many tasks are in each state as the counts say.
///
/// # Errors
///
/// `Damaged` when a task cannot be read.
pub(crate) fn check_queue<R: Records>(records: &R, report: &mut dyn FnMut(String)) -> Result<()> {
    let queue = Queue { records };
    for task in queue.list() {
        let task = task?;
        let id = &task.id;
        let only_dependencies = task.waiting_for.is_subset(&task.depends_on);
        if !only_dependencies || (task.state != TaskState::Ready && !task.waiting_for.is_empty()) {
            report(format!("a task waits for what it should not wait for: task={id} state={}", task.state));
        }
        for other in task.waiting_for.difference(&queue.not_done(&task.waiting_for)?) {
            report(format!("a task waits for one that is done: task={id} waiting_for={other}"));
        }
    }
    let (kept, counted) = (queue.counts()?, queue.counts_from_tasks()?);
    if kept != counted {
        report(format!("the counts of the queue are wrong: kept={kept:?} counted={counted:?}"));
    }
    Ok(())
}
