//! Tasks on their way into the queue.
//!
//! * [`new_task`]: a task as callers describe it; [`enqueue`], [`batch`]: its way into the queue, alone or with others
//! * [`waiting`]: dependencies and start times

mod batch;
pub(super) mod enqueue;
pub(super) mod new_task;
pub(super) mod waiting;
