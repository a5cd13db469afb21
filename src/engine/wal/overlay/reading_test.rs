//! Rows of the log and of the file, read as one.

use std::collections::BTreeMap;

use crate::engine::format::schema::Table;
use crate::engine::records::{KeyRange, Records};
use crate::engine::wal::test::{C, logging};
use crate::testkit::proof::choices::Choices;

#[test]
fn a_view_reads_the_same_whatever_is_written_loaded_and_moved_meanwhile() {
    let hive = logging();
    (0..40).for_each(|number| hive.put(&format!("key {number:02}"), number).unwrap());
    let before = hive.store.view().unwrap();
    let rows = |view: &crate::engine::view::View| view.part(C, &KeyRange::all(), 1000).unwrap();
    let then = rows(&before);
    hive.store.write(|tx| tx.remove(C, b"key 07").map(drop)).unwrap();
    let removed = hive.store.view().unwrap();
    hive.store.rest_log().unwrap();
    hive.store.load(|tx| tx.put(C, b"key 08", b"loaded")).unwrap();
    (0..400).for_each(|number| hive.put(&format!("key {:02}", number % 40), number).unwrap());
    assert_eq!(rows(&before), then);
    assert_eq!(before.get(C, b"key 08").unwrap(), Some(8_u64.to_be_bytes().to_vec()));
    assert_eq!(rows(&removed).len(), then.len() - 1);
    assert_eq!(removed.stored().count(Table::Live).unwrap() + 1, before.stored().count(Table::Live).unwrap());
}

#[test]
fn rows_of_the_log_and_of_the_file_are_read_as_one_in_both_directions() {
    for seed in 0..12 {
        let mut choices = Choices::seeded(seed);
        let hive = logging();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut earlier = Vec::new();
        hive.store.write(|tx| tx.remove(C, b"first").and(tx.remove(C, b"second")).map(drop)).unwrap();
        for step in 0..120_u64 {
            let key = |choices: &mut Choices| (choices.below(60) as u16).to_be_bytes().to_vec();
            let many = 1 + choices.below(6);
            let changes: Vec<_> = (0..many).map(|_| (key(&mut choices), !choices.once_in(3))).collect();
            let written = hive.store.write(|tx| {
                for (key, puts) in &changes {
                    match puts {
                        true => tx.put(C, key, &step.to_be_bytes())?,
                        false => drop(tx.remove(C, key)?),
                    }
                }
                let mut after = model.clone();
                after.extend(changes.iter().map(|(key, _)| (key.clone(), step.to_be_bytes().to_vec())));
                apply(&mut after, &changes);
                assert_reads(tx, &after, &mut choices);
                Ok(())
            });
            written.unwrap();
            model.extend(changes.iter().map(|(key, _)| (key.clone(), step.to_be_bytes().to_vec())));
            apply(&mut model, &changes);
            if choices.once_in(10) {
                hive.store.rest_log().unwrap();
            }
            assert_reads(&hive.store.view().unwrap(), &model, &mut choices);
            assert_eq!(hive.store.view().unwrap().stored().count(Table::Live).unwrap(), model.len() as u64);
            if choices.once_in(6) {
                earlier.push((hive.store.view().unwrap(), model.clone()));
            }
            if let Some((view, then)) = earlier.get(choices.below(20)) {
                assert_reads(view, then, &mut choices);
            }
        }
        assert!(hive.is_sound());
    }
}

/// Takes away what the last change of each key removes.
fn apply(model: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: &[(Vec<u8>, bool)]) {
    for (key, _) in changes {
        if changes.iter().rev().find(|(other, _)| other == key).is_some_and(|(_, puts)| !puts) {
            model.remove(key);
        }
    }
}

fn assert_reads(records: &dyn Records, model: &BTreeMap<Vec<u8>, Vec<u8>>, choices: &mut Choices) {
    let from = (choices.below(60) as u16).to_be_bytes();
    let until = (choices.below(60) as u16).to_be_bytes();
    for range in [KeyRange::all(), KeyRange::all().from(&from), KeyRange::all().until(&until)] {
        for range in [range.clone(), range.backward()] {
            let bounds = (range.start.as_ref().map(Vec::as_slice), range.end.as_ref().map(Vec::as_slice));
            let mut all: Vec<_> =
                model.range::<[u8], _>(bounds).map(|(key, value)| (key.clone(), value.clone())).collect();
            if range.backward {
                all.reverse();
            }
            let limit = 1 + choices.below(80);
            let mut each = Vec::new();
            records
                .each(C, range.clone(), &mut |key, value| {
                    each.push((key.to_vec(), value.to_vec()));
                    Ok(())
                })
                .unwrap();
            assert!(each == all, "{range:?}");
            all.truncate(limit);
            assert!(records.part(C, &range, limit).unwrap() == all, "limit={limit} {range:?}");
        }
    }
    assert_eq!(records.stats(C).unwrap().count, model.len() as u64);
}
