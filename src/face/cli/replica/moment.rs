//! The moment of a replica as a person types it.

use std::str::FromStr;

use crate::{Error, ReplicaMoment, Result};

/// A moment of a replica.
#[derive(Clone, Debug)]
pub(super) struct TypedMoment(pub(super) ReplicaMoment);

impl FromStr for TypedMoment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self)
    }
}
