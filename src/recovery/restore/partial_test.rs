//! Points that hold less than others: of a few documents, or of what a repair could bring back.

use std::time::Duration;

use serde_json::json;

use crate::engine::commit::Outcome;
use crate::engine::point::Lost;
use crate::engine::schema::CollectionId;
use crate::recovery::backups::Kind;
use crate::recovery::points::point::{Point, PointRequest};
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::plan::RestoreOptions;
use crate::recovery::retention::Policy;
use crate::testkit::checked_store::Fixture;

/// Makes a point one of which a repair has lost something.
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

/// The ids of what is left when everything is too old.
fn left(hive: &Fixture) -> Vec<String> {
    hive.pass(60);
    hive.store.retain(&Policy { keep_within: Some(Duration::from_secs(1)), ..Policy::default() }).unwrap();
    hive.store.all_points().unwrap().iter().map(Point::to_string).collect()
}

#[test]
fn the_only_whole_point_is_not_forgotten_for_a_newer_one_that_a_repair_could_not_bring_back_whole() {
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
fn latest_means_the_last_whole_point_and_a_partial_one_only_where_there_is_no_other() {
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
fn points_of_documents_stand_only_for_those_that_hold_the_same_kinds() {
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
