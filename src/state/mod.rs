//! The meaning of the records: each file is its types, its keys, and its verbs on [`WriteTx`](crate::WriteTx) and
//! [`View`](crate::View). The engine sees bytes: JSON text for `config` and `collection`, rows of elements for
//! `documents`, and the engine's codec for the other types.
//!
//! * `registry`, `queue`, `assignments`, `schedules`, `chat`, `config`, `collection`, `documents`,
//!   `audit`: a collection or table each
//! * `changes`: many changes of one collection, made together
//! * `indexes`: the collections that have an index
//!
//! Shared by them: `ids`: names, and the check of new ones; `page`: pages of lists; `show`: any record as people read
//! it; `by_name`: any record as people put it; `restored_together`: records that are restored together; `heartbeats`:
//! buffered, and not versioned; `keys`: who may call the service, not versioned either; `notes`:
//! values of each bot, in a collection.

pub(crate) mod assignments;
pub(crate) mod audit;
pub(crate) mod by_name;
pub(crate) mod changes;
pub(crate) mod chat;
pub(crate) mod collection;
pub(crate) mod config;
pub(crate) mod documents;
pub(crate) mod heartbeats;
pub(crate) mod ids;
mod indexes;
pub(crate) mod keys;
pub(crate) mod notes;
pub(crate) mod page;
pub(crate) mod queue;
pub(crate) mod registry;
pub(crate) mod restored_together;
pub(crate) mod schedules;
pub(crate) mod show;

pub(crate) use self::indexes::INDEXES;
