//! The replica: the store off the machine, in a directory or in the cloud, and back on another one. FORMAT.md describes its
//! objects.
//!
//! * `location`: where it is; [`bucket`]: the objects there; [`probe`]: the proof that the bucket keeps two writers apart
//! * [`objects`]: the names and bytes of objects; `cipher`: their bodies, compressed and encrypted
//! * [`terms`]: the protocol by which one process writes

pub(crate) mod bucket;
pub(crate) mod cipher;
pub(crate) mod location;
pub(crate) mod objects;
pub(crate) mod probe;
pub(crate) mod terms;

#[cfg(test)]
mod faulty_test;
