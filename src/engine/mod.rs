//! Versioned records in one redb file.
//!
//! * [`store`](crate::Store): the open store; `view`, `write` and `commit`: reading, writing, the group commit. A write
//!   goes from `store` through `commit::work` (which keeps its result) and `answering` (when its caller is answered).
//!   That one lets `recorder` wrap the closure if there is an actor, and asks `feed::sending::told`,
//!   `feed::sending::lease` and, for `Durability::Replicated`, `feed::sending::awaited`. It goes on through `session`
//!   (the lock of the session), `opening::slot` (the open file), `commit::gate`, `opening::context` (its transaction;
//!   `feed::receiving::standby` and `feed::receiving::fence` refuse a store that nobody writes to), the closure with
//!   `write` and `rows`, and `commit::batch` (the sync, by `redb_file`). Work alone, such as a restore or a backup,
//!   begins in `answering`. A store with a log goes from `commit::gate` through `commit::logged` to `wal` instead; the
//!   first step of its closure, too, asks `feed::receiving::standby` and `feed::receiving::fence`
//! * `records`: what views and write transactions have in common; `meta`, `meta_row`: the rows of `meta`
//! * `rows`: the one way to the stored rows; `redb_file`: everything that names redb
//! * `feed`: the rows of every commit, for a replica, and a store that gets them
//! * `wal`: the log of a store that one process has for itself
//! * `format`: keys, frames, stored types and tables, as FORMAT.md describes them
//! * `history`: pre-images, sealing, forgetting and merging
//! * `opening`: opening, closing and copying a file, and the files beside it
//! * `session`: this process and the others that have the store open
//! * `check`, `repair`: finding damage, and making a sound store from the rest; `heal`: proved bytes for single rows
//! * `buffered`: rows that are gathered for a second and written in one transaction; `pool`: work for all cores
//! * `acting`, `recorder`: the actor of a write, and the one entry of an action of several transactions; the verbs of
//!   `state` write the entries of other actions, by `note` of `state::audit::acting`

pub(crate) mod acting;
mod answering;
pub(crate) mod buffered;
pub(crate) mod check;
pub(crate) mod commit;
pub(crate) mod feed;
mod format;
#[cfg(feature = "replica")]
pub(crate) mod heal;
mod history;
pub(crate) mod meta;
pub(crate) mod meta_row;
mod opening;
mod pool;
pub(crate) mod recorder;
pub(crate) mod records;
pub(crate) mod redb_file;
pub(crate) mod repair;
mod rows;
pub(crate) mod session;
pub(crate) mod store;
pub(crate) mod view;
pub(crate) mod wal;
pub(crate) mod write;

// The layers above use these by their own names.
#[cfg(feature = "replica")]
pub(crate) use self::format::row_change;
pub(crate) use self::format::{codec, digest, epoch, frame, index, keys, point, schema, value, wakes};
pub(crate) use self::history::pre_images::PreImages;
#[cfg(feature = "transfer")]
pub(crate) use self::opening::copy;
pub(crate) use self::opening::{open, options, reserve};
pub(crate) use self::session::process;
