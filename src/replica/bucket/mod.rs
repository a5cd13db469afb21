//! The bucket of a replica: objects that are created once, and read, listed and deleted by
//! name. Nothing is ever overwritten.
//!
//! [`Bucket`] tries again where that is safe, and within limits. Its calls are async, because a base is sent and
//! fetched in parts side by side; a caller of the library blocks on them, in a runtime of its own.
//!
//! * `location`: where a replica is
//! * `creation`: the answer to the creation of an object; `failure`: failures that pass, and those that last;
//!   `pauses`: the pauses between tries
//! * `listed`: the names of a list, all of them or page by page
//! * `directory`: a folder as a bucket; `in_time`: its work, on threads that may hang
//! * `cloud`: a bucket of a service; `connect`: the connection to it; `variables`: the environment; `profile`:
//!   credentials in the files of Amazon's programs
//! * `calls`: the bucket itself, with its calls

mod calls;
mod cloud;
mod connect;
mod creation;
mod directory;
mod failure;
mod in_time;
mod listed;
pub(crate) mod location;
mod pauses;
mod profile;
mod variables;

#[cfg(test)]
pub(super) mod faulty_test;
#[cfg(test)]
mod moto_test;
#[cfg(test)]
mod test;

pub(crate) use self::calls::Bucket;
pub(crate) use self::creation::Creation;
pub(crate) use self::listed::ListPage;
pub(crate) use self::pauses::Pauses;
