//! Rules between the tasks of a queue.

use std::collections::BTreeSet;

use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::queue::claiming::claim::{TOKEN, counted};
use crate::state::queue::pushing::enqueue::SEQUENCE;
use crate::state::queue::tasks::saving::Queue;
use crate::state::queue::tasks::task::{Task, TaskState};

/// Reports every task that breaks a rule of the queue:
///
/// 1. Only a ready task waits for others, and only for some of those that it depends on.
/// 2. No task waits for one that is done.
/// 3. As many tasks are in each state as the counts say.
/// 4. Every purged task that is remembered is found by its id and by the time of its purge, and they are counted.
/// 5. No token and no number of a task is one that is still to be given out.
///
/// # Errors
///
/// `Damaged` when a task cannot be read.
pub(crate) fn check_queue<R: Records>(records: &R, report: &mut dyn FnMut(String)) -> Result<()> {
    let queue = Queue::of(records);
    let mut given = Given::default();
    for task in queue.stored_tasks() {
        let task = task?;
        given.see(&task);
        let id = &task.id;
        let only_dependencies = task.waiting_for.is_subset(&task.depends_on);
        if !only_dependencies || (task.state != TaskState::Ready && !task.waiting_for.is_empty()) {
            report(format!("a task waits for the wrong tasks: task={id} state={}", task.state));
        }
        for other in task.waiting_for.difference(&queue.not_done_here(&task.waiting_for)?) {
            report(format!("a task waits for one that is done: task={id} waiting_for={other}"));
        }
    }
    let (kept, counted) = (queue.kept_counts()?, queue.counts_from_tasks()?);
    if kept != counted {
        report(format!("the counts of the queue are wrong: kept={kept:?} counted={counted:?}"));
    }
    queue.check_memory(report)?;
    for (counter, highest) in [(TOKEN, given.token), (SEQUENCE, given.sequence)] {
        meta::counter_behind(records, counter, highest)?.map(&mut *report);
    }
    Ok(())
}

/// The highest numbers that any task has.
#[derive(Default)]
struct Given {
    token: u64,
    sequence: u64,
}

impl Given {
    fn see(&mut self, task: &Task) {
        self.token = task.holder.iter().map(|holder| counted(holder.token)).fold(self.token, u64::max);
        self.sequence = self.sequence.max(task.sequence);
    }
}

/// Repairs everything that [`check_queue`] would report, after tasks were lost or went back to earlier versions.
/// Returns the number of changed tasks.
pub(crate) fn mend_queue(tx: &mut WriteTx<'_>) -> Result<u64> {
    let mut mended = 0;
    tx.each_to_change(CollectionId::QUEUE, |tx, key, payload| {
        let task = Task::from_record(key, payload)?;
        let waiting_for = match task.state {
            TaskState::Ready => {
                let known: BTreeSet<_> = task.waiting_for.intersection(&task.depends_on).cloned().collect();
                tx.queue().not_done_here(&known)?
            }
            _ => BTreeSet::new(),
        };
        if waiting_for != task.waiting_for {
            mended += 1;
            tx.queue().save(Some(&task), Task { waiting_for, ..task.clone() })?;
        }
        Ok(())
    })?;
    let counts = tx.queue().counts_from_tasks()?;
    tx.queue().keep_counts(counts)?;
    tx.queue().mend_memory()?;
    Ok(mended)
}

/// The rows of the queue's counters, and the highest number of each that a task has.
pub(crate) fn numbers_of_tasks<R: Records>(records: &R) -> Result<[(Vec<u8>, u64); 2]> {
    let mut given = Given::default();
    for task in Queue::of(records).stored_tasks() {
        given.see(&task?);
    }
    Ok([(meta::counter_key(TOKEN), given.token), (meta::counter_key(SEQUENCE), given.sequence)])
}
