//! A standby has every row of its source, after every commit, and never anything else.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::SystemClock;
use crate::engine::check::check;
use crate::engine::feed::marks::row::is_local;
use crate::engine::feed::receiving::leave::{LEAP, LEAP_SPREAD, Numbers, Resumed};
use crate::engine::feed::sending::of_store::{Fed, FedCommit};
use crate::engine::format::schema::CollectionId;
use crate::engine::history::model_test::{Model, RULES, op};
use crate::engine::records::Records;
use crate::engine::rows::KeyRange;
use crate::error::{ErrorKind, Hint};

const C: CollectionId = CollectionId::CONFIG;

/// A standby of a store, and the sequence that it has.
struct Copy {
    folder: tempfile::TempDir,
    receiver: Option<Receiver>,
}

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Every row that travels.
fn rows(store: &Store) -> Rows {
    let view = store.view().unwrap();
    let all = Table::ALL.into_iter().flat_map(|table| {
        let rows = view.stored().page(table, &KeyRange::all(), usize::MAX).unwrap();
        rows.into_iter().map(move |(key, value)| ((table, key), value))
    });
    all.filter(|((table, key), _)| !is_local(*table, key)).collect()
}

fn source() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::options().session(false).open_with(&folder.path().join("h.redb"), RULES).unwrap();
    store.begin_feed(0).unwrap();
    (folder, store)
}

fn put(store: &Store, key: &[u8], value: &[u8]) {
    store.write(|tx| tx.put(C, key, value)).unwrap();
}

fn commits_after(store: &Store, sequence: u64) -> Vec<FedCommit> {
    match store.feed_after(sequence, usize::MAX).unwrap() {
        Fed::Commits(commits) => commits,
        Fed::Gap => panic!("the feed has a gap"),
    }
}

fn parts(store: &Store, most_bytes: usize) -> (Vec<Vec<u8>>, States, u64) {
    let mut dump = store.dump().unwrap();
    let parts = std::iter::from_fn(|| dump.next_part(most_bytes).unwrap()).collect();
    (parts, dump.states().clone(), dump.sequence())
}

impl Copy {
    fn of(store: &Store) -> Self {
        let copy = Self { folder: tempfile::tempdir().unwrap(), receiver: None };
        let mut receiver = copy.begin();
        let (parts, states, sequence) = parts(store, 4 << 10);
        parts.iter().for_each(|part| receiver.put(part).unwrap());
        receiver.finish(states.digest(), &sequence.to_be_bytes()).unwrap();
        receiver.close().unwrap();
        let receiver = Some(copy.open().unwrap());
        Self { receiver, ..copy }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("copy.redb")
    }

    fn begin(&self) -> Receiver {
        Receiver::create(&self.path(), "a test", Arc::new(SystemClock), RULES).unwrap()
    }

    fn open(&self) -> Result<Receiver> {
        Receiver::open(&self.path(), Store::options(), RULES)
    }

    fn receiver(&mut self) -> &mut Receiver {
        self.receiver.as_mut().unwrap()
    }

    fn sequence(&mut self) -> u64 {
        meta::number(&self.receiver().position().unwrap()).unwrap()
    }

    fn reopen(&mut self) {
        self.receiver.take().unwrap().close().unwrap();
        self.receiver = Some(self.open().unwrap());
    }

    fn apply(&mut self, commits: &[FedCommit], states: Option<&States>) -> Result<()> {
        let last = commits.last().map_or(self.sequence(), |commit| commit.sequence);
        let count = commits.len();
        let steps = commits.iter().enumerate().map(|(at, commit)| ReceivedCommit {
            rows: &commit.rows,
            states: states.filter(|_| at + 1 == count).map(States::digest),
        });
        self.receiver().apply(steps, &last.to_be_bytes())
    }

    /// Applies everything that the source has, some commits at a time.
    fn follow(&mut self, store: &Store, at_a_time: usize) {
        let commits = commits_after(store, self.sequence());
        commits.chunks(at_a_time).for_each(|some| self.apply(some, None).unwrap());
    }

    fn compare(&mut self, store: &Store) {
        let copy = self.receiver().store();
        assert!(rows(copy) == rows(store), "the rows differ");
        let report = check(&copy.view().unwrap(), &|_, _| Ok(())).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_copy_has_every_row_of_its_source_after_every_step(
        ops in prop::collection::vec(op(0..=249), 1..40),
        sharing in prop_oneof![Just(Sharing::Shared), Just(Sharing::Exclusive)],
        begins_at in 0..20usize,
        at_a_time in 1..4usize,
    ) {
        let mut model = Model::with(sharing);
        model.store.begin_feed(0).unwrap();
        let mut copy = None;
        for (number, op) in ops.iter().enumerate() {
            model.step(op);
            if number >= begins_at {
                let copy = copy.get_or_insert_with(|| Copy::of(&model.store));
                copy.follow(&model.store, at_a_time);
                copy.compare(&model.store);
                if number % 7 == 3 {
                    copy.reopen();
                }
            }
        }
        // The states that the feed tells are those of the copy.
        if let Some(copy) = &mut copy {
            prop_assert_eq!(copy.receiver().states().unwrap().digest(), model.store.dump().unwrap().states().digest());
        }
    }
}

#[test]
fn long_values_and_points_come_along() {
    let (_folder, store) = source();
    put(&store, b"long", &vec![7; 3 << 20]);
    let mut copy = Copy::of(&store);
    store.alone(|tx| tx.seal_commit().map(Outcome::Commit)).unwrap();
    put(&store, b"long", &vec![8; 2 << 20]);
    store.write(|tx| tx.remove(C, b"long")).unwrap();
    copy.follow(&store, 1);
    copy.compare(&store);
    let then = copy.receiver().store().view_at(store.view().unwrap().epochs().last).unwrap();
    assert_eq!(then.get(C, b"long").unwrap().unwrap(), vec![7; 3 << 20]);
}

#[test]
fn a_bit_that_is_flipped_on_the_way_leaves_no_copy() {
    let (_folder, store) = source();
    (0..20u8).for_each(|i| put(&store, &[i], &[i; 9]));
    let (parts, states, _) = parts(&store, usize::MAX);
    let part = &parts[0];
    // The rows of `live` come first.
    let of_records = changes(part).map_while(|row| Some(row.unwrap()).filter(|row| row.table == Table::Live));
    let len: usize = of_records.map(|row| 8 + row.key.len() + row.value.unwrap().len()).sum();
    for at in (0..len).step_by(5).filter(|at| !is_unproved(part, *at)) {
        for bit in [1, 0x10] {
            let mut wrong = part.clone();
            wrong[at] ^= bit;
            let copy = Copy { folder: tempfile::tempdir().unwrap(), receiver: None };
            let mut receiver = copy.begin();
            let filled = receiver.put(&wrong).and_then(|()| receiver.finish(states.digest(), b""));
            assert_eq!(filled.unwrap_err().kind(), ErrorKind::Damaged, "at={at}");
            receiver.close().unwrap();
            // Nobody takes what was not finished for a copy.
            assert_eq!(copy.open().err().unwrap().kind(), ErrorKind::Conflict);
        }
    }
}

#[test]
fn a_commit_that_is_wrong_or_missing_leaves_the_copy_as_it_was() {
    let (_folder, store) = source();
    put(&store, b"a", b"one");
    let mut copy = Copy::of(&store);
    let before = rows(copy.receiver().store());
    put(&store, b"b", b"two");
    put(&store, b"c", b"three");
    let commits = commits_after(&store, copy.sequence());
    let [first, second] = &commits[..] else { panic!("not two commits") };
    let mut refused = |rows: &[u8], states: Option<&States>| {
        let applied = copy.receiver().apply([ReceivedCommit { rows, states: states.map(States::digest) }], b"moved");
        assert_eq!(applied.unwrap_err().kind(), ErrorKind::Damaged);
        assert!(rows_are(&copy.receiver().position().unwrap(), &before, copy.receiver().store()));
    };
    fn rows_are(position: &[u8], before: &Rows, store: &Store) -> bool {
        position != b"moved" && rows(store) == *before
    }
    // One before it is missing.
    refused(&second.rows, None);
    // It is cut off.
    refused(&first.rows[..first.rows.len() - 1], None);
    for at in (0..first.rows.len()).filter(|at| !is_unproved(&first.rows, *at)) {
        let mut wrong = first.rows.to_vec();
        wrong[at] ^= 4;
        refused(&wrong, None);
    }
    // A row of the file alone.
    let mut local = first.rows.to_vec();
    assert!(RowChange { table: Table::Meta, key: meta::FORMAT, was_there: true, value: None }.push_to(&mut local));
    refused(&local, None);
    // The state after it is told to be another one.
    refused(&first.rows, Some(&States::default()));
    // The second of two is wrong: neither is applied.
    let after = commits[1].rows[..3].to_vec();
    let steps = [ReceivedCommit { rows: &first.rows, states: None }, ReceivedCommit { rows: &after, states: None }];
    copy.receiver().apply(steps, b"moved").unwrap_err();
    assert!(rows(copy.receiver().store()) == before);
    copy.apply(&commits, Some(store.dump().unwrap().states())).unwrap();
    copy.compare(&store);
}

/// Whether a byte is of a row in a table without a digest, or says whether the row was there, which nobody reads.
fn is_unproved(rows: &[u8], at: usize) -> bool {
    let mut from = 0;
    for row in changes(rows) {
        let row = row.unwrap();
        let head = if row.value.is_some() { 8 } else { 4 };
        let to = from + head + row.key.len() + row.value.unwrap_or_default().len();
        if (from..to).contains(&at) {
            let is_record = row.table == Table::Live || row.table == Table::Meta && row.key.starts_with(b"stats/");
            return !is_record || at == from + 1;
        }
        from = to;
    }
    true
}

#[test]
fn a_kill_before_and_after_every_step_leaves_a_copy_that_goes_on() {
    let (_folder, store) = source();
    put(&store, b"a", b"0");
    let mut copy = Copy::of(&store);
    let killed = tempfile::tempdir().unwrap();
    for i in 1..12u8 {
        put(&store, b"a", &[i; 700]);
        put(&store, &[i], &[i; 7]);
        let left = killed.path().join(format!("{i}.redb"));
        fs::copy(copy.path(), &left).unwrap();
        copy.follow(&store, 1 + usize::from(i) % 2);
    }
    copy.compare(&store);
    for i in 1..12u8 {
        // The file as a kill leaves it: it was open, and nobody closed it.
        let path = killed.path().join(format!("{i}.redb"));
        fs::rename(path, copy.path().with_extension("killed")).unwrap();
        let receiver = Receiver::open(&copy.path().with_extension("killed"), Store::options(), RULES).unwrap();
        let mut left = Copy { folder: tempfile::tempdir().unwrap(), receiver: Some(receiver) };
        left.follow(&store, 1);
        left.compare(&store);
        left.receiver.take().unwrap().close().unwrap();
    }
}

#[test]
fn nobody_else_writes_to_a_standby() {
    let (_folder, store) = source();
    put(&store, b"a", b"1");
    let mut copy = Copy::of(&store);
    // Nor an earlier program, which would not know that it is one.
    let format = copy.receiver().store().view().unwrap().row(Table::Meta, meta::FORMAT).unwrap();
    assert_eq!(format.unwrap(), 3_u64.to_be_bytes());
    let refused = |store: &Store| {
        let error = store.write(|tx| tx.put(C, b"a", b"2")).unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Conflict, Some(&Hint::TakeOver)));
        assert!(error.to_string().contains("replica=a test"), "{error}");
        store.load(|tx| tx.put(C, b"a", b"2")).unwrap_err();
        store.alone(|tx| tx.seal_commit().map(Outcome::Commit)).unwrap_err();
        store.refuse_unless_writable().unwrap_err();
        assert_eq!(store.compact().unwrap_err().kind(), ErrorKind::Conflict);
        assert!(store.is_standby() && store.only_looks());
        assert_eq!(store.view().unwrap().get(C, b"a").unwrap().unwrap(), b"1");
    };
    // Neither through the receiver's own store, nor another one beside it, nor one alone.
    refused(copy.receiver().store());
    let beside = Store::options().open_with(&copy.path(), RULES).unwrap();
    refused(&beside);
    beside.close_file().unwrap();
    copy.receiver.take().unwrap().close().unwrap();
    let alone = Store::options().sharing(Sharing::Exclusive).open_with(&copy.path(), RULES).unwrap();
    refused(&alone);
    alone.close_file().unwrap();
}

const NUMBERS: Numbers<'_> = Numbers { leap: &["never given out"], without_gaps: &["events"] };

fn leave(receiver: &Receiver, settle: impl FnOnce(&mut WriteTx<'_>) -> Result<()>) -> Result<()> {
    receiver.leave(receiver.store(), None, NUMBERS, settle)
}

#[test]
fn a_standby_that_is_left_is_a_store_whose_numbers_leap() {
    for points in 0..3 {
        let (_folder, store) = source();
        let count = |tx: &mut WriteTx<'_>| Ok((tx.next("token")?, tx.next("events")?));
        store.write(count).unwrap();
        let last = (0..points).map(|_| {
            put(&store, b"a", b"1");
            store.alone(|tx| tx.seal_commit().map(Outcome::Commit)).unwrap()
        });
        let last = last.collect::<Vec<_>>().pop();
        put(&store, b"a", b"2");
        let user = store.write(|tx| tx.user_collection("mine")).unwrap();
        let mut copy = Copy::of(&store);
        let beside = Store::options().open_with(&copy.path(), RULES).unwrap();
        leave(copy.receiver(), |tx| tx.put(C, b"settled", b"!")).unwrap();
        // Also through a store that was open all the time.
        for store in [copy.receiver().store().clone(), beside] {
            store.write(|tx| tx.put(C, b"a", b"3")).unwrap();
        }
        assert_eq!(leave(copy.receiver(), |_| Ok(())).unwrap_err().kind(), ErrorKind::Conflict);
        copy.receiver.take().unwrap().close().unwrap();
        let store = Store::options().open_with(&copy.path(), RULES).unwrap();
        let (token, events) = store.write(count).unwrap();
        assert!((LEAP..LEAP + LEAP_SPREAD).contains(&(token - 2)) && events == 2, "{token} {events}");
        assert_eq!(store.write(|tx| tx.next("never given out")).unwrap(), token - 1, "all leap by the same");
        assert_eq!(store.write(|tx| tx.user_collection("mine")).unwrap(), user);
        assert!(store.view().unwrap().epochs().open.0 > LEAP);
        let report = check(&store.view().unwrap(), &|_, _| Ok(())).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.points, points);
        if let Some(last) = last {
            assert_eq!(store.view_at(last).unwrap().get(C, b"a").unwrap().unwrap(), b"1");
        }
        store.finish_merging().unwrap();
        assert!(check(&store.view().unwrap(), &|_, _| Ok(())).unwrap().is_sound());
        assert_eq!(store.view().unwrap().get(C, b"settled").unwrap().unwrap(), b"!");
    }
}

#[test]
fn the_commit_with_which_a_standby_is_left_is_the_first_of_its_feed() {
    let (_folder, store) = source();
    put(&store, b"a", b"1");
    let mut copy = Copy::of(&store);
    let sequence = copy.sequence();
    let before = copy.receiver().states().unwrap();
    let replica = || Some(Resumed { sequence, position: b"there".to_vec() });
    let receiver = copy.receiver();
    // The first attempt ends between its two transactions.
    let failed = receiver.leave(receiver.store(), replica(), NUMBERS, |_| Err::<(), _>(Error::conflict("on purpose")));
    failed.unwrap_err();
    assert!(receiver.position().is_ok());
    receiver.leave(receiver.store(), replica(), NUMBERS, |tx| tx.put(C, b"left", b"!")).unwrap();
    copy.receiver.take().unwrap().close().unwrap();
    let store = Store::options().open_with(&copy.path(), RULES).unwrap();
    let status = store.feed_status().unwrap().unwrap();
    assert_eq!((status.shipped, status.position.as_slice()), (sequence, &b"there"[..]));
    assert!(status.sequence > sequence + LEAP);
    put(&store, b"a", b"2");
    let commits = commits_after(&store, sequence);
    assert_eq!(commits.len(), 2);
    assert!(commits.iter().all(|commit| commit.sequence > sequence + LEAP));
    // They lead from the state of the standby to the present one.
    let mut states = before;
    commits.iter().for_each(|commit| states.apply(&commit.rows).unwrap());
    assert_eq!(states.digest(), store.dump().unwrap().states().digest());
}
