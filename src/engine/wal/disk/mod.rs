//! The files of a log, and the state of several processes over them.
//!
//! * `folder`, `files`, `leftovers`: the files of the sections; `bounds`: how long they become
//! * `writer`: the end of the log; `search`: which entries of a log that is in use fit
//! * `behind`: the whole entries behind damage, for the report of a repair
//! * `bytes`: the locked bytes of the store's file: the turn, and the presence of a process
//! * `shared_page`: the end of the log, as the processes tell it one another; `shared`: the part of a log that several
//!   processes share

pub(super) mod behind;
pub(super) mod bounds;
pub(super) mod bytes;
pub(super) mod files;
pub(super) mod folder;
pub(super) mod leftovers;
pub(super) mod search;
pub(super) mod shared;
pub(super) mod shared_page;
pub(super) mod writer;
