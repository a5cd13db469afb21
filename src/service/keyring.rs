//! The keys of the store in memory, so that a request reads nothing to find out who asks; and when they were
//! used, so that a use is no commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;

pub(crate) use crate::actor::HeldKey;
use crate::clock;
use crate::engine::digest::hex;
use crate::engine::store::Store;
use crate::error::Result;
use crate::state::keys::key::KeyName;
pub(crate) use crate::state::keys::ring::{KeyHolder, KeyRing, NoHolder};

/// Keys are read again after this time, since another process may have changed them. A request that a revoked key began
/// before goes on reading; its write is refused, as each write looks for its key itself.
const FRESH_FOR: Duration = Duration::from_millis(250);
/// For a key that they do not have, they are read again after this time: it may have been added a moment ago. The time
/// bounds the reads that made-up keys cause.
const FRESH_FOR_UNKNOWN: Duration = Duration::from_millis(10);
/// Between two writes of when keys were used.
const USES_EVERY: Duration = Duration::from_secs(60);

/// The keys of an open store. The threads that answer requests read and replace all fields.
#[derive(Debug)]
pub(crate) struct Keyring {
    loaded: Mutex<Loaded>,
    /// Held while keys are read again, so that no older read replaces a newer one.
    reading: Mutex<()>,
    uses: Mutex<Uses>,
}

#[derive(Debug)]
struct Loaded {
    ring: Arc<KeyRing>,
    /// When they were read, or a read of them began.
    at: Instant,
}

#[derive(Debug, Default)]
struct Uses {
    /// Those that are not written yet.
    waiting: BTreeMap<KeyName, Timestamp>,
    /// When uses were last written.
    written: Option<Instant>,
    /// Whether a caller will write them.
    scheduled: bool,
}

impl Keyring {
    /// Reads the keys of a store.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    pub(crate) fn load(store: &Store) -> Result<Self> {
        let ring = Arc::new(store.view()?.keys().ring()?);
        let loaded = Mutex::new(Loaded { ring, at: Instant::now() });
        Ok(Self { loaded, reading: Mutex::default(), uses: Mutex::default() })
    }

    /// The keys for a caller that shows this text, and whether it must read them again, which one caller at a time is
    /// asked for.
    pub(crate) fn ring(&self, shown: Option<&str>, now: Timestamp) -> (Arc<KeyRing>, bool) {
        let mut loaded = self.loaded.lock();
        let age = loaded.at.elapsed();
        let is_unknown = |text| matches!(loaded.ring.holder(text, now), Err(NoHolder::Unknown));
        let is_old = age >= FRESH_FOR || age >= FRESH_FOR_UNKNOWN && shown.is_some_and(is_unknown);
        if is_old {
            loaded.at = Instant::now();
        }
        (loaded.ring.clone(), is_old)
    }

    /// The keys in memory, whatever their age.
    pub(crate) fn at_hand(&self) -> Arc<KeyRing> {
        self.loaded.lock().ring.clone()
    }

    /// Whether keys are asked for and none is valid.
    pub(crate) fn shuts_everybody_out(&self, now: Timestamp) -> bool {
        let ring = self.at_hand();
        ring.is_used() && !ring.has_valid(now)
    }

    /// Reads the keys again. While the store cannot be read, nobody can change them either, so the ones in memory stay.
    pub(crate) fn reload(&self, store: &Store) -> Arc<KeyRing> {
        self.reload_from(|| store.view()?.keys().ring())
    }

    fn reload_from(&self, read: impl FnOnce() -> Result<KeyRing>) -> Arc<KeyRing> {
        let _one_at_a_time = self.reading.lock();
        match read() {
            Ok(ring) => {
                let ring = Arc::new(ring);
                *self.loaded.lock() = Loaded { ring: ring.clone(), at: Instant::now() };
                ring
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the keys; those in memory stay in use");
                self.loaded.lock().ring.clone()
            }
        }
    }

    /// Notes that a key was used. Returns the time after which the caller must write the uses; none if another caller
    /// does. So no use waits for the next one.
    pub(crate) fn used(&self, key: &KeyName, now: Timestamp) -> Option<Duration> {
        let mut uses = self.uses.lock();
        match uses.waiting.get_mut(key) {
            Some(at) => *at = now,
            None => drop(uses.waiting.insert(key.clone(), now)),
        }
        if std::mem::replace(&mut uses.scheduled, true) {
            return None;
        }
        Some(uses.written.map_or(Duration::ZERO, |written| USES_EVERY.saturating_sub(written.elapsed())))
    }

    /// Writes when keys were used. A failure is logged: the next write has them. A store that nobody writes to does not
    /// learn it.
    pub(crate) fn write_uses(&self, store: &Store) {
        let waiting = {
            let mut uses = self.uses.lock();
            (uses.written, uses.scheduled) = (Some(Instant::now()), false);
            std::mem::take(&mut uses.waiting)
        };
        if waiting.is_empty() || store.is_only_read() {
            return;
        }
        if let Err(error) = store.write(|tx| tx.keys().note_uses(&waiting)) {
            tracing::warn!(%error, "cannot write when keys were last used");
            let mut uses = self.uses.lock();
            for (key, at) in waiting {
                uses.waiting.entry(key).or_insert(at);
            }
        }
    }
}

/// A name of 64 hexadecimal digits that nobody can guess.
pub(crate) fn random_name() -> String {
    hex(&clock::random())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::state::keys::key::{NewKey, Role};
    use crate::testkit::checked_store::{Fixture, time};

    #[test]
    fn a_key_of_another_process_is_known_after_a_moment_and_one_caller_reads_it() {
        let hive = Fixture::new();
        let keyring = Keyring::load(&hive.store).unwrap();
        hive.write(|tx| tx.keys().add(NewKey::new("a".parse().unwrap(), Role::Reader)));
        assert!(!keyring.at_hand().is_used());
        std::thread::sleep(FRESH_FOR);
        let ring = || keyring.ring(None, time(0));
        assert!(ring().1 && !ring().1);
        assert!(keyring.reload(&hive.store).is_used() && ring().0.is_used());
    }

    #[test]
    fn a_new_key_that_is_shown_is_looked_for_at_once() {
        let hive = Fixture::new();
        let keyring = Keyring::load(&hive.store).unwrap();
        let is_read_again = |shown| {
            // The time since the last read may be long on a busy machine, so that read is made to be that of now.
            keyring.loaded.lock().at = Instant::now().checked_sub(FRESH_FOR_UNKNOWN).unwrap();
            keyring.ring(Some(shown), time(0)).1
        };
        let name: KeyName = "a".parse().unwrap();
        let secret = hive.write(|tx| tx.keys().add(NewKey::new(name, Role::Reader)));
        assert!(is_read_again(secret.as_str()));
        assert!(!keyring.ring(Some(secret.as_str()), time(0)).1, "made-up keys cause a read each time");
        keyring.reload(&hive.store);
        assert!(!is_read_again(secret.as_str()), "a known key causes a read");
    }

    #[test]
    fn a_read_that_began_before_a_revocation_brings_no_key_back() {
        let hive = Fixture::new();
        let name = || "a".parse::<KeyName>().unwrap();
        let secret = hive.write(|tx| tx.keys().add(NewKey::new(name(), Role::Reader)));
        let keyring = Keyring::load(&hive.store).unwrap();
        let (begun, begins) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                keyring.reload_from(|| {
                    let ring = hive.view().keys().ring();
                    begun.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(200));
                    ring
                })
            });
            begins.recv().unwrap();
            hive.write(|tx| tx.keys().revoke(&name()));
            keyring.reload(&hive.store);
        });
        assert!(keyring.at_hand().holder(secret.as_str(), time(0)).is_err());
    }

    #[test]
    fn uses_are_one_commit_a_minute() {
        let hive = Fixture::new();
        let key: KeyName = "a".parse().unwrap();
        hive.write(|tx| tx.keys().add(NewKey::new(key.clone(), Role::Reader)));
        let keyring = Keyring::load(&hive.store).unwrap();
        let commits = hive.store.commits().count();
        let due: Vec<_> = (0..100).filter_map(|second| keyring.used(&key, time(second))).collect();
        assert_eq!(due, [Duration::ZERO]);
        keyring.write_uses(&hive.store);
        keyring.write_uses(&hive.store);
        assert_eq!(hive.store.commits().count(), commits + 1);
        let last_used = |key| hive.view().keys().get(key).unwrap().unwrap().last_used_at;
        assert_eq!(last_used(&key), Some(time(99)));
        // The first use of a key waits for no later one, neither its own nor that of another key.
        let other: KeyName = "b".parse().unwrap();
        hive.write(|tx| tx.keys().add(NewKey::new(other.clone(), Role::Reader)));
        let after = keyring.used(&other, time(100)).unwrap();
        assert!(after > Duration::ZERO && after <= USES_EVERY, "{after:?}");
        hive.write(|tx| tx.keys().revoke(&other));
        keyring.write_uses(&hive.store);
        assert_eq!(last_used(&other), Some(time(100)), "a key that was revoked meanwhile");
    }
}
