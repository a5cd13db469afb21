//! Tasks as they are stored.
//!
//! * [`task`]: a task as it is stored; [`damage`]: skips damaged ones
//! * [`keys`]: the index, with the [`lane`]s of ready tasks; [`row_key`]: the bytes of its keys
//! * [`filter`]: a part of the queue

pub(super) mod damage;
pub(super) mod filter;
pub(super) mod keys;
pub(super) mod lane;
pub(super) mod row_key;
pub(super) mod task;

#[cfg(test)]
mod damage_test;
