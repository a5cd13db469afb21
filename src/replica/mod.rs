//! The replica: the store off the machine, in a directory or in the cloud, and back on another one.
//! FORMAT.md describes its objects.
//!
//! * `location`: where it is; [`bucket`]: the objects there; [`probe`]: the proof that the
//!   bucket keeps two writers apart
//! * [`objects`]: the names and bytes of objects; `cipher`: their bodies, compressed and encrypted
//! * [`terms`]: the protocol by which one process writes
//! * `opened`: a replica in its bucket, with its keys; `runtime`: its async work for blocking callers
//! * `source`: the store that is shipped; `ship`: its commits and bases; `base`: one base
//! * `init`: the beginning of a replica; `replicator`: shipping on a thread of its own

pub(crate) mod base;
pub(crate) mod bucket;
pub(crate) mod cipher;
pub(crate) mod init;
pub(crate) mod location;
pub(crate) mod objects;
pub(crate) mod opened;
pub(crate) mod probe;
pub(crate) mod replicator;
pub(crate) mod runtime;
pub(crate) mod ship;
pub(crate) mod source;
pub(crate) mod terms;

#[cfg(test)]
mod faulty_test;
#[cfg(test)]
mod ship_test;
