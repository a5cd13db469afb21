//! The replica: whether it is up to date, and whether a restore would work.

use std::time::Duration;

use crate::duration;
use crate::engine::store::Store;
use crate::text::in_shell;
use crate::transfer::doctor::line::DiagnosisLine;
use crate::transfer::replica_state::{LATE, ReplicaShipping, ReplicaState};

/// The longest time between two verifications, of which there is one a day, and between two drills.
const VERIFY_EVERY: Duration = Duration::from_secs(3 * 24 * 60 * 60);
const DRILL_EVERY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The state of the replica.
pub(super) fn replica(store: &Store, state: &ReplicaState) -> DiagnosisLine {
    let (topic, now) = ("replica", store.clock().now());
    let (words, watch) = (state.in_words(now), &state.watch);
    let is_old = |at, most| duration::since(at, now) > most;
    if let Some(copy) = &state.copy {
        let location = argument(&watch.location);
        let advice = format!("let it follow: hivekeep replica standby {location} --to FILE; or let it write: promote");
        return match copy.is_followed {
            true => DiagnosisLine::ok(topic, words),
            false => DiagnosisLine::warn(topic, words, advice),
        };
    }
    if state.overtaken.is_some() {
        let advice =
            "keep this file, and restore the replica into a new one; or take it back: hivekeep replica take-over FILE";
        return DiagnosisLine::bad(topic, words, advice);
    }
    if state.shipping.as_ref().is_some_and(|shipping| shipping.fenced) {
        return DiagnosisLine::bad(topic, words, "keep this file, and restore the replica into a new one");
    }
    if watch.trouble().is_some() {
        let advice = "see everything that is wrong: hivekeep replica verify LOCATION; then replica init at another one";
        return DiagnosisLine::bad(topic, words, advice);
    }
    if state.is_left_alone() {
        let advice = format!("ship it: hivekeep serve --replica {}", argument(&watch.location));
        return DiagnosisLine::warn(topic, words, advice);
    }
    let advice = match (&state.shipping, &watch.verified, &watch.drill) {
        (Some(ReplicaShipping { error: Some(_), .. }), ..) => "solve what it names; the service tries again",
        (Some(ReplicaShipping { base_error: Some(_), .. }), ..) => {
            "find what is damaged: hivekeep check; and heal it: hivekeep check --heal LOCATION"
        }
        (Some(ReplicaShipping { collection_overdue: true, .. }), ..) => {
            "let the service run for twelve hours in a row, or remove the replica and begin another one"
        }
        (Some(_), ..) if state.behind().is_none_or(|behind| behind > LATE) => "the log of the service says why",
        (Some(_), Some(last), _) if is_old(last.at, VERIFY_EVERY) => "verify it: hivekeep replica verify LOCATION",
        (Some(_), _, Some(last)) if is_old(last.at, DRILL_EVERY) => {
            "rehearse a restore: hivekeep replica drill LOCATION"
        }
        _ if watch.drill_skipped.is_some() => "rehearse it elsewhere: hivekeep replica drill LOCATION --scratch DIR",
        _ => return DiagnosisLine::ok(topic, words),
    };
    DiagnosisLine::warn(topic, words, advice)
}

/// The location as an argument of a command; its name where it is not known.
fn argument(location: &str) -> String {
    if location.is_empty() { "LOCATION".to_owned() } else { in_shell(location).into_owned() }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::recovery::check::last_replica::{LastReplicaCheck, ReplicaWatch};
    use crate::testkit::checked_store::Fixture;
    use crate::transfer::doctor::Condition;
    use crate::transfer::replica_state::{ReplicaCopy, ReplicaOvertaken, ReplicaWaiting};

    fn condition(hive: &Fixture, state: &ReplicaState) -> Condition {
        replica(&hive.store, state).verdict
    }

    #[test]
    fn a_late_replica_is_a_risk_and_a_damaged_one_is_damage() {
        let hive = Fixture::new();
        let now: Timestamp = hive.store.clock().now();
        let shipping = |behind_ms, error: Option<&str>, fenced| ReplicaShipping {
            term: Some(1),
            sequence: 1,
            complete_at: Some(now),
            behind_ms,
            kept_bytes: 0,
            read_back_at: None,
            lease_ms: None,
            lease_left_ms: None,
            fenced,
            error: error.map(str::to_owned),
            base_error: None,
            collection_overdue: false,
        };
        let state = |shipping| ReplicaState {
            watch: ReplicaWatch::default(),
            shipping: Some(shipping),
            waiting: None,
            overtaken: None,
            copy: None,
        };
        assert_eq!(condition(&hive, &state(shipping(Some(1_000), None, false))), Condition::Ok);
        for late in [
            shipping(Some(61_000), None, false),
            shipping(None, None, false),
            shipping(Some(1_000), Some("away"), false),
            ReplicaShipping { collection_overdue: true, ..shipping(Some(1_000), None, false) },
            ReplicaShipping { base_error: Some("rot".into()), ..shipping(Some(1_000), None, false) },
        ] {
            assert_eq!(condition(&hive, &state(late)), Condition::Warn);
        }
        assert_eq!(condition(&hive, &state(shipping(Some(1_000), None, true))), Condition::Bad);
        let waiting = |is_shipped| Some(ReplicaWaiting { shipped: 1, shipped_at: None, kept_bytes: 100, is_shipped });
        let unshipped = |waiting| ReplicaState { shipping: None, waiting, ..state(shipping(None, None, false)) };
        let alone = unshipped(waiting(false));
        assert_eq!(condition(&hive, &alone), Condition::Warn);
        let watch = ReplicaWatch { location: "s3://b/p?region=r".into(), ..ReplicaWatch::default() };
        for (alone, advice) in [
            (ReplicaState { watch, ..alone.clone() }, "ship it: hivekeep serve --replica 's3://b/p?region=r'"),
            (alone, "ship it: hivekeep serve --replica LOCATION"),
        ] {
            let line = replica(&hive.store, &alone);
            assert_eq!(line.advice.as_deref(), Some(advice));
        }
        assert_eq!(condition(&hive, &unshipped(waiting(true))), Condition::Ok);
        let locked = Some(ReplicaOvertaken { by_term: None, at: now });
        let locked = ReplicaState { overtaken: locked, ..unshipped(None) };
        assert_eq!(condition(&hive, &locked), Condition::Bad);
        let well = || state(shipping(Some(1_000), None, false));
        let at = crate::clock::before(now, VERIFY_EVERY + LATE);
        let verified = Some(LastReplicaCheck { at, restorable_from: at, objects: 1, read: 1 });
        let old = ReplicaState { watch: ReplicaWatch { verified, ..ReplicaWatch::default() }, ..well() };
        assert_eq!(condition(&hive, &old), Condition::Warn);
        for (is_followed, expected) in [(true, Condition::Ok), (false, Condition::Warn)] {
            let copy = Some(ReplicaCopy { sequence: None, time: None, is_followed });
            assert_eq!(condition(&hive, &ReplicaState { copy, ..well() }), expected);
        }
        let why = || Some("why".to_owned());
        let skipped = ReplicaWatch { drill_skipped: why(), ..ReplicaWatch::default() };
        assert_eq!(condition(&hive, &ReplicaState { watch: skipped, ..well() }), Condition::Warn);
        for watch in [
            ReplicaWatch { finding: why(), ..ReplicaWatch::default() },
            ReplicaWatch { drill_error: why(), ..ReplicaWatch::default() },
        ] {
            assert_eq!(condition(&hive, &ReplicaState { watch, ..well() }), Condition::Bad);
        }
    }

    #[test]
    fn of_a_store_that_was_overtaken_nothing_is_said_that_only_its_writer_can_mend() {
        let hive = Fixture::new();
        let topics = || {
            let lines = hive.store.diagnose(&crate::DiagnosisOptions::default()).unwrap().lines;
            lines.into_iter().map(|line| line.topic.into_owned()).collect::<Vec<_>>()
        };
        assert!(["backup", "sessions", "schedules"].iter().all(|topic| topics().iter().any(|own| own == topic)));
        hive.store.begin_feed(0).unwrap();
        let fence = crate::engine::feed::Fence { replica: "there".into(), by_term: None, at: hive.store.clock().now() };
        hive.store.fence(&fence).unwrap();
        assert_eq!(topics(), ["verified", "replica", "points", "space", "readers", "log", "sharing", "keys"]);
    }
}
