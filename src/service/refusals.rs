//! Requests that were refused, gathered to one audit entry a second for each actor, so that
//! nobody can fill the audit trail; and wrong keys, as events.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::json;

use crate::actor::Actor;
use crate::engine::store::Store;
use crate::recovery::events::event::EventKind;
use crate::state::audit::Refusal;

/// This many actors have an entry of their own in a second. The others share one.
const ACTORS: usize = 64;
/// The name of the others.
const OTHERS: &str = "others";

/// Refused requests that are not written yet, by actor and address. The threads that answer requests add to them.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<(String, String), Refusal>>);

impl Refusals {
    /// Adds a request. Returns whether the caller must write all of them in a second.
    pub(crate) fn add(&self, actor: Actor, target: String, result: String) -> bool {
        let mut gathered = self.0.lock();
        let is_first = gathered.is_empty();
        let key = (actor.name().to_owned(), actor.address_text().unwrap_or_default().to_owned());
        let (key, actor) = match gathered.len() < ACTORS || gathered.contains_key(&key) {
            true => (key, actor),
            false => ((OTHERS.to_owned(), String::new()), Actor::new(OTHERS)),
        };
        gathered.entry(key).or_insert(Refusal { actor, target, result, count: 0 }).count += 1;
        is_first
    }

    /// Writes them. A failure is logged, and they are dropped: the next ones must not wait for a full disk. Those of a
    /// store that nobody writes to are in the log alone.
    pub(crate) fn write(&self, store: &Store) {
        let gathered: Vec<_> = std::mem::take(&mut *self.0.lock()).into_values().collect();
        if store.is_only_read() {
            gathered.iter().for_each(tell);
        } else if !gathered.is_empty()
            && let Err(error) = store.record_refusals(gathered)
        {
            tracing::warn!(%error, "refused requests could not be written into the audit trail");
        }
    }
}

/// Appends the event of a client that has shown so many wrong keys for one name. A failure is logged: no request waits
/// for it.
pub(crate) fn note_wrong_keys(store: &Store, address: Option<&str>, key: Option<&str>, count: u32) {
    tracing::warn!(address, key, count, "wrong keys were shown");
    let details = json!({"address": address, "key": key, "count": count});
    if let Err(error) = store.write(|tx| tx.events().append(EventKind::KeysRefused, details)) {
        tracing::warn!(%error, "the event of wrong keys could not be written");
    }
}

fn tell(Refusal { actor, target, result, count }: &Refusal) {
    tracing::warn!(actor = actor.name(), target, result, count, "requests were refused");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::page::Page;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn refusals_of_a_second_are_one_entry_for_each_actor_and_a_crowd_shares_one() {
        let hive = Fixture::new();
        let refusals = Refusals::default();
        let mut told = 0;
        for number in 0..1_000 {
            let actor = Actor::new("unknown").address(format!("10.0.0.{}", number % 200));
            told += usize::from(refusals.add(actor, "GET /api/config".into(), "401".into()));
        }
        assert_eq!(told, 1);
        refusals.write(&hive.store);
        refusals.write(&hive.store);
        let entries = hive.view().audit().list(Page::oldest(1_000)).unwrap();
        assert_eq!(entries.len(), ACTORS + 1);
        assert_eq!(entries.iter().map(|entry| entry.details["count"].as_u64().unwrap()).sum::<u64>(), 1_000);
        assert_eq!(entries.iter().filter(|entry| entry.actor == OTHERS).count(), 1);
    }
}
