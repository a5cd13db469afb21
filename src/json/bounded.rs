//! A value that takes no more memory than it may.

use serde_json::Value;

use super::pieces::{Container, Pieces, Scalar, Whole};
use super::read::parse_into;
use crate::error::Result;

/// About the memory of a value: a place in a list that grows twofold, and its text.
pub(crate) const SCALAR_BYTES: usize = 128;
/// The same for a list or an object, which begins with room for four values.
pub(crate) const CONTAINER_BYTES: usize = 512;
/// The same for the name of a member, with its place in the index of the object.
pub(crate) const NAME_BYTES: usize = 64;

/// Reads one JSON text as [`parse`](super::parse) does; none when its value takes more memory than `most`.
///
/// # Errors
///
/// As [`parse`](super::parse).
pub(crate) fn parse_within(text: &[u8], most: usize) -> Result<Option<Value>> {
    let mut counted = Counted { whole: Whole::default(), left: Some(most) };
    let parsed = parse_into(text, &mut counted);
    match counted.left {
        None => Ok(None),
        Some(_) => parsed.map(|()| Some(counted.whole.into_value())),
    }
}

/// Puts a value together, and counts it.
struct Counted {
    whole: Whole,
    /// The memory that is left; none once there was too little.
    left: Option<usize>,
}

impl Counted {
    fn count(&mut self, bytes: usize) {
        self.left = self.left.and_then(|left| left.checked_sub(bytes));
    }
}

impl Pieces for Counted {
    fn scalar(&mut self, scalar: Scalar<'_>) {
        self.count(SCALAR_BYTES + scalar.text_bytes());
        self.whole.scalar(scalar);
    }

    fn open(&mut self, container: Container) {
        self.count(CONTAINER_BYTES);
        self.whole.open(container);
    }

    fn name(&mut self, name: &str) {
        self.count(NAME_BYTES + name.len());
        self.whole.name(name);
    }

    fn close(&mut self) {
        self.whole.close();
    }

    fn is_full(&self) -> bool {
        self.left.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_many_small_values_is_read_up_to_the_memory_that_they_may_take() {
        let text = format!("[{}1]", "1,".repeat(9_999));
        let takes = CONTAINER_BYTES + 10_000 * (SCALAR_BYTES + 1);
        assert_eq!(parse_within(text.as_bytes(), takes).unwrap().unwrap().as_array().unwrap().len(), 10_000);
        assert_eq!(parse_within(text.as_bytes(), takes - 1).unwrap(), None);
        assert_eq!(parse_within(br#"{"name": "text"}"#, CONTAINER_BYTES + NAME_BYTES + 4).unwrap(), None);
        assert!(parse_within(b"[1,", takes).is_err());
    }
}
