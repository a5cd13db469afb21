//! The queue as a person sees it.
//!
//! * [`list`] reads the queue, [`counts`] keeps numbers that every save updates
//! * [`reach`] and [`why`]: the bots that could do a task, and why none does; [`stuck`]: tasks that cannot proceed
//! * [`check`] verifies the invariants

pub(super) mod check;
pub(super) mod counts;
pub(super) mod list;
mod reach;
mod stuck;
pub(super) mod why;
