//! The replica: the store off the machine, in a directory or in the cloud, and back on another one.
//! FORMAT.md describes its objects.
//!
//! `replicator` looks for commits at each interval, and at once if a write waits (`feed::sending::awaited`). A commit
//! passes `ship`, `outgoing`, `source` (which reads `feed::sending::of_store`), `terms::write` (which makes the object
//! by `opened`, `objects` and `cipher`), `source` again (which notes it in `shipped` and `feed::sending::told`),
//! `terms::settle`, `opened` and `bucket`. Then `source` notes the place behind it, and `feed::sending::shipping`
//! answers the writes that wait.
//!
//! A take-over passes `standby`, `follower`, `restore` (by `bases`, `held`, `needed`, `fill` and `terms::walk`), and,
//! once the copy has its name, `follower` again, `probe`, `handover` (by `terms::open`, which seals the term of the
//! former writer, follows the log to its end and waits for its lease), `take_over`, and `feed::receiving::leave`, which
//! makes the copy a store that is written to. The former writer learns it in `terms::write`, and passes `outgoing`,
//! `overtaken`, `replicator`, `fencing` and `feed::receiving::fence`.
//!
//! * [`bucket`]: where the objects are; [`connection`]: a replica there, with its keys
//! * [`objects`]: the names and bytes of objects; [`terms`]: the protocol by which one process writes
//! * [`shipping`]: a store on its way there, and the work beside it
//! * [`reading`]: the bases, the log, and how far a store is in it
//! * [`restoring`]: a copy of a moment; [`following`]: a copy that follows the log, and takes over
//! * [`checks`]: whether it can give back all that it should; [`mending`]: lost bytes of a damaged store from it
//! * [`orphans`]: what only an overtaken file has

pub(crate) mod bucket;
pub(crate) mod checks;
pub(crate) mod connection;
pub(crate) mod following;
pub(crate) mod mending;
pub(crate) mod objects;
pub(crate) mod orphans;
pub(crate) mod reading;
pub(crate) mod restoring;
pub(crate) mod shipping;
pub(crate) mod terms;

#[cfg(test)]
mod bench_test;
#[cfg(test)]
mod gated_test;
