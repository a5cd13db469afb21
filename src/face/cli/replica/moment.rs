//! The moment of a replica as a person types it: also one that was so long ago.

use std::str::FromStr;

use crate::{Clock, Error, ReplicaMoment, Result, Selector, SystemClock};

/// A moment of a replica, or `10m ago`.
#[derive(Clone, Debug)]
pub(super) struct TypedMoment(pub(super) ReplicaMoment);

impl FromStr for TypedMoment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let ago = text.parse().ok().filter(|selector| matches!(selector, Selector::Ago(_)));
        match ago.and_then(|ago| ago.time(SystemClock.now())) {
            Some(time) => Ok(Self(ReplicaMoment::Time(time))),
            None => text.parse().map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_typed_as_everywhere_or_as_so_long_ago() {
        let moment = |text: &str| text.parse::<TypedMoment>().map(|typed| typed.0);
        let before = SystemClock.now() - Duration::from_secs(600);
        let ReplicaMoment::Time(ago) = moment("10m ago").unwrap() else { panic!("it is no time") };
        assert!(before <= ago && ago <= SystemClock.now() - Duration::from_secs(600));
        for text in ["newest", "sequence 7", "2026-01-02T03:04:05Z", "67006b98-460f-425f-ac8d-c624ce4b9dc0"] {
            assert_eq!(moment(text).unwrap(), text.parse().unwrap());
        }
        assert!(moment("").is_err());
    }
}
