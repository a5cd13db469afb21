//! The retention policy that a store keeps. The service, the command line and all others use it, so that every process
//! forgets points by the same rules.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock;
use crate::duration;
use crate::engine::codec::Stored;
use crate::engine::meta_row::MetaRow;
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::error::Result;
use crate::limits;
use crate::recovery::events::event::EventKind;
use crate::recovery::points::point::Point;
use crate::recovery::retention::policy::Policy;

/// The row in `meta`.
const ROW: MetaRow<StoredPolicy> = MetaRow::new(b"retention");

/// The policy of a store, and its author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPolicy {
    /// The rules; none means that nothing is forgotten.
    pub policy: Option<Policy>,
    /// Its author, and the time; none while the default applies.
    pub set: Option<PolicySet>,
}

/// The author of a policy, and the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySet {
    /// The time.
    #[serde(with = "clock::time")]
    pub at: Timestamp,
    /// The program, such as `hivekeep serve`.
    pub by: String,
}

impl Stored for StoredPolicy {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the policy of retention";
}

impl Default for StoredPolicy {
    fn default() -> Self {
        Self { policy: Some(Policy::default()), set: None }
    }
}

impl Store {
    /// The policy by which this store forgets points: the stored one, or else the default.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`; `NewerFormat` when a later version stored it.
    pub fn policy(&self) -> Result<StoredPolicy> {
        Ok(ROW.read(&self.view()?)?.unwrap_or_default())
    }

    /// Sets the policy by which every process forgets points of this store, from the next retention on; none forgets
    /// nothing. Returns whether the policy changed.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::Policy;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let policy = Policy { keep_daily: 30, ..Policy::default() };
    /// assert!(store.set_policy(Some(policy.clone()), "the example")?);
    /// assert_eq!(store.policy()?.policy, Some(policy));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn set_policy(&self, policy: Option<Policy>, by: &str) -> Result<bool> {
        limits::text("the author of a policy", by, limits::NAME_BYTES)?;
        if self.policy()?.policy == policy {
            return Ok(false);
        }
        self.write(|tx| {
            let at = clock::as_stored(tx.now());
            let details = json!({"by": by, "policy": policy.as_ref().map(ToString::to_string)});
            let stored = StoredPolicy { policy: policy.clone(), set: Some(PolicySet { at, by: by.to_owned() }) };
            ROW.put(tx, &stored)?;
            tx.events().append(EventKind::PolicySet, details)?;
            tx.note("retention_set", policy.as_ref().map(ToString::to_string).as_deref())?;
            Ok(true)
        })
    }

    /// Forgets the points that the store's own policy does not keep, and returns them.
    ///
    /// # Errors
    ///
    /// As [`Store::retain`].
    pub fn retain_by_policy(&self) -> Result<Vec<Point>> {
        self.policy()?.policy.map_or(Ok(Vec::new()), |policy| self.retain(&policy))
    }
}

/// `7d, at most 100 of a kind older than 1d`: the rules in short.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.keep_within.map_or("any age".to_owned(), duration::exact))?;
        if let Some(cap) = self.cap {
            write!(f, ", at most {cap} of a kind older than {}", duration::exact(self.floor))?;
        }
        if self.thinning.is_empty() {
            f.write_str(", not thinned")?;
        }
        let newest = [
            ("last", self.keep_last),
            ("hourly", self.keep_hourly),
            ("daily", self.keep_daily),
            ("weekly", self.keep_weekly),
            ("monthly", self.keep_monthly),
        ];
        for (name, count) in newest.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, ", {count} {name}")?;
        }
        self.keep_tags.iter().try_for_each(|tag| write!(f, ", tagged {tag}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::engine::codec;
    use crate::recovery::retention::policy::TagRule;

    #[test]
    fn the_bytes_of_the_row_are_fixed() {
        let set = PolicySet { at: Timestamp::from_microsecond(1).unwrap(), by: "b".into() };
        let tag = TagRule { name: "t".into(), value: None };
        let policy = Policy {
            keep_daily: 3,
            keep_tags: vec![tag],
            keep_within: Some(Duration::from_millis(7)),
            ..Policy::default()
        };
        let stored = StoredPolicy { policy: Some(policy), set: Some(set) };
        let bytes = codec::encode(&stored).unwrap();
        let golden = b"\x01\x01\x01\x07\x01\x64\xfc\x00\x5c\x26\x05\x01\xfb\xe8\x03\x02\xfc\x00\x97\x49\x01\xfc\x80\xee\x36\x00\xfc\x00\xf3\x6f\x06\xfc\x00\x97\x49\x01\x00\x00\x03\x00\x00\x01\x01t\x00\xfc\x00\x84\x0c\x24\x01\x02\x01b";
        assert_eq!(bytes, golden, "{}", bytes.escape_ascii());
        assert_eq!(codec::decode::<StoredPolicy>(golden).unwrap(), stored);
    }

    #[test]
    fn a_store_keeps_its_policy_and_the_next_process_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let open = || Store::options().clock(clock.clone()).open(folder.path().join("h.redb")).unwrap();
        let store = open();
        assert_eq!(store.policy().unwrap(), StoredPolicy::default());
        let longer = Policy { keep_within: Some(Duration::from_secs(30 * 24 * 3600)), ..Policy::default() };
        assert!(store.set_policy(Some(longer.clone()), "serve").unwrap());
        assert!(!store.set_policy(Some(longer.clone()), "another").unwrap(), "nothing changed");
        let first = store.restore_point("first").unwrap();
        store.close().unwrap();
        let store = open();
        assert_eq!(store.policy().unwrap().set.unwrap().by, "serve");
        clock.advance(Duration::from_secs(8 * 24 * 3600));
        store.restore_point("second").unwrap();
        assert!(store.retain_by_policy().unwrap().is_empty());
        store.set_policy(None, "by hand").unwrap();
        clock.advance(Duration::from_secs(80 * 24 * 3600));
        assert!(store.retain_by_policy().unwrap().is_empty(), "nothing is forgotten");
        store.set_policy(Some(longer), "by hand").unwrap();
        assert_eq!(store.retain_by_policy().unwrap()[0].id, first.id);
    }

    #[test]
    fn a_policy_has_a_short_description() {
        assert_eq!(Policy::default().to_string(), "7d, at most 100 of a kind older than 1d");
        let tag = TagRule { name: "env".into(), value: Some("live".into()) };
        let policy = Policy { keep_within: None, cap: None, keep_daily: 30, keep_tags: vec![tag], ..Policy::default() };
        assert_eq!(policy.to_string(), "any age, 30 daily, tagged env=live");
    }
}
