//! The pulse of a store: a few numbers that tell an onlooker whether to look again. Nothing is counted for them.

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::digest::hex;
use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::points::timeline::BriefPoint;
use crate::state::ids::SessionId;
use crate::state::page::Page;
use crate::state::queue::TaskCounts;

/// The number of bytes of a hash that name a state.
const NAME: usize = 16;

/// A few numbers about a store, of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pulse {
    /// The name of the state: another one once a record, a point, an event or an audit entry was added or changed.
    /// Heartbeats do not count.
    pub state: String,
    /// The time of the store's clock.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
    /// The number of tasks in each state.
    pub tasks: TaskCounts,
    /// The number of registered bots.
    pub bots: u64,
    /// The number of retained points, without those of single commits.
    pub points: u64,
    /// The newest point of live state.
    pub latest: Option<BriefPoint>,
    /// The number of the newest event.
    pub last_event: u64,
    /// The number of the newest audit entry.
    pub last_audit: u64,
    /// The session of the newest crash that nobody has acknowledged.
    pub crash: Option<SessionId>,
}

impl Store {
    /// The pulse. It costs a few look-ups, whatever the size of the state.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// let before = store.pulse()?;
    /// assert_eq!(store.pulse()?.state, before.state);
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(3)))?;
    /// assert_ne!(store.pulse()?.state, before.state);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn pulse(&self) -> Result<Pulse> {
        let crash = self.crash()?.map(|crash| crash.session.id);
        let view = self.view()?;
        let (points, event, entry) = (view.stored().count(Table::Points)?, last_event(&view)?, last_entry(&view)?);
        Ok(Pulse {
            state: state(&view, [points, event, entry])?,
            timestamp: view.now(),
            tasks: view.queue().counts()?,
            bots: view.registry().count()?,
            points,
            latest: view.latest_brief_point()?,
            last_event: event,
            last_audit: entry,
            crash,
        })
    }
}

/// A hash of the stored digests, the open epoch and these numbers.
fn state(view: &View, numbers: [u64; 3]) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    for number in numbers.into_iter().chain([view.epochs().open.0]) {
        hash.update(&number.to_be_bytes());
    }
    for (collection, stats) in meta::all_stats(view)? {
        hash.update(&collection.0.to_be_bytes());
        hash.update(&stats.count.to_be_bytes());
        hash.update(&stats.digest.to_bytes());
    }
    Ok(hex(hash.finalize().as_bytes().get(..NAME).unwrap_or_default()))
}

fn last_event(view: &View) -> Result<u64> {
    Ok(view.events().list(Page::newest(1))?.first().map_or(0, |event| event.sequence))
}

fn last_entry(view: &View) -> Result<u64> {
    Ok(view.audit().list(Page::newest(1))?.first().map_or(0, |entry| entry.sequence))
}

#[cfg(test)]
mod tests {
    use crate::recovery::points::selector::Selector;
    use crate::state::audit::NewEntry;
    use crate::state::ids::BotId;
    use crate::state::queue::NewTask;
    use crate::state::registry::Bot;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn each_change_of_the_store_gives_its_state_another_name_and_a_heartbeat_does_not() {
        let hive = Fixture::new();
        let bot = BotId::new("BOT-1").unwrap();
        let mut seen = std::collections::BTreeSet::from([hive.store.pulse().unwrap().state]);
        let mut is_new = |what: &str| {
            let pulse = hive.store.pulse().unwrap();
            assert_eq!(pulse, hive.store.pulse().unwrap(), "{what}");
            seen.insert(pulse.state)
        };
        hive.write(|tx| tx.registry().put(&Bot::new(bot.clone())));
        assert!(is_new("a bot"));
        hive.write(|tx| tx.queue().enqueue(NewTask::new("work")));
        assert!(is_new("a task"));
        hive.write(|tx| tx.audit().append(NewEntry::new("deploy", "BOT-1")));
        assert!(is_new("an audit entry"));
        hive.store.restore_point("before").unwrap();
        assert!(is_new("a point"));
        hive.store.hold(Selector::Latest(0)).unwrap();
        assert!(is_new("a held point, by its event"));
        hive.store.heartbeat(&bot).unwrap();
        assert!(!is_new("a heartbeat"));
        let pulse = hive.store.pulse().unwrap();
        assert_eq!((pulse.tasks.ready, pulse.bots, pulse.points, pulse.last_audit), (1, 1, 1, 1));
        assert_eq!(pulse.latest.unwrap().description, "before");
    }
}
