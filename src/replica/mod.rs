//! The replica: the store off the machine, in a directory or in the cloud, and back on another one.
//! FORMAT.md describes its objects.
//!
//! `replicator` looks for commits at each interval, and at once if a write waits (`feed::awaited`). A commit passes
//! `ship`, `outgoing`, `source` (which reads `feed::of_store`), `terms::write` (which makes the object by `opened`,
//! `objects` and `cipher`), `source` again (which notes it in `shipped` and `feed::told`), `terms::settle`, `opened`
//! and `bucket`. Then `source` notes the place behind it, and `feed::shipping` answers the writes that wait.
//!
//! A take-over passes `standby`, `follower`, `restore` (by `bases`, `held`, `needed`, `fill` and `terms::walk`), and,
//! once the copy has its name, `follower` again, `probe`, `handover` (by `terms::open`, which seals the term of the
//! former writer, follows the log to its end and waits for its lease), `take_over`, and `feed::leave`, which makes the
//! copy a store that is written to. The former writer learns it in `terms::write`, and passes `outgoing`, `overtaken`,
//! `replicator`, `fencing` and `feed::fence`.
//!
//! * `location`: where it is; [`bucket`]: the objects there; [`probe`]: the proof that the
//!   bucket keeps two writers apart
//! * [`objects`]: the names and bytes of objects; `cipher`: their bodies, compressed and encrypted
//! * [`terms`]: the protocol by which one process writes
//! * `opened`: a replica in its bucket, with its keys; `runtime`: its async work for blocking callers
//! * `source`: the store that is shipped; `shipped`: how far; `shipped_here`: whether a replica is the one that it was
//!   shipped to; `ship`: its term and bases; `outgoing`: its commits; `base`: one base; `base_tries`: what
//!   follows when it fails
//! * `bases`: reading bases; `restore`: a copy of a moment, made of a base and the log; `needed`: looks for all of that
//!   before anything is downloaded; `tried`: the bases that were tried; `restored`: the same for blocking callers,
//!   without a take-over;
//!   `moment`: which; `refusals`: of moments that are not there; `follower`: a copy that follows the log; `standby`:
//!   the same for blocking callers; `standby_run`: until it takes over; `handover`: its first term; `take_over`: the
//!   end of a copy
//! * `history`: every change of a store up to its place; `repair`: what is lost comes from there; `heal`: so do single
//!   rows of a living store; `held`: the hold of a reader
//! * `fill`: a copy that is being written; `position`: how far it is; `point_search`: finds the restore point behind
//!   which it does not go; `prefetch`: asks for objects ahead
//! * `drill`: restores a moment, compares it, and removes it again
//! * `verify`: reads back all that a restore would need; `verified_state`: a state that is not kept; `confirm`: a
//!   second look before anything counts as wrong; `status`: the content in numbers
//! * `init`: the beginning of a replica; `replicator`: shipping on a thread of its own, with its `options` and its
//!   `shipping_status`; `tending`: its work beside shipping; `watch`: inspections and drills beside it; `inspect`: one
//!   inspection; `log_pages`: the slots of a term, for those that look for missing objects; `fencing`: its end when
//!   another process has taken over, with the errors in `overtaken`; [`orphans`]: what only an overtaken file has

pub(crate) mod base;
mod base_tries;
pub(crate) mod bases;
pub(crate) mod bucket;
pub(crate) mod cipher;
mod confirm;
pub(crate) mod drill;
mod fencing;
pub(crate) mod fill;
pub(crate) mod follower;
mod handover;
pub(crate) mod heal;
pub(crate) mod held;
pub(crate) mod history;
pub(crate) mod init;
mod inspect;
pub(crate) mod location;
mod log_pages;
pub(crate) mod moment;
mod needed;
pub(crate) mod objects;
pub(crate) mod opened;
pub(crate) mod options;
pub(crate) mod orphans;
mod outgoing;
pub(crate) mod overtaken;
pub(crate) mod point_search;
pub(crate) mod position;
pub(crate) mod prefetch;
pub(crate) mod probe;
mod refusals;
pub(crate) mod repair;
pub(crate) mod replicator;
pub(crate) mod restore;
pub(crate) mod restored;
pub(crate) mod runtime;
pub(crate) mod ship;
pub(crate) mod shipped;
mod shipped_here;
pub(crate) mod shipping_status;
pub(crate) mod source;
pub(crate) mod standby;
pub(crate) mod standby_run;
pub(crate) mod status;
pub(crate) mod take_over;
mod tending;
pub(crate) mod terms;
mod tried;
pub(crate) mod verified_state;
pub(crate) mod verify;
mod watch;

#[cfg(test)]
mod away_test;
#[cfg(test)]
mod base_test;
#[cfg(test)]
mod bench_test;
#[cfg(test)]
mod collect_test;
#[cfg(test)]
mod collected_test;
#[cfg(test)]
mod drill_test;
#[cfg(test)]
mod edge_test;
#[cfg(test)]
mod faulty_test;
#[cfg(test)]
mod fencing_test;
#[cfg(test)]
mod follower_test;
#[cfg(test)]
mod gated_test;
#[cfg(test)]
mod heal_test;
#[cfg(test)]
mod hostile_test;
#[cfg(test)]
mod last_object_test;
#[cfg(test)]
mod lost_answers_test;
#[cfg(test)]
mod needed_test;
#[cfg(test)]
mod proven_test;
#[cfg(test)]
mod repair_test;
#[cfg(test)]
mod replicated_test;
#[cfg(test)]
mod restore_test;
#[cfg(test)]
mod shared_test;
#[cfg(test)]
mod ship_test;
#[cfg(test)]
mod sixteen_test;
#[cfg(test)]
mod sleeper_test;
#[cfg(test)]
mod tending_test;
#[cfg(test)]
mod watch_test;
