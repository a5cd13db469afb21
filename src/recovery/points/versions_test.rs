//! The history of a record.

use serde_json::{Value, json};

use crate::error::ErrorKind;
use crate::recovery::backups::{BackupRequest, Kind};
use crate::recovery::diff::ChangeKind::{Added, Changed, Removed};
use crate::recovery::points::versions::{ChangedBy, Version};
use crate::state::audit::NewEntry;
use crate::state::ids::BotId;
use crate::state::queue::{ClaimOptions, NewTask};
use crate::testkit::checked_store::{Fixture, time};

fn versions(hive: &Fixture, collection: &str, key: &str) -> Vec<Version> {
    hive.view().versions(collection, key, 100).unwrap()
}

fn put(hive: &Fixture, value: Value) {
    hive.pass(1);
    hive.write(|tx| tx.config().put("limit", &value));
}

/// Creates a point a second later, and returns its name.
fn point(hive: &Fixture) -> String {
    hive.pass(1);
    hive.store.restore_point("").unwrap().to_string()
}

#[test]
fn a_record_has_a_version_for_each_difference_between_points_with_the_points_that_hold_it() {
    let hive = Fixture::new();
    point(&hive);
    put(&hive, json!(1));
    let (_, one) = (point(&hive), point(&hive));
    put(&hive, json!(2));
    put(&hive, json!(3));
    let three = point(&hive);
    put(&hive, json!(3));
    let three_again = point(&hive);
    hive.write(|tx| tx.config().remove("limit"));
    let gone = point(&hive);
    put(&hive, json!(4));
    let all = versions(&hive, "config", "limit");
    let shown: Vec<_> = all
        .iter()
        .map(|version| {
            let point = version.point.as_ref().map(|held| held.point.clone());
            (version.change, version.value.clone(), point, version.points)
        })
        .collect();
    assert_ne!(three, three_again);
    assert_eq!(
        shown,
        [
            (Some(Added), json!(4), None, 0),
            (Some(Removed), json!(null), Some(gone), 1),
            (Some(Changed), json!(3), Some(three_again), 2),
            (Some(Added), json!(1), Some(one), 2),
        ]
    );
    let times: Vec<_> = all.iter().map(|version| (version.changed_after, version.changed_before)).collect();
    let at = |after, before: Option<i64>| (Some(time(after)), before.map(time));
    assert_eq!(times, [at(10, None), at(9, Some(10)), at(4, Some(7)), at(1, Some(3))]);
    assert_eq!(hive.view().versions("config", "limit", 2).unwrap(), all[..2]);
    hive.store.restore(hive.store.points().unwrap().last().unwrap(), Default::default()).unwrap();
    assert_eq!(versions(&hive, "config", "limit")[0].change, Some(Removed), "a restore is a change like others");
}

#[test]
fn the_oldest_version_that_every_point_holds_has_no_change() {
    let hive = Fixture::new();
    put(&hive, json!(1));
    let only = versions(&hive, "config", "limit");
    assert_eq!((only.len(), only[0].change, only[0].points), (1, None, 0));
    point(&hive);
    put(&hive, json!(2));
    let both = versions(&hive, "config", "limit");
    assert_eq!(both.iter().map(|version| version.change).collect::<Vec<_>>(), [Some(Changed), None]);
    assert_eq!(both[1].changed_after, None);
}

#[test]
fn the_audit_trail_or_the_task_tells_who_changed_a_record() {
    let hive = Fixture::new();
    point(&hive);
    put(&hive, json!(1));
    point(&hive);
    for (value, target) in [(2, "config/limit"), (3, "limit"), (4, "another")] {
        put(&hive, json!(value));
        hive.write(|tx| tx.audit().append(NewEntry { target: Some(target.into()), ..NewEntry::new("set", "ops") }));
        point(&hive);
    }
    let by = |version: &Version| version.by.as_ref().map(|by| (by.actor.clone(), by.action.clone()));
    let ops = Some(("ops".to_owned(), "set".to_owned()));
    let told: Vec<_> = versions(&hive, "config", "limit").iter().map(by).collect();
    assert_eq!(told, [None, ops.clone(), ops, None]);

    hive.write(|tx| {
        let id = tx.queue().enqueue(NewTask::new("work"))?.id;
        tx.queue().claim(&BotId::new("ant")?, &ClaimOptions::default())?;
        assert_eq!(id.to_string(), "task-1");
        Ok(())
    });
    let ant = ChangedBy { actor: "ant".into(), action: "claimed".into() };
    assert_eq!(versions(&hive, "queue", "task-1")[0].by, Some(ant));
    assert_eq!(versions(&hive, "assignments", "ant/task-1")[0].value["hold"], "claimed");
}

#[test]
fn a_long_value_is_whole_in_every_version() {
    let hive = Fixture::new();
    let long = |letter: &str| json!(letter.repeat((1 << 20) + 9));
    put(&hive, long("a"));
    point(&hive);
    put(&hive, long("b"));
    let values: Vec<_> = versions(&hive, "config", "limit").into_iter().map(|version| version.value).collect();
    assert!(values == [long("b"), long("a")]);
}

#[test]
fn an_unknown_record_and_documents_are_refused_by_name() {
    let hive = Fixture::new();
    point(&hive);
    let refused = |collection: &str, key: &str| hive.view().versions(collection, key, 9).unwrap_err();
    let never = refused("config", "limit");
    assert_eq!(never.kind(), ErrorKind::NotFound);
    assert_eq!(never.to_string(), "neither the present nor any point has such a record: collection=config key=limit");
    hive.store.backup(BackupRequest::new(Kind::Registry).data(json!({}))).unwrap();
    assert_eq!(refused("documents", "registry/backup-registry").kind(), ErrorKind::Invalid);
    for (collection, key) in [("unheard", "a"), ("audit", "1"), ("#chunks", "a"), ("chat", "no number")] {
        assert_eq!(refused(collection, key).kind(), ErrorKind::NotFound, "{collection}");
    }
}
