//! `queue`: pushes, claims, finishes and lists tasks.
//!
//! * [`push`]: `push`, `assign` and `unassign`
//! * [`claim`]: `claim`; [`by_token`]: verbs for a task that a bot holds
//! * [`bulk`]: all tasks of a filter; [`filter`]: its options
//! * [`purge`]: removes finished tasks; [`memory`]: remembers them
//! * [`why`]: explains why a task is not claimed
//! * `change`: changes one task, and prints its new state
//! * `verb`: the list of verbs, `requeue`, `cancel` and `list`

mod bulk;
mod by_token;
mod change;
mod claim;
mod filter;
mod memory;
mod purge;
pub(in crate::face::cli) mod push;
mod verb;
mod why;

pub(in crate::face::cli) use self::verb::QueueArgs;
