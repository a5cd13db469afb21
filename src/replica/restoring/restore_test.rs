//! A copy is the source at a moment, or there is none.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::moment::ReplicaMoment;
use super::restore::RestoredCopy;
use crate::clock::Clock;
use crate::engine::feed::{LEAP, LEAP_SPREAD};
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::recovery::events::event::EventKind;
use crate::replica::bench_test::{Bench, Rows, Source, make, options, rows};
use crate::replica::checks::status::status;
use crate::replica::checks::verify::verify;
use crate::replica::connection::cipher::key_pair;
use crate::replica::following::follower::{Follower, FollowerStep};
use crate::replica::following::take_over::{TakeOverOptions, take_over};
use crate::replica::objects::layout::ObjectHash;
use crate::replica::terms::open::BegunFrom;
use crate::replica::terms::remote::ReplicaPosition;
use crate::replica::terms::rules::{Rule, break_rule};
use crate::replica::terms::write::Shipped;
use crate::state::ids::BotId;
use crate::state::queue::{ClaimOptions, NewTask, TaskState};

/// A moment of the source.
struct Moment {
    sequence: u64,
    time: Timestamp,
    rows: Rows,
}

/// Something that a fleet does.
#[derive(Clone, Copy, Debug)]
enum Op {
    Put(u8, u8),
    Remove(u8),
    Enqueue,
    Claim,
    Point,
    Forget,
    Ship,
    Base,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..5u8, any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        2 => (0..5u8).prop_map(Op::Remove),
        2 => Just(Op::Enqueue),
        1 => Just(Op::Claim),
        2 => Just(Op::Point),
        1 => Just(Op::Forget),
        6 => Just(Op::Ship),
        1 => Just(Op::Base),
        1 => Just(Op::Restart),
    ]
}

fn put(store: &Store, key: &str, value: u8) {
    store.write(|tx| tx.config().put(key, &json!(value))).unwrap();
}

fn do_op(bench: &mut Bench, op: Op) {
    let store = &bench.store;
    match op {
        Op::Put(key, value) => put(store, &format!("k{key}"), value),
        Op::Remove(key) => drop(store.write(|tx| tx.config().remove(&format!("k{key}"))).unwrap()),
        Op::Enqueue => drop(store.write(|tx| tx.queue().enqueue(NewTask::new(json!("work")))).unwrap()),
        Op::Claim => {
            let bot = BotId::new("ant").unwrap();
            store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).unwrap();
        }
        Op::Point => drop(store.restore_point("a point").unwrap()),
        Op::Forget => {
            if let Some(point) = store.all_points().unwrap().first() {
                store.forget_epochs(&[point.epoch]).unwrap();
            }
        }
        Op::Ship => drop(bench.ship()),
        Op::Base => {
            bench.ship();
            bench.make_base();
        }
        Op::Restart => {
            bench.ship();
            bench.release();
            bench.open_term(BegunFrom::Log);
        }
    }
}

/// Restores, and compares with the source at that moment.
fn restore(bench: &Bench, at: &ReplicaMoment) -> Result<(RestoredCopy, Rows)> {
    let path = bench.path("copy.redb");
    let restored = bench.run(bench.copier().restore(&path, at));
    let Ok(restored) = restored else {
        let left: Vec<_> = fs::read_dir(bench.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let is_copy =
            |name: &str| name.starts_with("copy") && !name.ends_with(".reserve") && !name.ends_with(".sessions");
        assert!(!left.iter().any(|name| is_copy(name.to_str().unwrap())), "{left:?}");
        return Err(restored.unwrap_err());
    };
    let copy = options(&bench.clock).open(&path).unwrap();
    let read = rows(&copy);
    assert!(copy.check().unwrap().is_sound());
    copy.close().unwrap();
    fs::remove_file(&path).unwrap();
    Ok((restored, read))
}

fn assert_is(bench: &Bench, at: &ReplicaMoment, moment: &Moment) {
    let (restored, rows) = restore(bench, at).unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_eq!(restored.position.sequence, moment.sequence, "{at}");
    assert!(rows == moment.rows, "{at}: other rows");
}

fn moment(bench: &Bench) -> Moment {
    let at = bench.source.at.unwrap();
    Moment { sequence: at.sequence, time: at.time, rows: rows(&bench.store) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 40, ..ProptestConfig::default() })]
    #[test]
    fn a_copy_of_any_moment_is_the_source_at_that_moment(ops in prop::collection::vec(op(), 1..30)) {
        let mut bench = Bench::new();
        let mut moments = vec![moment(&bench)];
        for op in ops {
            do_op(&mut bench, op);
            if matches!(op, Op::Ship | Op::Base | Op::Restart) {
                moments.push(moment(&bench));
            }
        }
        bench.ship();
        moments.push(moment(&bench));
        // The last one of several moments without a commit between them has the time.
        for (number, moment) in moments.iter().enumerate() {
            assert_is(&bench, &ReplicaMoment::Sequence(moment.sequence), moment);
            if moments.get(number + 1).is_some_and(|next| next.time > moment.time) {
                assert_is(&bench, &ReplicaMoment::Time(moment.time), moment);
                let between = moment.time.checked_add(Duration::from_millis(900)).unwrap();
                assert_is(&bench, &ReplicaMoment::Time(between), moment);
            }
        }
        assert_is(&bench, &ReplicaMoment::Newest, moments.last().unwrap());
        let verified = bench.run(verify(&bench.remote)).unwrap();
        prop_assert!(verified.is_sound(), "{:?}", verified.findings);
        prop_assert_eq!(verified.sequence.unwrap(), bench.source.at.unwrap().sequence);
    }
}

/// A store with some terms, bases and batches.
fn shipped() -> (Bench, Vec<Moment>) {
    let mut bench = Bench::with(None, |store| put(store, "first", 1));
    let mut moments = vec![moment(&bench)];
    for number in 0..3 {
        put(&bench.store, "a", number);
        put(&bench.store, &format!("b{number}"), number);
        bench.ship();
        moments.push(moment(&bench));
    }
    bench.make_base();
    bench.release();
    bench.open_term(BegunFrom::Log);
    for number in 3..5 {
        put(&bench.store, "a", number);
        bench.ship();
        moments.push(moment(&bench));
    }
    (bench, moments)
}

/// The refusal of a restore names the object that is wrong, unless the object only proves the end.
fn assert_names(error: &Error, name: &str) {
    let is_of_objects = matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NotFound | ErrorKind::Conflict);
    assert!(is_of_objects, "{name}: {error:?}");
    let is_named = error.to_string().contains(name);
    // Without the last objects of the newest term, the replica just ends earlier.
    assert!(is_named || error.kind() != ErrorKind::Damaged, "{name}: {error}");
}

#[test]
fn an_object_that_is_missing_or_flipped_is_named_and_never_gives_a_wrong_state() {
    let (bench, moments) = shipped();
    let newest = moments.last().unwrap();
    for name in bench.names() {
        let short = name.as_ref().strip_prefix("p/").unwrap().to_owned();
        let bytes = bench.take(&name);
        let (mut flipped, middle) = (bytes.clone(), bytes.len() / 2);
        flipped[middle] ^= 0x20;
        for wrong in [None, Some(flipped), Some(bytes[..bytes.len() - 1].to_vec())] {
            if let Some(wrong) = &wrong {
                bench.put(&name, wrong.clone());
            }
            if short == "store" {
                continue;
            }
            let is_last = short == "log/00000002/000000000002";
            match restore(&bench, &ReplicaMoment::Newest) {
                Ok((restored, rows)) => {
                    let is_newest = restored.position.sequence == newest.sequence && rows == newest.rows;
                    let before = &moments[moments.len() - 2];
                    let is_before = is_last && restored.position.sequence == before.sequence && rows == before.rows;
                    assert!(is_newest || is_before, "{short}: {}", restored.position.sequence);
                }
                Err(error) => assert_names(&error, &short),
            }
            for (moment, at) in [
                (&moments[1], ReplicaMoment::Sequence(moments[1].sequence)),
                (&moments[3], ReplicaMoment::Time(moments[3].time)),
            ] {
                match restore(&bench, &at) {
                    Ok((restored, rows)) => {
                        assert_eq!(restored.position.sequence, moment.sequence, "{short}");
                        assert!(rows == moment.rows, "{short}: {at}");
                    }
                    Err(error) => assert_names(&error, &short),
                }
            }
            // A verification names it, unless it is the last one and just not there.
            let found = bench.run(verify(&bench.copier().remote));
            match found {
                Ok(found) if is_last && wrong.is_none() => assert!(found.is_sound()),
                Ok(found) if short.starts_with("term/") => assert!(found.is_sound() || wrong.is_some()),
                Ok(found) if short.starts_with("base/") && wrong.is_none() && short.ends_with("manifest") => {
                    assert_eq!(found.bases, 1);
                }
                Ok(found) => {
                    assert!(found.findings.iter().any(|finding| finding.contains(&short)), "{short}: {found:?}")
                }
                Err(error) => assert_names(&error, &short),
            }
            bench.run(object_store::ObjectStoreExt::delete(&*bench.objects, &name)).unwrap_or_default();
        }
        bench.put(&name, bytes);
    }
}

#[test]
fn objects_that_were_swapped_or_are_of_another_history_are_refused() {
    let (bench, moments) = shipped();
    let names = bench.names();
    let at = |text: &str| names.iter().position(|name| name.as_ref() == format!("p/{text}")).unwrap();
    let (one, two) = (&names[at("log/00000001/000000000001")], &names[at("log/00000001/000000000002")]);
    let (first, second) = (bench.take(one), bench.take(two));
    bench.put(one, second.clone());
    bench.put(two, first.clone());
    let error = restore(&bench, &ReplicaMoment::Sequence(moments[1].sequence)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("log/00000001/000000000001"), "{error}");
}

#[test]
fn a_moment_behind_which_nothing_is_known_is_refused_with_the_newest_one() {
    let (bench, moments) = shipped();
    let newest = moments.last().unwrap();
    let later = newest.time.checked_add(Duration::from_secs(9)).unwrap();
    for at in
        [ReplicaMoment::Time(newest.time), ReplicaMoment::Time(later), ReplicaMoment::Sequence(newest.sequence + 1)]
    {
        let error = restore(&bench, &at).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{at}");
        let newest = crate::clock::show_time(newest.time);
        assert!(error.to_string().contains(&format!("newest={newest}")), "{error}");
    }
    let early = moments[0].time.checked_sub(Duration::from_secs(1)).unwrap();
    assert_eq!(restore(&bench, &ReplicaMoment::Time(early)).unwrap_err().kind(), ErrorKind::NotFound);
    let path = bench.path("there.redb");
    fs::write(&path, b"somebody's").unwrap();
    assert_eq!(
        bench.run(bench.copier().restore(&path, &ReplicaMoment::Newest)).unwrap_err().kind(),
        ErrorKind::Conflict
    );
}

#[test]
fn a_restore_ends_behind_the_commit_that_made_a_point() {
    let mut bench = Bench::new();
    let mut points = Vec::new();
    for number in 0..4 {
        put(&bench.store, "a", number);
        let point = bench.store.restore_point("a point").unwrap();
        let made = rows(&bench.store);
        put(&bench.store, "a", number + 100);
        if number != 1 {
            bench.ship();
        }
        if number == 2 {
            bench.make_base();
        }
        points.push((point, made));
    }
    bench.ship();
    for (point, made) in &points {
        for at in [ReplicaMoment::Point(point.id.to_string()), ReplicaMoment::Epoch(point.epoch.0)] {
            let (_, rows) = restore(&bench, &at).unwrap();
            assert!(rows == *made, "{at}");
        }
    }
    let never = "01900000-0000-7000-8000-000000000000";
    for at in [ReplicaMoment::Point(never.into()), ReplicaMoment::Epoch(1 << 40)] {
        assert_eq!(restore(&bench, &at).unwrap_err().kind(), ErrorKind::NotFound);
    }
    // A part of an id is no reason to search every base.
    for id in [&points[0].0.id.to_string()[..8], "none", ""] {
        assert_eq!(restore(&bench, &ReplicaMoment::Point(id.into())).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn a_point_that_was_not_found_is_told_although_an_older_base_or_the_log_behind_it_is_damaged() {
    let mut bench = Bench::new();
    for number in 0..4 {
        put(&bench.store, "a", number);
        bench.ship();
        bench.make_base();
        put(&bench.store, "b", number);
        bench.ship();
    }
    let newest = bench.source.at.unwrap().sequence;
    let names = bench.names();
    let of = |part: &str| names.iter().filter(|name| name.as_ref().contains(part)).cloned().collect::<Vec<_>>();
    let (bases, log) = (of("part-00000"), of("p/log/00000001/"));
    // That of the newest base, those of older ones, and objects of the log before and behind the newest base.
    let (wrong, all) = ([&bases[4], &bases[2], &bases[0], &log[5]], ReplicaMoment::Epoch(1 << 40));
    for name in wrong {
        let bytes = bench.take(name);
        let error = restore(&bench, &all).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{name}: {error}");
        assert!(error.to_string().contains(&format!("sequence={newest}")), "{name}: {error}");
        bench.put(name, bytes);
    }
}

#[test]
fn a_later_moment_than_the_newest_commit_is_not_the_newest_state() {
    let mut bench = Bench::new();
    put(&bench.store, "a", 1);
    let shipped = bench.ship();
    bench.clock.advance(Duration::from_secs(1));
    // This commit was made before the moment, and is not in the replica.
    put(&bench.store, "a", 2);
    bench.clock.advance(Duration::from_secs(1));
    let at = ReplicaMoment::Time(bench.clock.now());
    assert_eq!(restore(&bench, &at).unwrap_err().kind(), ErrorKind::Conflict);
    break_rule(Some(Rule::MomentWithoutALaterCommit));
    let restored = restore(&bench, &at);
    break_rule(None);
    let (copy, copied) = restored.unwrap();
    assert!(copy.position.sequence == shipped && copied != rows(&bench.store), "nothing was left out");
}

#[test]
fn a_point_that_was_forgotten_is_restored_from_a_base_that_is_older_than_that() {
    let mut bench = Bench::new();
    let mut points = Vec::new();
    for number in 0..4 {
        put(&bench.store, "a", number);
        let point = bench.store.restore_point("a point").unwrap();
        points.push((point, rows(&bench.store)));
        bench.ship();
        bench.make_base();
    }
    let (first, made) = &points[0];
    bench.store.forget_epochs(&[first.epoch]).unwrap();
    for number in 4..6 {
        put(&bench.store, "a", number);
        bench.ship();
        bench.make_base();
        if number == 4 {
            bench.release();
            bench.open_term(BegunFrom::Log);
        }
    }
    for at in [ReplicaMoment::Point(first.id.to_string()), ReplicaMoment::Epoch(first.epoch.0)] {
        let (_, rows) = restore(&bench, &at).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(rows == *made, "{at}");
    }
    let (never, newest) = (ReplicaMoment::Epoch(1 << 40), bench.source.at.unwrap().sequence);
    let error = restore(&bench, &never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&format!("sequence={newest}")), "{error}");
}

#[test]
fn a_base_whose_gap_was_never_written_leads_on_behind_a_take_over() {
    let mut bench = Bench::new();
    put(&bench.store, "a", 1);
    bench.ship();
    let before = moment(&bench);
    put(&bench.store, "a", 2);
    let lost = bench.store.feed_status().unwrap().unwrap().sequence;
    put(&bench.store, "a", 3);
    // The process dies between the base of the gap and the gap.
    bench.clock.advance(Duration::from_secs(1));
    let (dump, at) = (bench.store.dump().unwrap(), bench.source.at.unwrap());
    let (sequence, states) = (dump.sequence(), ObjectHash(dump.states().digest()));
    let behind = ReplicaPosition { sequence, states, ..at };
    bench.run(make(&*bench.remote, dump, &behind)).unwrap();
    let verified = bench.run(verify(&bench.copier().remote)).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.findings);

    let path = bench.path("new.redb");
    let copy = standby(&bench, &path);
    assert_eq!(bench.run(copy.promote(&taken(false))).unwrap().sequence, sequence);
    bench.store.close().unwrap();
    bench.store = options(&bench.clock).open(&path).unwrap();
    bench.source = Source::shipped(&bench.store);
    bench.open_term(BegunFrom::Log);
    put(&bench.store, "b", 1);
    bench.ship();
    let verified = bench.run(verify(&bench.copier().remote)).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.findings);
    assert_is(&bench, &ReplicaMoment::Newest, &moment(&bench));
    assert_is(&bench, &ReplicaMoment::Time(before.time), &before);
    assert_is(&bench, &ReplicaMoment::Sequence(before.sequence), &before);
    let error = restore(&bench, &ReplicaMoment::Sequence(lost)).unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.to_string().contains("out of reach"), "{error}");
    // Without that base the log does not go on.
    let manifest = bench.names().into_iter().rfind(|name| name.as_ref().ends_with("manifest")).unwrap();
    bench.take(&manifest);
    assert_eq!(restore(&bench, &ReplicaMoment::Newest).unwrap_err().kind(), ErrorKind::Damaged);
    assert!(!bench.run(verify(&bench.copier().remote)).unwrap().is_sound());
}

#[test]
fn moments_within_a_gap_are_refused_with_the_nearest_ones() {
    let mut bench = Bench::new();
    put(&bench.store, "a", 1);
    bench.ship();
    let before = moment(&bench);
    put(&bench.store, "a", 2);
    put(&bench.store, "a", 3);
    bench.gap();
    let after = moment(&bench);
    put(&bench.store, "a", 4);
    bench.ship();
    let newest = moment(&bench);
    assert_is(&bench, &ReplicaMoment::Time(before.time), &before);
    assert_is(&bench, &ReplicaMoment::Sequence(before.sequence), &before);
    assert_is(&bench, &ReplicaMoment::Sequence(after.sequence), &after);
    assert_is(&bench, &ReplicaMoment::Time(after.time), &after);
    assert_is(&bench, &ReplicaMoment::Newest, &newest);
    let within = before.time.checked_add(Duration::from_millis(500)).unwrap();
    for at in [ReplicaMoment::Sequence(after.sequence - 1), ReplicaMoment::Time(within)] {
        let error = restore(&bench, &at).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{at}: {error}");
        let (before, after) = (crate::clock::show_time(before.time), crate::clock::show_time(after.time));
        assert!(error.to_string().contains(&format!("before={before} after={after}")), "{error}");
    }
    let verified = bench.run(verify(&bench.remote)).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.findings);
    assert_eq!(verified.sequence, bench.source.at.map(|at| at.sequence));
}

#[test]
fn an_encrypted_replica_is_read_with_its_key_alone() {
    let (recipients, identities) = key_pair();
    let mut bench = Bench::with(Some((recipients, identities)), |store| put(store, "secret", 7));
    put(&bench.store, "a", 1);
    bench.ship();
    bench.make_base();
    bench.open_term(BegunFrom::Log);
    put(&bench.store, "a", 2);
    bench.ship();
    assert_is(&bench, &ReplicaMoment::Newest, &moment(&bench));
    assert!(bench.run(verify(&bench.copier().remote)).unwrap().is_sound());
    for stranger in [None, Some(key_pair().1)] {
        bench.identities = stranger;
        let error = restore(&bench, &ReplicaMoment::Newest).unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Invalid, Some(&Hint::GiveIdentity)));
    }
}

fn standby(bench: &Bench, path: &Path) -> Follower {
    bench.run(Follower::open(bench.copier(), path, options(&bench.clock))).unwrap()
}

#[test]
fn a_standby_follows_over_terms_and_goes_on_after_a_kill_at_any_step() {
    let mut bench = Bench::new();
    put(&bench.store, "a", 0);
    bench.ship();
    let path = bench.path("standby.redb");
    let mut copy = standby(&bench, &path);
    for number in 1..12_u8 {
        put(&bench.store, "a", number);
        put(&bench.store, &format!("b{number}"), number);
        if number % 4 == 0 {
            bench.ship();
            bench.release();
            // Nobody has opened the next term yet.
            assert!(matches!(bench.run(copy.step()).unwrap(), FollowerStep::Moved(_)));
            assert_eq!(bench.run(copy.step()).unwrap(), FollowerStep::Nothing);
            bench.open_term(BegunFrom::Log);
        } else {
            bench.ship();
        }
        // The file as a kill leaves it before this step.
        let killed = bench.path(&format!("killed{number}.redb"));
        fs::copy(&path, &killed).unwrap();
        let FollowerStep::Moved(position) = bench.run(copy.step()).unwrap() else { panic!("it did not go on") };
        assert_eq!(position.at(), bench.source.at.unwrap());
        assert!(rows(copy.store().unwrap()) == rows(&bench.store));
        assert_eq!(bench.run(copy.step()).unwrap(), FollowerStep::Nothing);
        let error = copy.store().unwrap().write(|tx| tx.config().put("a", &json!(9))).unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Conflict, Some(&Hint::TakeOver)));
    }
    assert!(copy.store().unwrap().check().unwrap().is_sound());
    copy.close().unwrap();
    for number in 1..12_u8 {
        let mut killed = standby(&bench, &bench.path(&format!("killed{number}.redb")));
        bench.run(killed.step()).unwrap();
        assert_eq!(killed.position().unwrap().at(), bench.source.at.unwrap());
        assert!(rows(killed.store().unwrap()) == rows(&bench.store));
        killed.close().unwrap();
    }
    // A standby has no session of its own, and no other process gives it one.
    let opened = options(&bench.clock).open(&path).unwrap();
    assert!(opened.session().is_none() && opened.is_standby());
    assert!(rows(&opened) == rows(&bench.store));
    opened.upkeep().unwrap_err();
}

#[test]
fn a_standby_that_is_apart_is_made_anew_and_one_with_a_damaged_object_before_it_stays() {
    let mut bench = Bench::new();
    put(&bench.store, "a", 0);
    bench.ship();
    let early = moment(&bench);
    put(&bench.store, "a", 1);
    bench.ship();
    let path = bench.path("standby.redb");
    let mut copy = standby(&bench, &path);
    // A restore to the earlier moment moves the production to a copy.
    let restored = bench.path("restored.redb");
    bench.run(bench.copier().restore(&restored, &ReplicaMoment::Sequence(early.sequence))).unwrap();
    take_over(&restored, options(&bench.clock), &taken(false)).unwrap();
    bench.store.close().unwrap();
    bench.store = options(&bench.clock).open(&restored).unwrap();
    bench.source = Source::shipped(&bench.store);
    assert_eq!(bench.source.at.unwrap().sequence, early.sequence);
    bench.open_term(BegunFrom::Restore);
    // The commit of the take-over is the first one.
    put(&bench.store, "b", 2);
    assert!(bench.ship() > early.sequence + (1 << 32));
    let FollowerStep::Anew(position) = bench.run(copy.step()).unwrap() else { panic!("it went on") };
    assert_eq!(position.at(), bench.source.at.unwrap());
    assert!(rows(copy.store().unwrap()) == rows(&bench.store));
    assert_is(&bench, &ReplicaMoment::Newest, &moment(&bench));
    // Commits that were given up are no part of the history.
    assert_is(&bench, &ReplicaMoment::Sequence(early.sequence + 1), &early);
    put(&bench.store, "b", 3);
    bench.ship();
    let name = bench.names().into_iter().rfind(|name| name.as_ref().starts_with("p/log/")).unwrap();
    let bytes = bench.take(&name);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    bench.put(&name, flipped);
    let before = rows(copy.store().unwrap());
    assert_eq!(bench.run(copy.step()).unwrap_err().kind(), ErrorKind::Damaged);
    assert!(rows(copy.store().unwrap()) == before);
    bench.run(object_store::ObjectStoreExt::delete(&*bench.objects, &name)).unwrap();
    bench.put(&name, bytes);
    assert!(matches!(bench.run(copy.step()).unwrap(), FollowerStep::Moved(_)));
    assert!(rows(copy.store().unwrap()) == rows(&bench.store));
}

fn taken(as_other_store: bool) -> TakeOverOptions {
    TakeOverOptions { as_other_store, actor: Some("operator".into()), ..TakeOverOptions::default() }
}

#[test]
fn a_standby_that_is_promoted_has_everything_and_the_former_writer_is_fenced() {
    let mut bench = Bench::new();
    put(&bench.store, "a", 0);
    bench.ship();
    let path = bench.path("standby.redb");
    let copy = standby(&bench, &path);
    // The standby has not seen these yet.
    put(&bench.store, "a", 1);
    bench.ship();
    put(&bench.store, "a", 2);
    let newest = bench.ship();
    let shipped = rows(&bench.store);
    put(&bench.store, "a", 3);
    let done = bench.run(copy.promote(&taken(false))).unwrap();
    assert_eq!(done.sequence, newest);
    let fenced = bench.try_ship();
    assert_eq!(fenced, Shipped::Fenced);
    let store = options(&bench.clock).open(&path).unwrap();
    assert_eq!(store.view().unwrap().config().get("a").unwrap(), Some(json!(2)));
    let config = |rows: &Rows| {
        rows.iter().filter(|((table, key), _)| *table == Table::Live && key.starts_with(&[0, 0, 0, 5])).count()
    };
    assert_eq!(config(&rows(&store)), config(&shipped));
    // It goes on in a term of its own, and a restore has its commits.
    bench.store.close().unwrap();
    bench.source = Source::shipped(&store);
    bench.store = store;
    bench.open_term(BegunFrom::Log);
    put(&bench.store, "a", 4);
    bench.ship();
    assert_is(&bench, &ReplicaMoment::Newest, &moment(&bench));
    assert!(bench.run(verify(&bench.copier().remote)).unwrap().is_sound());
}

#[test]
fn a_copy_that_is_taken_over_has_no_claims_and_other_numbers() {
    for keep_claims in [false, true] {
        let mut bench = Bench::new();
        let bot = BotId::new("ant").unwrap();
        let task = bench.store.write(|tx| tx.queue().enqueue(NewTask::new(json!("work")))).unwrap().id;
        let claim = bench.store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).unwrap().remove(0);
        bench.ship();
        let path = bench.path("copy.redb");
        let restored = bench.run(bench.copier().restore(&path, &ReplicaMoment::Newest)).unwrap();
        let how = TakeOverOptions { keep_claims, ..taken(true) };
        let taken = take_over(&path, options(&bench.clock), &how).unwrap();
        assert_eq!((taken.sequence, taken.claims_returned), (restored.position.sequence, u64::from(!keep_claims)));
        let again = take_over(&path, options(&bench.clock), &how);
        assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
        let store = options(&bench.clock).open(&path).unwrap();
        assert!(!store.is_standby() && store.session().is_some());
        let state = store.view().unwrap().queue().get(&task).unwrap().unwrap().state;
        assert_eq!(state, if keep_claims { TaskState::Claimed } else { TaskState::Ready });
        let done = store.write(|tx| tx.queue().complete(&task, claim.token, json!("done")));
        assert_eq!(done.is_ok(), keep_claims);
        if !keep_claims {
            let next = store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).unwrap().remove(0);
            assert!(next.token.0 > 1 << 32);
        }
        let events = store.view().unwrap().events().list(crate::state::page::Page::newest(10)).unwrap();
        let event = events.iter().find(|event| event.kind == EventKind::TakenOver).unwrap();
        assert_eq!(event.actor.as_deref(), Some("operator"));
        assert!(events.iter().all(|event| event.kind != EventKind::CrashDetected), "{events:?}");
        let trail = store.view().unwrap().audit().list(crate::state::page::Page::newest(10)).unwrap();
        assert_eq!(trail.iter().filter(|entry| entry.action == "take_over").count(), 1);
        assert!(store.check().unwrap().is_sound());
    }
}

#[test]
fn the_rest_of_a_damaged_copy_is_a_store_of_its_own() {
    let mut bench = Bench::new();
    put(&bench.store, "a", 1);
    bench.ship();
    let (path, repaired) = (bench.path("copy.redb"), bench.path("repaired.redb"));
    bench.run(bench.copier().restore(&path, &ReplicaMoment::Newest)).unwrap();
    let report = Store::plan_repair(&path, &repaired).unwrap().apply().unwrap();
    assert!(report.notes.iter().any(|note| note.contains("a store of its own")), "{:?}", report.notes);
    let store = options(&bench.clock).open(&repaired).unwrap();
    put(&store, "a", 2);
    assert!(!store.is_standby() && store.check().unwrap().is_sound());
    assert_eq!(take_over(&repaired, options(&bench.clock), &taken(true)).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn the_status_says_what_can_be_restored() {
    let (mut bench, moments) = shipped();
    let newest = moments.last().unwrap();
    let found = bench.run(status(&bench.copier().remote)).unwrap();
    let term = found.term.as_ref().unwrap();
    assert_eq!((term.number, term.is_sealed, term.machine.is_some()), (2, false, true));
    let at = found.newest.clone().unwrap();
    assert_eq!((at.sequence, at.time), (newest.sequence, newest.time));
    assert_eq!(
        found.bases.iter().map(|base| base.sequence).collect::<Vec<_>>(),
        [moments[3].sequence, moments[0].sequence]
    );
    assert_eq!((found.restorable_from(), found.findings.len()), (Some(moments[0].time), 0));
    bench.release();
    let found = bench.run(status(&bench.copier().remote)).unwrap();
    assert!(found.term.unwrap().is_sealed);
    assert_eq!(found.newest.unwrap().sequence, newest.sequence);
    bench.open_term(BegunFrom::Log);
    let found = bench.run(status(&bench.copier().remote)).unwrap();
    assert_eq!((found.term.unwrap().number, found.newest.unwrap().sequence), (3, newest.sequence));
    assert!(bench.clock.now() >= newest.time);
}

#[test]
fn two_machines_never_give_out_the_same_number_although_none_was_given_out_before() {
    let mut bench = Bench::new();
    bench.ship();
    let path = bench.path("copy.redb");
    bench.run(bench.copier().restore(&path, &ReplicaMoment::Newest)).unwrap();
    take_over(&path, options(&bench.clock), &taken(false)).unwrap();
    let other = options(&bench.clock).open(&path).unwrap();
    let [own, others] = [&bench.store, &other].map(first_numbers);
    let (first, _, _) = others;
    assert_eq!((own, others), ((1, 1, 1), (first, first, first)));
    assert!((LEAP..LEAP + LEAP_SPREAD).contains(&(first - 1)), "{first}");
}

/// The next numbers that a store gives out.
fn first_numbers(store: &Store) -> (u64, u64, u64) {
    let bot = BotId::new("ant").unwrap();
    let task = store.write(|tx| tx.queue().enqueue(NewTask::new(json!("work")))).unwrap();
    let claim = store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).unwrap().remove(0);
    let message = store.write(|tx| tx.chat().append(crate::NewMessage::new("c", "user", "hello"))).unwrap();
    (task.sequence, claim.token.0, message)
}

#[test]
fn a_token_of_one_take_over_ends_no_claim_of_another_from_the_same_state() {
    let mut bench = Bench::new();
    let task = bench.store.write(|tx| tx.queue().enqueue(NewTask::new(json!("work")))).unwrap().id;
    bench.ship();
    let claims = ["one.redb", "two.redb"].map(|name| {
        let path = bench.path(name);
        bench.run(bench.copier().restore(&path, &ReplicaMoment::Newest)).unwrap();
        take_over(&path, options(&bench.clock), &taken(true)).unwrap();
        let store = options(&bench.clock).open(&path).unwrap();
        let bot = BotId::new("ant").unwrap();
        let claim = store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).unwrap().remove(0);
        (store, claim.token)
    });
    let [(one, of_one), (_, of_two)] = &claims;
    let refused = one.write(|tx| tx.queue().complete(&task, *of_two, json!("of the other"))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    one.write(|tx| tx.queue().complete(&task, *of_one, json!("done"))).unwrap();
}

#[test]
fn a_time_behind_which_a_clock_was_ahead_is_refused_and_the_commits_are_restored_by_their_numbers() {
    let mut bench = Bench::new();
    put(&bench.store, "a", 1);
    bench.ship();
    let honest = moment(&bench);
    put(&bench.store, "a", 2);
    bench.ship();
    let (before, right) = (moment(&bench), bench.clock.now());
    bench.clock.advance(Duration::from_secs(48 * 60 * 60));
    put(&bench.store, "a", 3);
    bench.ship();
    bench.clock.set(right);
    let mut later = Vec::new();
    for number in 4..6 {
        put(&bench.store, "a", number);
        bench.ship();
        bench.make_base();
        later.push(moment(&bench));
    }
    let between = ReplicaMoment::Time(bench.clock.now());
    put(&bench.store, "a", 6);
    let newest = bench.ship();
    let refused = restore(&bench, &between).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let (sequence, next) = (later[1].sequence, format!("next={newest} "));
    assert!(refused.to_string().contains(&format!("sequence={sequence} {next}")), "{refused}");
    assert!(restore(&bench, &ReplicaMoment::Time(right)).is_err());
    assert_is(&bench, &ReplicaMoment::Time(honest.time), &honest);
    assert_is(&bench, &ReplicaMoment::Sequence(before.sequence), &before);
    later.iter().for_each(|moment| assert_is(&bench, &ReplicaMoment::Sequence(moment.sequence), moment));
    // Once the time has come, nobody can tell any more. Another machine may be ahead by a little.
    let mut bench = Bench::new();
    put(&bench.store, "a", 1);
    bench.ship();
    let honest = moment(&bench);
    bench.clock.advance(Duration::from_secs(20));
    put(&bench.store, "a", 2);
    bench.ship();
    bench.clock.set(honest.time);
    assert_is(&bench, &ReplicaMoment::Time(honest.time), &honest);
}

#[test]
fn a_time_that_a_base_has_of_a_clock_that_was_set_back_is_refused() {
    [false, true].into_iter().for_each(refuses_a_time_that_came_twice);
}

fn refuses_a_time_that_came_twice(is_new_term: bool) {
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let mut bench = Bench::new();
    bench.clock.advance(3 * HOUR);
    put(&bench.store, "a", 1);
    bench.ship();
    let (early, right) = (moment(&bench), bench.clock.now());
    bench.clock.advance(HOUR);
    put(&bench.store, "a", 2);
    bench.ship();
    // Two hours back, so before the first commit; perhaps by a process that begins then.
    bench.clock.set(right - HOUR);
    if is_new_term {
        bench.release();
        bench.open_term(BegunFrom::Log);
    }
    bench.make_base();
    let based = moment(&bench);
    bench.clock.set(right + 2 * HOUR);
    put(&bench.store, "a", 3);
    bench.ship();
    let last = moment(&bench);
    for at in [right, right + HOUR - SECOND] {
        let refused = restore(&bench, &ReplicaMoment::Time(at)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("set back"), "{refused}");
        assert!(refused.to_string().contains(&format!("sequence={}", based.sequence)), "{refused}");
    }
    assert_is(&bench, &ReplicaMoment::Time(right + HOUR + SECOND), &based);
    for moment in [&early, &based, &last] {
        assert_is(&bench, &ReplicaMoment::Sequence(moment.sequence), moment);
    }
}
