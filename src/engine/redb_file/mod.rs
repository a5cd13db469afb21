//! Everything that knows redb. The name is not `redb`, so that nobody takes this folder for the crate.
//!
//! * `guard`: calls into redb, whose panics it contains
//! * `handle`: an open database
//! * `own_file`: the files that the engine opens, each of one process alone
//! * `shadow`: reading a file while writes to it stay in memory
//! * `pages`: the pages of a file, read without redb
//! * `scratch`: the temporary database of a repair

mod guard;
mod handle;
mod own_file;
pub(crate) mod pages;
pub(in crate::engine) mod scratch;
mod shadow;

#[cfg(feature = "cli")]
pub(crate) use self::guard::hush_contained_panics;
pub(crate) use self::guard::{End, Guard, abandon};
pub(crate) use self::handle::{Access, Handle, locked};
pub(crate) use self::own_file::{FileId, OwnFile};
pub(crate) use self::shadow::{Shadow, WRITER};
