//! Workers: a bot that hands over a function, and gets its tasks done.
//!
//! [`job`] is a task in the hands of the function, and the ways in which it fails; [`shared`] claims, extends leases
//! and ends tasks, for threads and for async programs alike; [`running`] has the threads, `on_tokio` the async tasks;
//! [`events`] has its counts and events.
//!
//! * `builder`: a worker before it runs

mod builder;
pub(crate) mod events;
pub(crate) mod job;
#[cfg(feature = "tokio")]
mod on_tokio;
pub(crate) mod running;
pub(crate) mod shared;

#[cfg(test)]
mod test;

pub use self::builder::Worker;
