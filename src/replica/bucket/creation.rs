//! The answer of a bucket to the creation of an object.

use crate::error::Error;
use crate::replica::objects::layout::OBJECT_MAX;
use crate::replica::objects::name::ObjectName;

/// The answer to one try to create an object.
#[derive(Debug)]
pub(crate) enum Creation {
    /// The object is there, and this call created it.
    Created,
    /// The name may exist. A conflict of two requests and a lost answer to an earlier try look the same, so the caller
    /// reads the object and compares.
    Exists,
    /// Nobody knows whether the object is there, or will be. The caller tries again with the same bytes.
    Unknown(Error),
}

/// The error for an object that no writer makes.
pub(super) fn too_long(name: &ObjectName) -> Error {
    Error::damaged(format!("an object of the replica is longer than {OBJECT_MAX} bytes: object={name}"))
}
