//! The commit and the time of a place in a replica. A place has a form of the replica's own, an object of JSON, in
//! which these two fields are for everybody.

use jiff::Timestamp;
use serde::Deserialize;

/// The commit and the time of a place in a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct KnownPlace {
    /// The last commit before it.
    pub(crate) sequence: u64,
    /// The time of the newest object before it.
    #[serde(with = "crate::clock::time")]
    pub(crate) time: Timestamp,
}

impl KnownPlace {
    /// Reads both; none where they cannot be read, which whoever goes on from that place tells.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_and_the_time_of_a_place_are_read_whatever_else_it_has() {
        let text = br#"{"store":"7","slot":{"term":3},"sequence":99,"time":"2026-01-02T03:04:05.678901+00:00"}"#;
        let time = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        assert_eq!(KnownPlace::of_bytes(text), Some(KnownPlace { sequence: 99, time }));
        assert_eq!([&b""[..], b"{}"].map(KnownPlace::of_bytes), [None, None]);
    }
}
