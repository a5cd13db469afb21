//! Files and folders: the one place that creates, renames and removes names on the disk.
//!
//! Four things are easy to forget, so no other file of this crate calls `std::fs` for them
//! (`tests/layers.rs` enforces this):
//!
//! * **A name is durable only once its folder is synced.** [`publish`] and [`create_folders`] return after that. If an
//!   acknowledgement depends on a name that another process may have created, call [`sync_name`] first. Files that are
//!   recreated when they are missing, and that no answer depends on (sessions, reserve,
//!   scratches), need no durable name.
//! * **Other users cannot read state.** A new file has the mode of its [`Rights`], independent of the umask: 0600,
//!   folders 0700, and beside a store the mode of the store.
//! * **Root works for others.** Files that root creates belong to the owner of the store, or of the folder.
//! * **A path may be anything.** [`open`] and similar functions refuse anything but a regular file without waiting, and
//!   name its kind. Opening a pipe would wait.
//!
//! `open` opens existing files, and `stream` reads files that a person names. `rights` decides the owner and
//! the mode of a new file, and `create` and `folders` create it. `names` sets and removes names, `paths`
//! derives one path from another, `socket` is the socket of a service, and `draft` is a temporary file that
//! gets its name once it is finished. `note` and `journal` record every change of names in tests,
//! so that `testkit::proof` can simulate a power cut at any step.

#[macro_use]
mod note;

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
#[cfg(all(unix, feature = "http"))]
mod socket;
#[cfg(any(feature = "cli", feature = "replica"))]
mod stream;

pub(crate) use self::create::{append_or_create, create_new, give_rights, open_or_create};
#[cfg(feature = "replica")]
pub(crate) use self::draft::name_of_unfinished;
pub(crate) use self::draft::write_whole;
#[cfg(feature = "transfer")]
pub(crate) use self::draft::{Draft, remove_unfinished, unfinished_name};
#[cfg(feature = "transfer")]
pub(crate) use self::folders::{create_folder, create_folders};
#[cfg(feature = "replica")]
pub(crate) use self::names::remove_empty_folder;
pub(crate) use self::names::{Replace, publish, remove, sync_name};
#[cfg(feature = "transfer")]
pub(crate) use self::names::{remove_folder, rename};
pub(crate) use self::open::{failed, is_other, open, open_to_write, read_note};

#[cfg(feature = "transfer")]
pub(crate) use self::paths::as_text;
pub(crate) use self::paths::{beside, folder_of, refuse_without_folder};
pub(crate) use self::rights::Rights;
#[cfg(all(unix, feature = "http"))]
pub(crate) use self::socket::listen_at;
#[cfg(any(feature = "cli", feature = "replica"))]
pub(crate) use self::stream::{SETTINGS_MAX, read_text};
#[cfg(feature = "cli")]
pub(crate) use self::stream::{read, read_secret};
