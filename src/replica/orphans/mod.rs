//! Orphans: the changes that only an overtaken file has, and how the store that goes on takes them.
//!
//! * `fork`: the commit at which both went apart; `sides`: the state there, from the replica, and the file
//! * `merge`: a collection in three states, row by row; `judge`: what becomes of each record
//! * `apply`: the plan, and the transaction; `report`: their results and options

mod apply;
mod fork;
mod judge;
mod merge;
pub(crate) mod report;
mod sides;

#[cfg(test)]
mod test;
