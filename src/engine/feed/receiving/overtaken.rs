//! The row `fence` of `meta`: another machine goes on with the history of this store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::format::codec::Stored;
use crate::error::{Error, Hint};

/// R9: the row of a store that was overtaken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fence {
    /// The name of the replica in which the history goes on.
    pub(crate) replica: String,
    /// The term with which it goes on there, as far as that is known.
    pub(crate) by_term: Option<u64>,
    /// When that was noticed.
    #[serde(with = "crate::clock::time")]
    pub(crate) at: Timestamp,
}

impl Stored for Fence {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the row of a store that was overtaken";
}

impl Fence {
    /// The error of every write.
    pub(crate) fn refusal(&self) -> Error {
        let message = "another machine has the history of this store, so this file refuses writes; its last commits may \
                       exist only in this file";
        let (replica, at) = (self.replica.escape_debug(), self.at);
        let term = self.by_term.map(|term| format!(" by_term={term}")).unwrap_or_default();
        Error::conflict(format!("{message}: replica={replica}{term} since={at}")).with_hint(Hint::TakeBack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::codec;
    use crate::engine::format::digest::hex;

    #[test]
    fn the_bytes_of_the_row_of_a_fence_stay_as_they_are() {
        let at = Timestamp::from_microsecond(5).unwrap();
        for (by_term, bytes) in [(None, "0103616263 00 0a"), (Some(8), "0103616263 0108 0a")] {
            let row = Fence { replica: "abc".into(), by_term, at };
            let encoded = codec::encode(&row).unwrap();
            assert_eq!(hex(&encoded), bytes.replace(' ', ""));
            assert_eq!(codec::decode::<Fence>(&encoded).unwrap(), row);
        }
    }
}
