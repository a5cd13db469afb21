//! This process and the others that have the store open.
//!
//! * `process`: whether this is still the process that opened the store
//! * `session_locks`: living processes, by locks in the file of sessions
//! * `lock_holder`: the process that has a lock, so that its end is noticed although a forked child has it too
//! * `own_session`: the lock of this process's session; `of_store`: its number, and whether it has begun
//! * `writer_line`: the order in which processes write
//! * `views`: which views are open in this process

pub(super) mod lock_holder;
mod of_store;
pub(crate) mod own_session;
pub(crate) mod process;
pub(crate) mod session_locks;
pub(super) mod views;
pub(super) mod writer_line;
