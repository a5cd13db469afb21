//! Restore points, backups, retention, checks and repair.
//!
//! * `points`: restore points; `backups`: one kind of state of a point; a backup of a document puts it, and seals a
//!   point of its own through the engine; `diff`, `diff_page`: the differences between two points
//! * `inventory`: the numbers of points and backups; `pulse`: whether there is something new
//! * `restore`: restores, and their undo
//! * `retention`: the choice of points to keep
//! * `bulk`: changes of all tasks that fit a filter, behind a restore point
//! * `upkeep`: periodic work
//! * `check`: verification; `repair`: rebuilds a damaged store
//! * `sessions`: the processes that have the store open, and crashes; `events`: a record of what happened
//! * `guard`: work that is rolled back to a restore point if it fails
//! * `open_close`: opening and closing a store, with its session and its events

pub(crate) mod backups;
pub(crate) mod bulk;
pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod diff_page;
pub(crate) mod events;
pub(crate) mod guard;
pub(crate) mod inventory;
mod open_close;
pub(crate) mod points;
pub(crate) mod pulse;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod sessions;
pub(crate) mod upkeep;
