//! Keys: who may call the service, and what each of them may do.
//!
//! * [`key`]: a key as people see it, its role, and how it is stored
//! * [`secret`]: the text that is shown once, and what of it is kept
//! * [`ring`]: all keys of a store, to tell who shows one
//! * [`lost`]: keys of which only the names are left
//! * `verbs`: the verbs on them
//!
//! Keys are rows of `meta`, which is not versioned: no restore, undo or import brings a revoked key back.

pub(crate) mod key;
pub(crate) mod lost;
#[cfg(any(feature = "http", fuzzing, test))]
pub(crate) mod ring;
pub(crate) mod secret;
mod verbs;

#[cfg(test)]
mod test;

pub use self::verbs::Keys;
