//! Points that contain less than others: some documents only, or the rest that a repair left.

use std::time::Duration;

use serde_json::json;

use crate::engine::commit::Outcome;
use crate::engine::point::Lost;
use crate::engine::schema::CollectionId;
use crate::error::Hint;
use crate::recovery::backups::Kind;
use crate::recovery::diff_page::DiffFilter;
use crate::recovery::points::make::PointRequest;
use crate::recovery::points::point::Point;
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::options::RestoreOptions;
use crate::recovery::retention::Policy;
use crate::testkit::checked_store::Fixture;

/// Marks a point as one that lost something in a repair.
fn lose(hive: &Fixture, point: &Point) {
    hive.store
        .alone(|tx| {
            let mut manifest = tx.manifest(point.epoch)?;
            let was = manifest.stats(CollectionId::CONFIG);
            manifest.lost.push(Lost { collection: CollectionId::CONFIG, was, keys: Vec::new() });
            tx.put_manifest(point.epoch, &manifest).map(Outcome::Commit)
        })
        .unwrap();
}

/// The ids of the points that remain once everything is too old.
fn left(hive: &Fixture) -> Vec<String> {
    hive.pass(60);
    hive.store.retain(&Policy { keep_within: Some(Duration::from_secs(1)), ..Policy::default() }).unwrap();
    hive.store.all_points().unwrap().iter().map(Point::to_string).collect()
}

#[test]
fn the_only_whole_point_is_not_forgotten_in_favour_of_a_newer_partial_one() {
    let hive = Fixture::new();
    hive.write(|tx| tx.config().put("a", &1.into()));
    let whole = hive.store.restore_point("whole").unwrap();
    hive.write(|tx| tx.config().put("a", &2.into()));
    lose(&hive, &hive.store.restore_point("partial").unwrap());
    assert_eq!(left(&hive), [whole.to_string()]);
    hive.store.restore(Selector::Latest(0), RestoreOptions::new()).unwrap();
    assert_eq!(hive.view().config().get("a").unwrap(), Some(1.into()));
}

#[test]
fn latest_names_the_last_whole_point_and_a_partial_one_only_if_there_is_no_other() {
    let hive = Fixture::new();
    let partial = hive.store.restore_point("partial").unwrap();
    lose(&hive, &partial);
    let latest = || hive.store.find_point(Selector::Latest(0)).unwrap().unwrap().to_string();
    assert_eq!(latest(), partial.to_string());
    let whole = hive.store.restore_point("whole").unwrap();
    lose(&hive, &hive.store.restore_point("partial").unwrap());
    assert_eq!(latest(), whole.to_string());
}

#[test]
fn a_point_of_documents_replaces_only_those_that_hold_the_same_kinds() {
    let hive = Fixture::new();
    let all = Kind::PARTS.iter().fold(PointRequest::new("all"), |new, kind| new.document(*kind, json!({"a": 1})));
    let some = all.clone();
    let live = hive.store.restore_point("live").unwrap();
    let three = hive.store.make_point(all).unwrap();
    let older = PointRequest::new("two").document(Kind::Registry, json!({"a": 1})).document(Kind::Queue, json!([1]));
    let two = hive.store.make_point(older).unwrap();
    let three_newer = hive.store.make_point(some).unwrap();
    let nothing = hive.store.make_point(PointRequest::new("nothing").document(Kind::Queue, json!({}))).unwrap();
    let expected = [&nothing, &three_newer, &two, &live].map(Point::to_string);
    assert_eq!(left(&hive), expected, "{three} is not the newest of its kind");
}

/// A partial point that lost `config/lost`, which has been changed since. Now `config/new` exists too.
fn lost_and_changed() -> (Fixture, Point) {
    let hive = Fixture::new();
    hive.write(|tx| tx.config().put("a", &1.into()));
    let point = hive.store.restore_point("partial").unwrap();
    hive.store
        .alone(|tx| {
            let mut manifest = tx.manifest(point.epoch)?;
            let was = manifest.stats(CollectionId::CONFIG);
            let keys = vec![b"lost".to_vec(), b"never".to_vec()];
            manifest.lost.push(Lost { collection: CollectionId::CONFIG, was, keys });
            tx.put_manifest(point.epoch, &manifest).map(Outcome::Commit)
        })
        .unwrap();
    for key in ["a", "lost", "new"] {
        hive.write(|tx| tx.config().put(key, &2.into()));
    }
    let point = hive.store.find_point(Selector::from(&point)).unwrap().unwrap();
    (hive, point)
}

fn config(hive: &Fixture) -> Vec<(String, serde_json::Value)> {
    hive.view().config().list().map(|entry| entry.unwrap()).collect()
}

#[test]
fn a_restore_of_a_partial_point_does_not_change_records_that_are_known_to_be_lost() {
    let (hive, point) = lost_and_changed();
    let before = config(&hive);
    let options = RestoreOptions::new().only(["config"]);
    let plan = hive.store.plan_restore(&point, options.clone()).unwrap();
    let command = format!("hivekeep restore {point} --only config --partial");
    assert!(plan.to_string().contains("; to restore what is left of it, allow a partial restore\n"), "{plan}");
    assert!(plan.to_string().contains("known to be lost stay as they are now"), "{plan}");
    let refused = hive.store.apply(&plan).unwrap_err();
    assert_eq!(refused.hint(), Some(&Hint::AllowPartial { command }), "{refused}");
    for options in [options.partial(true), RestoreOptions::new().partial(true)] {
        let plan = hive.store.plan_restore(&point, options).unwrap();
        let report = hive.store.apply(&plan).unwrap();
        assert_eq!(plan.collections, report.collections);
        assert_eq!(config(&hive), [("a".into(), json!(1)), ("lost".into(), json!(2))]);
        assert!(hive.store.check().unwrap().is_sound());
        hive.store.undo().unwrap();
        assert_eq!(config(&hive), before);
    }
}

#[test]
fn a_record_that_a_point_lost_in_a_repair_is_shown_as_lost_and_not_as_absent() {
    let (hive, point) = lost_and_changed();
    let diff = hive.store.diff(&point, Selector::Now).unwrap();
    let shown = "~ config/a 1 -> 2\n? config/lost 2 (a repair lost the other value)\n\
                 ? config/never (a repair lost it)\n+ config/new 2\n";
    assert_eq!(diff.to_string(), shown);
    assert!(diff.is_partial());
    let (mut paged, mut cursor) = (Vec::new(), None);
    loop {
        let ends = (Selector::from(&point), Selector::Now);
        let page = hive.store.diff_page(ends, &DiffFilter::default(), cursor.as_deref(), 1).unwrap();
        assert_eq!((page.changes.len(), page.total), (1, 4));
        paged.extend(page.changes);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, diff.changes);
    let counts = diff.counts()["config"];
    assert_eq!((counts.added, counts.changed, counts.removed), (1, 1, 0));

    let versions = hive.view().versions("config", "lost", 10).unwrap();
    let changes: Vec<_> = versions.iter().map(|version| version.change).collect();
    assert_eq!(changes, [None, Some(crate::ChangeKind::Lost)]);
    assert_eq!(hive.view().versions("config", "never", 10).unwrap_err().kind(), crate::ErrorKind::Damaged);
    assert_eq!(hive.view().versions("config", "unknown", 10).unwrap_err().kind(), crate::ErrorKind::NotFound);

    let there = hive.store.at(&point).unwrap();
    assert_eq!(there.lost_of("config").unwrap(), Some(vec!["lost".to_owned(), "never".to_owned()]));
    assert_eq!((there.lost_of("queue").unwrap(), hive.view().lost_of("config").unwrap()), (None, None));
    let why = |key| there.lost_or("config", key, crate::Error::not_found("no such key")).kind();
    assert_eq!((why("lost"), why("new")), (crate::ErrorKind::Damaged, crate::ErrorKind::NotFound));
}

#[test]
fn a_task_that_a_point_lost_in_a_repair_keeps_its_assignment() {
    use crate::state::ids::{BotId, TaskId};
    use crate::state::queue::NewTask;
    let (hive, bot, id) = (Fixture::new(), BotId::new("ant").unwrap(), TaskId::new("lost").unwrap());
    let point = hive.store.restore_point("partial").unwrap();
    hive.store
        .alone(|tx| {
            let mut manifest = tx.manifest(point.epoch)?;
            let was = manifest.stats(CollectionId::QUEUE);
            manifest.lost.push(Lost { collection: CollectionId::QUEUE, was, keys: vec![b"lost".to_vec()] });
            tx.put_manifest(point.epoch, &manifest).map(Outcome::Commit)
        })
        .unwrap();
    hive.write(|tx| tx.queue().enqueue(NewTask::new("work").id(id.clone()).assign_to(bot.clone())));
    hive.write(|tx| tx.queue().enqueue(NewTask::new("work").assign_to(bot.clone())));
    hive.store.restore(&point, RestoreOptions::new().partial(true)).unwrap();
    hive.check();
    let tasks: Vec<_> = hive.view().queue().list().map(|task| task.unwrap().id).collect();
    assert_eq!(tasks, [id]);
}
