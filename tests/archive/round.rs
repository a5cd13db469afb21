//! Any state, out of the file and back.

use hivekeep::{ExportOptions, ImportOptions, Selector, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::json;

use crate::hive::{Hive, digests};
use crate::knobs;

/// One change of the state.
#[derive(Clone, Debug)]
enum Change {
    Config(u8, usize),
    RemoveConfig(u8),
    Own(u8, u8, u16),
    RemoveOwn(u8, u8),
    Bot(u8, u16),
    Push(u8, u8),
    Claim(u8),
    Say(u8, String),
    Document(u8, Vec<u8>),
    Audit(u8),
    Point,
    Pass(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..6u8, prop_oneof![0..40usize, Just(1 << 20), Just((1 << 20) + 9)])
            .prop_map(|(key, length)| Change::Config(key, length)),
        (0..6u8).prop_map(Change::RemoveConfig),
        (0..3u8, 0..9u8, any::<u16>()).prop_map(|(of, key, value)| Change::Own(of, key, value)),
        (0..3u8, 0..9u8).prop_map(|(of, key)| Change::RemoveOwn(of, key)),
        (0..4u8, any::<u16>()).prop_map(|(bot, port)| Change::Bot(bot, port)),
        (0..4u8, 0..4u8).prop_map(|(bot, priority)| Change::Push(bot, priority)),
        (0..4u8).prop_map(Change::Claim),
        (0..4u8, "[a-zé\"\\\\\n]{1,20}").prop_map(|(bot, text)| Change::Say(bot, text)),
        (0..3u8, prop::collection::vec(any::<u8>(), 0..9)).prop_map(|(of, items)| Change::Document(of, items)),
        (0..9u8).prop_map(Change::Audit),
        Just(Change::Point),
        (1..90u8).prop_map(Change::Pass),
    ]
}

fn apply(hive: &Hive, change: &Change) {
    let bot = |number: &u8| format!("bot-{number}").parse::<hivekeep::BotId>().unwrap();
    let own = |of: &u8| format!("own.{of}");
    let done = hive.store.write(|tx| match change {
        Change::Config(key, length) => tx.config().put(&format!("k{key}"), &json!("x".repeat(*length))),
        Change::RemoveConfig(key) => tx.config().remove(&format!("k{key}")).map(drop),
        Change::Own(of, key, value) => tx.collection(&own(of))?.put(&format!("/{key}"), &json!({ "v": value })),
        Change::RemoveOwn(of, key) => {
            tx.collection::<serde_json::Value>(&own(of))?.remove(&format!("/{key}")).map(drop)
        }
        Change::Bot(id, port) => {
            tx.registry().put(&hivekeep::Bot { port: Some(*port), ..hivekeep::Bot::new(bot(id)) }).map(drop)
        }
        Change::Push(id, priority) => {
            let task = hivekeep::NewTask::new(json!({ "p": priority }));
            let task = if *id == 0 { task } else { task.assign_to(bot(id)) };
            tx.queue().enqueue(task).map(drop)
        }
        Change::Claim(id) => tx.queue().claim(&bot(id), &hivekeep::ClaimOptions::default()).map(drop),
        Change::Say(id, text) => tx.chat().append(hivekeep::NewMessage::new("c", bot(id).as_str(), text)).map(drop),
        Change::Document(of, items) => tx.documents().put("load", &format!("s{of}"), &json!(items)).map(drop),
        Change::Audit(n) => tx.audit().append(hivekeep::NewEntry::new(format!("a{n}"), "ops")).map(drop),
        Change::Point | Change::Pass(_) => Ok(()),
    });
    done.unwrap();
    match change {
        Change::Point => drop(hive.store.restore_point("on the way").unwrap()),
        Change::Pass(seconds) => hive.clock.advance(std::time::Duration::from_secs((*seconds).into())),
        _ => {}
    }
}

/// Every point, and now, becomes a store of the same digests, and goes back into the store that it is from.
fn holds(changes: &[Change]) {
    let hive = Hive::empty();
    changes.iter().for_each(|change| apply(&hive, change));
    let mut selectors = vec![Selector::Now];
    selectors.extend(hive.store.points().unwrap().iter().map(Selector::from));
    for (number, at) in selectors.into_iter().enumerate().take(4) {
        let packing = if number % 2 == 0 { "zst" } else { "gz" };
        let file = hive.path(&format!("{number}.tar.{packing}"));
        let options = ExportOptions::new().at(at.clone());
        let report = hive.store.export(&file, &options).unwrap();
        let new = hive.become_new(&format!("{number}.tar.{packing}"), &format!("{number}.redb"));
        let point = hive.store.find_point(Selector::from(report.point.id.as_ref().unwrap())).unwrap().unwrap();
        let mut there = point.collections;
        there.retain(|name, stats| name != "#chunks" && stats.count > 0);
        assert_eq!(digests(&new), there.into_iter().collect::<Vec<_>>());
        assert!(new.check().unwrap().is_sound());

        let before = digests(&hive.store);
        let imported = hive.store.import(&file, &ImportOptions::new()).unwrap();
        assert!(hive.store.check().unwrap().is_sound());
        assert_eq!(imported.undo.is_some(), digests(&hive.store) != before, "what changes nothing needs no undo");
        if imported.undo.is_some() {
            hive.store.undo().unwrap();
        }
        assert_eq!(digests(&hive.store), before);
        assert_eq!(again(&hive, &at, &report), report.sha256, "the same point, the same bytes");
    }
}

fn again(hive: &Hive, at: &Selector, first: &hivekeep::ExportReport) -> String {
    let at = if *at == Selector::Now { Selector::from(first.point.id.as_ref().unwrap()) } else { at.clone() };
    let file = first.file.with_file_name(format!("again-{}", first.file.file_name().unwrap().to_str().unwrap()));
    hive.store.export(file, &ExportOptions::new().at(at)).unwrap().sha256
}

#[test]
fn every_point_becomes_a_store_of_the_same_digests() {
    let seed = std::env::var("HIVEKEEP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let cases = u32::try_from(8 * knobs::scale()).unwrap();
    let config = Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner
        .run(&prop::collection::vec(change(), 1..40), |changes| {
            holds(&changes);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_empty_store_becomes_an_empty_store() {
    let hive = Hive::empty();
    let report = hive.export("a.tar.gz");
    assert_eq!(report.records, 0);
    assert_eq!(digests(&hive.become_new("a.tar.gz", "new.redb")), []);
    let store = Store::open(hive.path("new.redb")).unwrap();
    assert_eq!(store.points().unwrap().len(), 1);
}
