//! The new store: every record with the rows that its versions need, every point with its present content, and
//! the other tables as they were.
//!
//! * `found`: the points, collections and damaged records that the salvage found
//! * `compare`: compares the present and every point with their statistics before the damage, and writes the new ones
//! * `tables`: the tables that are not versioned
//! * `new_store`: the order of the work, and the batches in which rows are written

mod compare;
mod found;
mod new_store;
mod tables;

pub(super) use self::new_store::rebuild;
