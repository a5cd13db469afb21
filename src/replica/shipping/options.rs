//! The options of shipping a store.

use std::fmt;
use std::time::Duration;

use crate::duration::exact;
use crate::error::{Error, Result};
use crate::replica::objects::kinds::LEASES;

/// The time between two looks for new commits, unless another one is set.
const INTERVAL: Duration = Duration::from_secs(1);
/// Every moment of so much time can be restored, unless another time is set.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A drill is made this often, unless another time is set.
const DRILL_EVERY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The bounds of both times.
const LENGTHS: (Duration, Duration) = (Duration::from_secs(60 * 60), Duration::from_secs(3650 * 24 * 60 * 60));
/// A write waits so long for the replica, unless another time is set.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// How a store is shipped.
#[derive(Clone)]
pub struct ReplicateOptions {
    /// The time between two looks for new commits: the most that the loss of the machine costs,
    /// besides the time of a request.
    pub interval: Duration,
    /// The text of an age identity file. It is needed for an encrypted replica only when other processes have written
    /// to it.
    pub identity: Option<String>,
    /// The time whose every moment can be restored; 7 days by default. Objects that only earlier moments need are
    /// deleted, some hours after they are found. From an hour to ten years.
    pub keep: Duration,
    /// The time between two drills, each of which restores a random moment beside the store, compares it, and removes
    /// it; 7 days by default, and none for no drills. From an hour to ten years.
    pub drill_every: Option<Duration>,
    /// The lease of this process, for a standby that promotes itself: none by default. With one, this process writes
    /// only while the replica answers it: for two thirds of this time behind its last request. After the whole time
    /// without a sign, a standby may take over, and knows that nobody is told of a write here any more. It needs a
    /// store that this process has for itself ([`Sharing::Exclusive`](crate::Sharing::Exclusive)). From a second to an
    /// hour.
    pub lease: Option<Duration>,
    /// The time for which a write of [`Durability::Replicated`](crate::Durability::Replicated) waits for the replica
    /// before it is an error; 30 s by default.
    pub write_limit: Duration,
}

impl Default for ReplicateOptions {
    fn default() -> Self {
        Self {
            interval: INTERVAL,
            identity: None,
            keep: KEEP,
            drill_every: Some(DRILL_EVERY),
            lease: None,
            write_limit: WRITE_LIMIT,
        }
    }
}

impl ReplicateOptions {
    /// Refuses times out of their bounds.
    ///
    /// # Errors
    ///
    /// `Invalid`.
    pub(super) fn refuse_lengths(&self) -> Result<()> {
        let named = [
            ("the time that can be restored", LENGTHS, Some(self.keep)),
            ("the time between drills", LENGTHS, self.drill_every),
            ("the lease", LEASES, self.lease),
        ];
        for (name, (least, most), length) in named.into_iter().filter_map(|(name, of, time)| Some((name, of, time?))) {
            if length < least || length > most {
                let [length, least, most] = [length, least, most].map(exact);
                return Err(Error::invalid(format!(
                    "{name} is too short or too long: time={length} shortest={least} longest={most}"
                )));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ReplicateOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_identity = self.identity.is_some();
        let Self { interval, keep, drill_every, lease, write_limit, .. } = self;
        f.debug_struct("ReplicateOptions")
            .field("interval", interval)
            .field("identity", &has_identity)
            .field("keep", keep)
            .field("drill_every", drill_every)
            .field("lease", lease)
            .field("write_limit", write_limit)
            .finish()
    }
}
