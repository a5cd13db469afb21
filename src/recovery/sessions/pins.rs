//! Views that stay open for long. Meanwhile every write makes the file grow, because pages that were freed since the
//! view began cannot be reused. A process announces such a view beside its session, so that others can report it.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::engine::session::session_locks::SessionLocks;
use crate::engine::store::Store;
use crate::recovery::sessions::session::who;

/// A view that is open for longer is announced.
const LONG: Duration = Duration::from_secs(60);
/// The text between a process and the time since which it reads.
const SINCE: &str = ", reading since ";
/// The format of the time. It has no seconds, because there is little room.
const MINUTE: &str = "%Y-%m-%dT%H:%MZ";

impl Store {
    /// The time since which a view of this process has been open, if that is long. Announces it when it differs from
    /// `announced`.
    pub(crate) fn announce_long_view(&self, announced: Option<Timestamp>) -> Option<Timestamp> {
        let now = self.clock().now();
        let oldest = self.views().oldest().filter(|since| clock::after(*since, LONG) <= now);
        if let Some(session) = self.session().filter(|_| oldest != announced)
            && let Some(session_locks) = SessionLocks::open_existing(self.path())
        {
            if let Some(since) = oldest {
                tracing::warn!(%since, "a view has been open for long; the file grows until it is dropped");
            }
            let since = oldest.map(|since| format!("{SINCE}{}", since.strftime(MINUTE))).unwrap_or_default();
            if let Err(error) = session_locks.announce(session.0, &who(&since)) {
                tracing::warn!(%error, "other processes cannot learn of a view that has been open for long");
            }
        }
        oldest
    }

    /// The living processes with a view that has been open for long, for messages, with the time since when.
    #[cfg(any(feature = "transfer", test))]
    pub(crate) fn long_readers(&self) -> Vec<String> {
        let living = SessionLocks::open_existing(self.path()).and_then(|locks| locks.living().ok());
        living.unwrap_or_default().into_iter().filter(|who| who.contains(SINCE)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_process_with_an_open_view_is_named_with_the_time_until_it_drops_the_view() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let store = Store::options().clock(clock.clone()).open(&path).unwrap();
        let other = Store::options().session(false).open(&path).unwrap();
        let view = store.view().unwrap();
        clock.advance(LONG / 2);
        let mut announced = store.announce_long_view(None);
        assert_eq!((announced, other.long_readers().len()), (None, 0));
        clock.advance(LONG);
        announced = store.announce_long_view(announced);
        let readers = other.long_readers();
        assert!(readers[0].contains(", reading since 2026-01-02T03:04Z"), "{readers:?}");
        drop(view);
        assert_eq!(store.announce_long_view(announced), None);
        assert!(other.long_readers().is_empty());
    }
}
