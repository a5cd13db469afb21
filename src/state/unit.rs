//! What belongs together when one record is restored, and what that means for tasks.

use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::error::Result;
use crate::state::assignments;
use crate::state::ids::TaskId;
use crate::state::page::sequence_key;
use crate::state::queue::{Task, TaskState};

/// The row keys of a record by the key that people use, with what has to go back together with it: a task brings its
/// assignments along. None when there is no such record in either view.
pub(crate) fn rows_of<R: Records>(
    past: &R,
    now: &R,
    collection: CollectionId,
    key: &str,
) -> Result<Option<Vec<Vec<u8>>>> {
    let own = match collection {
        CollectionId::CHAT => key.parse().map(|sequence| sequence_key(sequence).to_vec()).unwrap_or_default(),
        _ => key.as_bytes().to_vec(),
    };
    let mut rows = Vec::new();
    for view in [past, now] {
        let Some(payload) = view.get(collection, &own)? else { continue };
        rows.push(collection.row_key(&own));
        if collection == CollectionId::QUEUE {
            let task = Task::from_record(&own, &payload)?;
            let assignment = assignments::key_of(&task);
            rows.extend(assignment.map(|key| CollectionId::ASSIGNMENTS.row_key(&key)));
        }
    }
    rows.sort_unstable();
    rows.dedup();
    Ok((!rows.is_empty()).then_some(rows))
}

/// The task that a row of the queue is about.
pub(crate) fn task_of_row(row: &[u8]) -> Option<TaskId> {
    let (collection, key) = CollectionId::split_row_key(row)?;
    (collection == CollectionId::QUEUE).then(|| TaskId::from_key(key).ok()).flatten()
}

/// Whether a task that is done now was not done then, so that going back makes it run again.
pub(crate) fn runs_again(key: &[u8], then: Option<&[u8]>, now: Option<&[u8]>) -> Result<bool> {
    let (Some(then), Some(now)) = (then, now) else { return Ok(false) };
    let now = Task::from_record(key, now)?;
    Ok(now.state == TaskState::Done && !Task::from_record(key, then)?.state.is_finished())
}
