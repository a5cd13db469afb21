//! Tasks as they are stored.
//!
//! * [`task`]: a task as it is stored; [`damage`]: skips damaged ones
//! * [`keys`]: the index, with the [`lane`]s of ready tasks; [`row_key`]: the bytes of its keys
//! * [`saving`]: the queue as callers hold it, and the one place where a task is written or removed; [`task_counts`]:
//!   the number of tasks in each state, which it keeps beside them
//! * [`filter`]: a part of the queue

pub(super) mod damage;
pub(super) mod filter;
pub(super) mod keys;
pub(super) mod lane;
pub(super) mod row_key;
pub(super) mod saving;
pub(super) mod task;
pub(super) mod task_counts;

#[cfg(test)]
mod damage_test;
