//! Versioned records in one redb file.

pub(crate) mod check;
mod close;
pub(crate) mod codec;
pub(crate) mod commit;
pub(crate) mod context;
#[cfg(feature = "transfer")]
pub(crate) mod copy;
pub(crate) mod digest;
pub(crate) mod epoch;
pub(crate) mod frame;
pub(crate) mod gathered;
pub(crate) mod held;
pub(crate) mod holder;
pub(crate) mod index;
pub(crate) mod keys;
mod long_values;
pub(crate) mod merge;
pub(crate) mod meta;
pub(crate) mod nested;
pub(crate) mod open;
pub(crate) mod options;
pub(crate) mod place;
pub(crate) mod point;
pub(crate) mod pool;
pub(crate) mod pre_images;
pub(crate) mod presence;
pub(crate) mod process;
pub(crate) mod records;
pub(crate) mod redb_file;
pub(crate) mod reopen;
pub(crate) mod repair;
pub(crate) mod reserve;
pub(crate) mod rows;
pub(crate) mod schema;
pub(crate) mod sink;
pub(crate) mod slot;
pub(crate) mod store;
pub(crate) mod sync;
pub(crate) mod tally;
pub(crate) mod turn;
pub(crate) mod value;
pub(crate) mod view;
pub(crate) mod views;
pub(crate) mod wakeups;
pub(crate) mod walk;
pub(crate) mod write;

#[cfg(test)]
mod commit_test;
#[cfg(all(test, shuttle))]
mod interleaving_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod open_test;
