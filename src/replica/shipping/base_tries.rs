//! The tries to make a base. One that failed is not begun again at once, as all its parts would be sent again.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::clock::before;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::objects::name::BaseName;

/// After a failure of the bucket the next try comes this much later, then twice as much, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Damage of the store does not pass by itself, so the next try comes this much later at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Nothing is shipped before a gap has its base, so the store is read again sooner.
const PAUSE_OF_GAP: Duration = Duration::from_secs(5 * 60);
/// A base that could not be made for so long is overdue.
const OVERDUE: Duration = Duration::from_secs(24 * 60 * 60);

/// The tries to make the next base.
#[derive(Debug, Default)]
pub(super) struct BaseTries {
    failed: Option<FailedBase>,
    /// The last base whose parts were removed again.
    pub(super) given_up: Option<BaseName>,
}

/// The failure of the last try.
#[derive(Debug)]
struct FailedBase {
    /// When the first of the tries failed that failed in a row.
    since: Timestamp,
    at: Instant,
    pause: Duration,
    kind: ErrorKind,
    why: String,
}

impl BaseTries {
    /// A base was made.
    pub(super) fn succeeded(&mut self) {
        self.failed = None;
    }

    /// A base could not be made.
    pub(super) fn failed(&mut self, error: &Error, now: Timestamp) {
        let (since, pause) = match self.failed.take() {
            Some(last) => (last.since, (last.pause * 2).min(LONGEST_PAUSE)),
            None => (now, FIRST_PAUSE),
        };
        let pause = if is_of_store(error.kind()) { LONGEST_PAUSE } else { pause };
        tracing::error!(%error, ?pause, "no new base of the replica could be made; it is tried again");
        let (at, kind, why) = (Instant::now(), error.kind(), error.to_string());
        self.failed = Some(FailedBase { since, at, pause, kind, why });
    }

    /// Whether it is time for the next try.
    pub(super) fn may_begin(&self) -> bool {
        self.failed.as_ref().is_none_or(|failed| failed.at.elapsed() >= failed.pause)
    }

    /// Refuses the base of a gap that could not be made just now, and would not be now.
    ///
    /// # Errors
    ///
    /// The last one again.
    pub(super) fn refuse_gap(&self) -> Result<()> {
        match &self.failed {
            Some(failed)
                if (is_of_store(failed.kind) || keeps_failing(failed.kind))
                    && failed.at.elapsed() < failed.pause.min(PAUSE_OF_GAP) =>
            {
                Err(Error::new(failed.kind, failed.why.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Whether the store was the reason, so that all of it is read before anything is sent.
    pub(super) fn reads_first(&self) -> bool {
        self.failed.as_ref().is_some_and(|failed| is_of_store(failed.kind))
    }

    /// The reason of the last failure; none after a success.
    pub(super) fn error(&self) -> Option<&str> {
        self.failed.as_ref().map(|failed| failed.why.as_str())
    }

    /// Whether they have failed for long.
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed.since < before(now, OVERDUE))
    }
}

/// Whether the bucket itself refuses the parts of a base, as on a full disk: it would soon do so again.
pub(super) fn keeps_failing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Full | ErrorKind::Forbidden | ErrorKind::NotFound)
}

/// Whether the rows of the store are the reason.
pub(super) fn is_of_store(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Damaged | ErrorKind::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_the_bucket_is_tried_again_soon_and_damage_of_the_store_after_an_hour() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut tries = BaseTries::default();
        assert!(tries.may_begin() && tries.refuse_gap().is_ok() && tries.error().is_none());
        let pause = |tries: &BaseTries| tries.failed.as_ref().unwrap().pause;
        for expected in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            tries.failed(&Error::new(ErrorKind::Io, "away"), now);
            assert_eq!(pause(&tries), Duration::from_secs(expected));
        }
        assert!(!tries.may_begin() && !tries.reads_first() && tries.refuse_gap().is_ok());
        assert_eq!(tries.error(), Some("away"));
        assert!(!tries.is_overdue(now + OVERDUE) && tries.is_overdue(now + OVERDUE + FIRST_PAUSE));
        tries.failed(&Error::new(ErrorKind::Full, "full"), now);
        assert_eq!((pause(&tries), tries.refuse_gap().unwrap_err().kind()), (LONGEST_PAUSE, ErrorKind::Full));
        tries.succeeded();
        tries.failed(&Error::damaged("rot"), now);
        assert_eq!(pause(&tries), LONGEST_PAUSE);
        assert!(tries.reads_first());
        let again = tries.refuse_gap().unwrap_err();
        assert_eq!((again.kind(), again.to_string().as_str()), (ErrorKind::Damaged, "rot"));
    }
}
