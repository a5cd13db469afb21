//! Exchange with other programs, and the features that depend on it.
//!
//! * `adopt`: takes over the files of the replaced service
//! * `archive`: writes archives and reads them; `archives`: where those of a store are, and which is the newest
//! * `doctor`: the diagnosis whether the data would come back; `summary`: the content of a store in numbers
//! * `drill`: rehearses disasters on a copy
//! * `replica_state`: the replica of a store, for those who look at the store
//! * `restore_to`: a restore point in a new file: a copy of the file (`engine::copy`), in which `Store::restore` runs
//! * `unnamed`: a store that gets its name once it is finished

pub(crate) mod adopt;
pub(crate) mod archive;
pub(crate) mod archives;
pub(crate) mod doctor;
pub(crate) mod drill;
#[cfg(test)]
mod limits_test;
pub(crate) mod replica_state;
mod restore_to;
pub(crate) mod summary;
pub(crate) mod unnamed;
