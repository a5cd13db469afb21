//! Files and folders: the one place where a name on the disk comes, changes or goes.
//!
//! Four things are easy to forget, so no other file of this crate calls `std::fs` for them (`tests/layers.rs` holds that):
//!
//! * **A name is durable only once its folder is synced.** [`publish`] and [`create_folders`] return when it is. Code
//!   that acknowledges something that depends on a name which others may have made calls [`sync_name`] first.
//!   Files that are made anew whenever they are missing, and from which nothing is answered (sessions, reserve,
//!   scratches), need no durable name.
//! * **State is nobody else's to read.** A new file has the mode of its [`Rights`], whatever the umask: 0600, folders
//!   0700, and beside a store the store's mode.
//! * **Root works for others.** Files that root creates belong to the owner of the store, or of the folder.
//! * **A path may be anything.** [`open`] and its like refuse what is no regular file without waiting for it, as opening a
//!   pipe would, and say what it is.
//!
//! Roles: `open` opens existing files, `stream` reads files that a person names, `rights` decides who owns a new file
//! and may read it, `create` and `folders` make it, `names` gives and removes names, `paths` derives one path from
//! another, `draft` is a file that gets its name only once it is finished. `journal` records in tests what reaches a
//! disk, so that `testkit::proof` can cut it off anywhere.

/// Writes down for the tests what has just been done to a path, or to two.
macro_rules! note {
    ($step:ident($($path:expr),+)) => {
        #[cfg(test)]
        crate::files::journal::note(crate::files::journal::NameStep::$step($($path.to_path_buf()),+));
    };
}

mod create;
mod draft;
#[cfg(feature = "transfer")]
mod folders;
#[cfg(test)]
pub(crate) mod journal;
mod names;
mod open;
mod paths;
mod rights;
#[cfg(feature = "cli")]
mod stream;

pub(crate) use self::create::{append_or_create, create_new, give_rights, open_or_create};
pub(crate) use self::draft::write_whole;
#[cfg(feature = "transfer")]
pub(crate) use self::draft::{Draft, remove_unfinished, unfinished_name};
#[cfg(feature = "transfer")]
pub(crate) use self::folders::{create_folder, create_folders};
pub(crate) use self::names::{Replace, publish, remove, sync_name};
#[cfg(feature = "transfer")]
pub(crate) use self::names::{remove_folder, rename};
pub(crate) use self::open::{failed, is_other, open, open_to_write, read_note};

#[cfg(feature = "transfer")]
pub(crate) use self::paths::as_text;
pub(crate) use self::paths::{beside, folder_of};
pub(crate) use self::rights::Rights;
#[cfg(feature = "cli")]
pub(crate) use self::stream::{read, read_text};

/// No file of settings or secrets is longer.
#[cfg(feature = "cli")]
pub(crate) const SETTINGS_MAX: u64 = 1 << 20;
