//! A replica in its bucket, as everything here reads and writes it.
//!
//! * `opened`: a replica in its bucket, with its keys; `cipher`: the bodies of its objects, compressed and encrypted
//! * `runtime`: its async work for blocking callers
//! * `probe`: the proof that the bucket keeps two writers apart

pub(crate) mod cipher;
pub(crate) mod opened;
pub(crate) mod probe;
pub(crate) mod runtime;

#[cfg(test)]
mod proven_test;
