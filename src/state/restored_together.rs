//! The records that are restored together with one record, and the rules for tasks among them.

use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::error::Result;
use crate::state::assignments;
use crate::state::ids::TaskId;
use crate::state::page::sequence_key;
use crate::state::queue::Task;

/// The row keys of a record by the key that people use, with what has to go back together with it: a task brings its
/// assignments along, and an assignment its task. None when there is no such record in either view.
pub(crate) fn rows_of<R: Records>(
    past: &R,
    now: &R,
    collection: CollectionId,
    key: &str,
) -> Result<Option<Vec<Vec<u8>>>> {
    let (collection, own) = match collection {
        CollectionId::CHAT => (collection, key.parse().map(|number| sequence_key(number).to_vec()).unwrap_or_default()),
        CollectionId::ASSIGNMENTS => (CollectionId::QUEUE, task_of_assignment([past, now], key)?),
        _ => (collection, key.as_bytes().to_vec()),
    };
    let mut rows = Vec::new();
    for view in [past, now] {
        if view.get(collection, &own)?.is_some() {
            rows.push(collection.row_key(&own));
            with_assignments(view, &mut rows)?;
        }
    }
    Ok((!rows.is_empty()).then_some(rows))
}

/// The keys that a record can have that people know by a name; none of documents, which are several records.
pub(crate) fn keys_of(collection: CollectionId, name: &str) -> Vec<Vec<u8>> {
    match collection {
        CollectionId::DOCUMENTS => Vec::new(),
        CollectionId::CHAT => name.parse().map(|number| sequence_key(number).to_vec()).into_iter().collect(),
        CollectionId::ASSIGNMENTS => {
            let split = name.match_indices('/').map(|(slash, _)| name.split_at(slash));
            split.map(|(bot, task)| assignments::key_of_names(bot, task.get(1..).unwrap_or_default())).collect()
        }
        _ => vec![name.as_bytes().to_vec()],
    }
}

/// The key of the task of an assignment, which people know as `BOT/TASK`; no key when there is no such assignment.
fn task_of_assignment<R: Records>(views: [&R; 2], name: &str) -> Result<Vec<u8>> {
    for (slash, _) in name.match_indices('/') {
        let (bot, task) = name.split_at(slash);
        let task = task.get(1..).unwrap_or_default();
        let key = assignments::key_of_names(bot, task);
        for view in views {
            if view.get(CollectionId::ASSIGNMENTS, &key)?.is_some() {
                return Ok(task.as_bytes().to_vec());
            }
        }
    }
    Ok(Vec::new())
}

/// Adds to some rows the assignments that now follow from the tasks among them.
pub(crate) fn with_assignments<R: Records>(records: &R, rows: &mut Vec<Vec<u8>>) -> Result<()> {
    let mut follow = Vec::new();
    for row in rows.iter() {
        let Some((CollectionId::QUEUE, key)) = CollectionId::split_row_key(row) else { continue };
        if let Some(payload) = records.get(CollectionId::QUEUE, key)? {
            let assignment = assignments::key_of(&Task::from_record(key, &payload)?);
            follow.extend(assignment.map(|key| CollectionId::ASSIGNMENTS.row_key(&key)));
        }
    }
    rows.append(&mut follow);
    rows.sort_unstable();
    rows.dedup();
    Ok(())
}

/// The task that a row of the queue is about.
pub(crate) fn task_of_row(row: &[u8]) -> Option<TaskId> {
    let (collection, key) = CollectionId::split_row_key(row)?;
    (collection == CollectionId::QUEUE).then(|| TaskId::from_key(key).ok()).flatten()
}
