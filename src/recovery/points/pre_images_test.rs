//! Damage in the rows of the past is reported by every verb that reads them.

use crate::engine::epoch::Epoch;
use crate::engine::frame::{self, State};
use crate::engine::schema::{Place, Table};
use crate::error::{ErrorKind, Result};
use crate::recovery::restore::options::RestoreOptions;
use crate::testkit::checked_store::Fixture;

#[test]
fn a_pre_image_whose_key_names_no_record_is_damage_to_differences_sizes_and_restores() {
    let hive = Fixture::new();
    hive.write(|tx| tx.config().put("a", &1.into()));
    let point = hive.store.restore_point("before").unwrap();
    hive.write(|tx| tx.config().put("a", &2.into()));
    let later = hive.store.restore_point("after").unwrap();
    let short = [&later.epoch.to_key()[..], &[0, 0]].concat();
    let mut absent = Vec::new();
    frame::encode(&mut absent, Place::of_record(&[0, 0]), Epoch(0), State::Absent);
    hive.write(|tx| tx.insert(Table::PreImages, &short, &absent));
    let kind = |done: Result<()>| done.unwrap_err().kind();
    let view = hive.view();
    let everything = crate::engine::point::Scope::default();
    let differs = view.each_difference(point.epoch, later.epoch, &everything, |_, _, _| Ok(()));
    assert_eq!(kind(differs), ErrorKind::Damaged);
    assert_eq!(kind(hive.store.point_size(&later).map(drop)), ErrorKind::Damaged);
    assert_eq!(kind(hive.store.point_size(&point).map(drop)), ErrorKind::Damaged);
    assert_eq!(kind(hive.store.restore(&point, RestoreOptions::new()).map(drop)), ErrorKind::Damaged);
    assert!(!hive.store.check().unwrap().is_sound());
}
