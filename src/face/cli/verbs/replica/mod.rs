//! `replica`: the store off the machine, in a folder or a bucket.
//!
//! * `source`: the replica that a verb reads
//! * `copies`: copies of a replica: made, and taken over; `standby`: one that follows; `drill`: one that is compared
//!   and removed
//! * `orphans`: what only an overtaken file has
//! * `heal`: the option of `check` that heals from one
//! * `verb`: the list of verbs, and those without a file of their own

mod copies;
mod drill;
mod heal;
mod orphans;
mod source;
mod standby;
mod verb;

pub(super) use self::heal::Heal;
pub(in crate::face::cli) use self::verb::ReplicaArgs;
