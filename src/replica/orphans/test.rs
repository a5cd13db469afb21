//! Two machines that went apart: what only the overtaken file has comes into the store that goes on, and nothing else.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::report::{OrphansOptions, OrphansPlan};
use crate::Bot;
use crate::engine::keys::CollectionId;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Hint, Result};
use crate::recovery::events::event::EventKind;
use crate::replica::bench_test::rows;
use crate::replica::connection::runtime::block_on;
use crate::replica::following::follower::Follower;
use crate::replica::following::take_over::TakeOverOptions;
use crate::replica::gated_test::{Door, Fleet, HOUR};
use crate::replica::reading::shipped::{PendingObject, ShippedTo};
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::restoring::restore::Copier;
use crate::replica::shipping::collect::CollectStep;
use crate::replica::shipping::outgoing::ShipOutcome;
use crate::replica::shipping::ship::Shipper;
use crate::replica::terms::sleeper_test::AT_ONCE;
use crate::state::chat::{ChatFilter, NewMessage};
use crate::state::ids::{BotId, TaskId};
use crate::state::page::Page;
use crate::state::queue::{Claim, ClaimOptions, NewTask, Retry, Task, TaskState};

/// A machine that was killed, and the one that goes on.
struct Apart {
    fleet: Fleet,
    door: Door,
    /// The file of the one that was killed.
    file: PathBuf,
    /// The store that goes on.
    store: Store,
    writer: Shipper,
    copies: u32,
}

/// The work of a machine.
type Work<'w> = &'w dyn Fn(&Store);

impl Apart {
    /// `shipped` is in the replica although the file does not say so; `tail` is in the file alone; `here` comes after
    /// the take-over.
    async fn begin(before: Work<'_>, shipped: Work<'_>, tail: Work<'_>, here: Work<'_>) -> Result<Self> {
        Self::begin_with(&TakeOverOptions::default(), [before, shipped, tail, here]).await
    }

    async fn begin_with(how: &TakeOverOptions, [before, shipped, tail, here]: [Work<'_>; 4]) -> Result<Self> {
        let (fleet, store) = Fleet::begin().await?;
        let door = fleet.world.door();
        before(&store);
        // Its opening is written down.
        let mut writer = fleet.shipper(&door, &store).await?;
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        shipped(&store);
        assert_eq!(writer.step().await?, ShipOutcome::Done);
        tail(&store);
        let file = killed(&fleet);
        let path = fleet.path("new.redb");
        Follower::open(fleet.copier(&door).await?, &path, fleet.options()).await?.promote(how).await?;
        let store = fleet.open(&path)?;
        let writer = fleet.shipper(&door, &store).await?;
        here(&store);
        let mut apart = Self { fleet, door, file, store, writer, copies: 0 };
        apart.ship().await?;
        Ok(apart)
    }

    async fn ship(&mut self) -> Result<()> {
        assert_eq!(self.writer.step().await?, ShipOutcome::Done);
        Ok(())
    }

    async fn copier(&self) -> Result<Copier> {
        self.fleet.copier(&self.door).await
    }

    async fn plan(&self) -> Result<OrphansPlan> {
        self.store.plan_orphans_from(&self.copier().await?, &self.file, &OrphansOptions::default()).await
    }

    /// Applies a plan. The store is sound then, its replica gets all of it, and a second time nothing is left.
    async fn apply(&mut self) -> Result<OrphansPlan> {
        let plan = self.plan().await?;
        let report = self.store.apply_orphans(&plan)?;
        assert_eq!((&report.collections, &report.orphans), (&plan.collections, &plan.orphans));
        assert_eq!(report.undo.is_some(), plan.total().taken > 0);
        assert_eq!(self.store.check()?.findings, []);
        let again = self.plan().await?;
        assert_eq!(again.total().taken, 0, "{again}");
        assert_eq!(self.store.apply_orphans(&again)?.undo, None);
        self.ship().await?;
        let copy = self.fleet.path(&format!("copy {}.redb", self.copies));
        self.copies += 1;
        self.copier().await?.restore(&copy, &ReplicaMoment::Newest).await?;
        let restored = self.fleet.options().open(&copy)?;
        assert!(rows(&restored) == rows(&self.store), "the replica has not got it");
        Ok(plan)
    }

    /// The plan in one line for each record.
    async fn listed(&self) -> Result<Vec<String>> {
        Ok(self.plan().await?.orphans.iter().map(ToString::to_string).collect())
    }
}

/// The file and the log of the machine as they are now, on another disk. Nothing changes them meanwhile.
fn killed(fleet: &Fleet) -> PathBuf {
    let folder = fleet.path("killed");
    let files = || -> std::io::Result<Vec<_>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(fleet.folder.path())? {
            let (entry, name) = (entry.as_ref().unwrap(), entry.as_ref().unwrap().file_name().into_string().unwrap());
            if name == "h.redb" || name.starts_with("h.redb.wal") {
                let metadata = entry.metadata()?;
                files.push((name, metadata.len(), metadata.modified()?));
            }
        }
        files.sort();
        Ok(files)
    };
    let copied = || {
        fs::create_dir(&folder)?;
        let before = files()?;
        for (name, ..) in &before {
            fs::copy(fleet.path(name), folder.join(name))?;
        }
        Ok::<_, std::io::Error>(before == files()?)
    };
    while !copied().is_ok_and(|is_still| is_still) {
        fs::remove_dir_all(&folder).unwrap();
    }
    folder.join("h.redb")
}

fn nothing(_: &Store) {}

fn set(store: &Store, key: &str, value: impl Into<Value>) {
    let value = value.into();
    store.write(|tx| tx.config().put(key, &value)).unwrap();
}

fn unset(store: &Store, key: &str) {
    store.write(|tx| tx.config().remove(key)).unwrap();
}

fn config(store: &Store) -> Vec<(String, Value)> {
    store.view().unwrap().config().list().collect::<Result<_>>().unwrap()
}

fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn push(store: &Store, name: &str) {
    store.write(|tx| tx.queue().enqueue(NewTask::new(name).id(id(name)))).unwrap();
}

fn claim(store: &Store, bot: &str) -> Claim {
    let bot = BotId::new(bot).unwrap();
    store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).unwrap().remove(0)
}

fn done(store: &Store, bot: &str) {
    let claim = claim(store, bot);
    store.write(|tx| tx.queue().complete(&claim.id, claim.token, json!({"by": bot}))).unwrap();
}

fn task(store: &Store, name: &str) -> Option<Task> {
    store.view().unwrap().queue().get(&id(name)).unwrap()
}

#[test]
fn a_record_that_was_shipped_before_the_kill_and_removed_since_does_not_come_back() {
    block_on(shipped_and_removed()).unwrap();
}

async fn shipped_and_removed() -> Result<()> {
    let shipped = |store: &Store| set(store, "shipped", 1);
    let mut apart = Apart::begin(&|store| set(store, "a", 1), &shipped, &|store| set(store, "tail", 2), &|store| {
        unset(store, "shipped");
    })
    .await?;
    let bytes = fs::read(&apart.file).unwrap();
    let file = Store::options().read_only(true).session(false).open(&apart.file)?;
    let status = file.feed_status_of_file()?.unwrap();
    let written = ShippedTo::of_bytes(&status.position)?.sequence;
    drop(file);
    let plan = apart.apply().await?;
    assert!(
        written < plan.sequence && plan.sequence < status.sequence,
        "{written} {} {}",
        plan.sequence,
        status.sequence
    );
    assert_eq!(config(&apart.store), [("a".into(), json!(1)), ("tail".into(), json!(2))]);
    assert!(
        !plan.given_up
            && plan.to_string().contains("  config: take 1, already there 0, in conflict 0\n+ config/tail\n")
    );
    assert!(fs::read(&apart.file).unwrap() == bytes, "the file has changed");
    // Until it is taken over, the state of the file is not the one of anybody else.
    apart.store.undo()?;
    assert_eq!(config(&apart.store), [("a".into(), json!(1))]);
    Ok(())
}

#[test]
fn what_only_the_file_has_is_taken_and_what_both_have_changed_stays() {
    block_on(three_way()).unwrap();
}

async fn three_way() -> Result<()> {
    let document = |text: &str| crate::json::parse(text.as_bytes()).unwrap();
    let before = |store: &Store| {
        ["changed", "both", "same", "removed", "removed here", "kept"].iter().for_each(|key| set(store, key, 1));
        store.write(|tx| tx.collection("rooms")?.put("attic", &json!(1))).unwrap();
        store.write(|tx| tx.documents().put("d", "both", &document(r#"{"bots":{"A":[1],"B":[2]}}"#))).unwrap();
        store.write(|tx| tx.documents().put("d", "file", &document(r#"{"bots":{"A":[1],"B":[2],"C":[3]}}"#))).unwrap();
        store.write(|tx| tx.chat().append(NewMessage::new("c", "user", "first"))).unwrap();
    };
    let tail = |store: &Store| {
        [("changed", 2), ("both", 2), ("same", 2), ("removed here", 2), ("new", 2)]
            .iter()
            .for_each(|(key, value)| set(store, key, *value));
        unset(store, "removed");
        store.write(|tx| tx.collection("rooms")?.put("cellar", &json!("x".repeat(2 << 20)))).unwrap();
        store.write(|tx| tx.collection("sheds")?.put("a", &json!(1))).unwrap();
        store.write(|tx| tx.registry().put(&Bot::new(BotId::new("ant")?))).unwrap();
        store.write(|tx| tx.documents().put("d", "both", &document(r#"{"bots":{"A":[9],"B":[2]}}"#))).unwrap();
        store.write(|tx| tx.documents().put("d", "file", &document(r#"{"bots":{"B":[7]}}"#))).unwrap();
        store.restore_point("there").unwrap();
        for text in ["said", "said", "heard"] {
            store.write(|tx| tx.chat().append(NewMessage::new("c", "user", text))).unwrap();
        }
    };
    let here = |store: &Store| {
        [("both", 3), ("same", 2)].iter().for_each(|(key, value)| set(store, key, *value));
        unset(store, "removed here");
        store.write(|tx| tx.collection("here")?.put("a", &json!(1))).unwrap();
        store.write(|tx| tx.documents().put("d", "both", &document(r#"{"bots":{"A":[1],"B":[8]}}"#))).unwrap();
        store.write(|tx| tx.chat().append(NewMessage::new("c", "user", "heard"))).unwrap();
    };
    let mut apart = Apart::begin(&before, &nothing, &tail, &here).await?;
    let before = rows(&apart.store);
    let plan = apart.apply().await?;
    let listed: Vec<_> = plan.orphans.iter().map(ToString::to_string).collect();
    let expected = [
        "+ registry/ant",
        "+ chat/2",
        "+ chat/3",
        "! config/both: both have changed it",
        "~ config/changed",
        "+ config/new",
        "- config/removed",
        "! config/removed here: both have changed it",
        "! documents/d/both: both have changed it",
        "~ documents/d/file",
        "+ rooms/cellar",
        "+ sheds/a",
    ];
    assert_eq!(listed, expected);
    assert_eq!((plan.collections["config"].already_there, plan.collections["chat"].already_there), (1, 1));
    assert!(plan.to_string().ends_with("the file keeps for itself: 1 event, 1 restore point\n"), "{plan}");
    let store = &apart.store;
    let values: Vec<_> = config(store).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(values, ["both=3", "changed=2", "kept=1", "new=2", "same=2"]);
    let view = store.view()?;
    assert_eq!(view.documents().text("d", "both")?.unwrap(), r#"{"bots":{"A":[1],"B":[8]}}"#);
    assert_eq!(view.documents().text("d", "file")?.unwrap(), r#"{"bots":{"B":[7]}}"#);
    let messages = view.chat().list(&ChatFilter::default(), Page::newest(9))?;
    let said: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(said, ["said", "said", "heard", "first"]);
    assert!(messages[0].sequence > messages[1].sequence && messages[1].sequence > messages[2].sequence);
    let event = &view.events().list(Page::newest(1))?[0];
    assert_eq!(
        (&event.kind, &event.details["collections"]["config"]["taken"]),
        (&EventKind::OrphansApplied, &json!(3))
    );
    store.undo()?;
    let content = |rows: &crate::replica::bench_test::Rows| {
        let live = rows.iter().filter(|((table, _), _)| *table == Table::Live || *table == Table::Index);
        let read = |((table, key), value): (&(Table, Vec<u8>), &Vec<u8>)| {
            let state = crate::engine::frame::decode(table.place(key), value).unwrap().payload().map(<[u8]>::to_vec);
            (*table as usize, key.clone(), state)
        };
        live.map(read).collect::<Vec<_>>()
    };
    assert!(content(&rows(store)) == content(&before), "the undo leaves something");
    assert!(store.check()?.is_sound());
    Ok(())
}

#[test]
fn without_a_change_of_its_own_and_for_others_the_file_has_a_clear_answer() {
    block_on(answers()).unwrap();
}

async fn answers() -> Result<()> {
    let apart = Apart::begin(&nothing, &|store| set(store, "a", 1), &nothing, &nothing).await?;
    let plan = apart.plan().await?;
    assert!(plan.total().taken == 0 && plan.to_string().contains("nothing is in the file alone"), "{plan}");
    let copier = apart.copier().await?;
    let (options, store) = (OrphansOptions::default(), &apart.store);
    let own = store.plan_orphans_from(&copier, store.path(), &options).await.unwrap_err();
    assert_eq!((own.kind(), own.to_string().contains("is the store itself")), (ErrorKind::Invalid, true));
    let fresh = apart.fleet.path("fresh.redb");
    apart.fleet.open(&fresh)?.close()?;
    let fresh = store.plan_orphans_from(&copier, &fresh, &options).await.unwrap_err();
    assert!(fresh.kind() == ErrorKind::Conflict && fresh.to_string().contains("which replica"), "{fresh}");
    let (elsewhere, other) = Fleet::begin().await?;
    let (door, path) = (elsewhere.world.door(), elsewhere.path("h.redb"));
    let _writer = elsewhere.shipper(&door, &other).await?;
    let stranger = store.plan_orphans_from(&elsewhere.copier(&door).await?, &apart.file, &options).await.unwrap_err();
    assert!(stranger.kind() == ErrorKind::Conflict && stranger.to_string().contains("another store"), "{stranger}");
    other.close()?;
    let goes_on = store.plan_orphans_from(&elsewhere.copier(&door).await?, &path, &options).await.unwrap_err();
    assert!(goes_on.kind() == ErrorKind::Conflict && goes_on.to_string().contains("no other machine"), "{goes_on}");
    Ok(())
}

#[test]
fn what_a_restore_gave_up_is_taken_back_only_where_that_is_allowed() {
    block_on(given_up()).unwrap();
}

async fn given_up() -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let door = fleet.world.door();
    let mut writer = fleet.shipper(&door, &store).await?;
    set(&store, "a", 1);
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    let moment = ReplicaMoment::Sequence(store.feed_status()?.unwrap().sequence);
    set(&store, "given up", 1);
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    set(&store, "tail", 1);
    let (file, path, copier) = (killed(&fleet), fleet.path("new.redb"), fleet.copier(&door).await?);
    copier.restore(&path, &moment).await?;
    let how = TakeOverOptions::default();
    Follower::open(copier.clone(), &path, fleet.options()).await?.take_over(&how).await?;
    let store = fleet.open(&path)?;
    let writer = fleet.shipper(&door, &store).await?;
    let mut apart = Apart { fleet, door, file, store, writer, copies: 0 };
    apart.ship().await?;
    let plan = apart.plan().await?;
    assert!(plan.given_up && plan.to_string().contains("gave up what the replica had"), "{plan}");
    assert_eq!(ReplicaMoment::Sequence(plan.sequence), moment);
    let refused = apart.store.apply_orphans(&plan).unwrap_err();
    assert_eq!((refused.kind(), refused.hint()), (ErrorKind::Conflict, Some(&Hint::AllowGivenUp)));
    assert_eq!(config(&apart.store), [("a".into(), json!(1))]);
    let options = OrphansOptions { with_given_up: true, ..OrphansOptions::default() };
    let plan = apart.store.plan_orphans_from(&apart.copier().await?, &apart.file, &options).await?;
    assert_eq!(apart.store.apply_orphans(&plan)?.total().taken, 2);
    let keys: Vec<_> = config(&apart.store).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "given up", "tail"]);
    Ok(())
}

#[test]
fn a_copy_of_the_file_goes_apart_at_the_last_commit_that_is_its_own_whatever_the_numbers_are() {
    block_on(cloned(false)).unwrap();
    block_on(cloned(true)).unwrap();
}

/// A copy of the disk is written to by itself, with the numbers that the commits of the original have. Before, the
/// machine may have been killed and started again, so that the copy knows of an earlier term alone.
async fn cloned(starts_again: bool) -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let door = fleet.world.door();
    let mut writer = fleet.shipper(&door, &store).await?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    set(&store, "common", 1);
    let file = killed(&fleet);
    if starts_again {
        drop(writer);
        writer = fleet.shipper(&door, &store).await?;
    }
    (0..3).for_each(|number| set(&store, "original", number));
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    let clone = fleet.options().open(&file)?;
    (0..3).for_each(|number| set(&clone, "clone", number));
    clone.close()?;
    let path = fleet.path("new.redb");
    let how = TakeOverOptions::default();
    Follower::open(fleet.copier(&door).await?, &path, fleet.options()).await?.promote(&how).await?;
    let store = fleet.open(&path)?;
    let writer = fleet.shipper(&door, &store).await?;
    unset(&store, "common");
    let mut apart = Apart { fleet, door, file, store, writer, copies: 0 };
    assert_eq!(apart.apply().await?.orphans.iter().map(ToString::to_string).collect::<Vec<_>>(), ["+ config/clone"]);
    assert_eq!(config(&apart.store), [("clone".into(), json!(2)), ("original".into(), json!(2))]);
    Ok(())
}

#[test]
fn a_file_whose_state_the_replica_no_longer_has_is_refused() {
    block_on(collected()).unwrap();
}

async fn collected() -> Result<()> {
    let mut apart = Apart::begin(&nothing, &nothing, &|store| set(store, "a", 1), &nothing).await?;
    for number in 0..3 {
        let _made = apart.writer.base().await?;
        apart.fleet.clock.advance(HOUR);
        set(&apart.store, "b", number);
        apart.ship().await?;
    }
    let mut collector = apart.writer.collector(AT_ONCE);
    while !matches!(
        apart.writer.collect(&mut collector, HOUR).await?.unwrap(),
        CollectStep::Nothing | CollectStep::Over
    ) {}
    let refused = apart.plan().await.unwrap_err();
    assert!(refused.kind() == ErrorKind::NotFound && refused.to_string().contains("no longer has"), "{refused}");
    Ok(())
}

#[test]
fn a_file_that_lacks_what_it_has_shipped_gives_no_removals() {
    block_on(without_log()).unwrap();
}

async fn without_log() -> Result<()> {
    let (fleet, store) = Fleet::begin().await?;
    let door = fleet.world.door();
    let mut writer = fleet.shipper(&door, &store).await?;
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    let file = killed(&fleet);
    (0..9).for_each(|number| set(&store, &format!("k{number}"), number));
    assert_eq!(writer.step().await?, ShipOutcome::Done);
    // The object was on its way when its file was written, and the commits in it were in a log that is lost.
    let ShippedTo { previous: hash, sequence, time, collections, .. } =
        ShippedTo::of_bytes(&store.feed_status()?.unwrap().position)?;
    let copy = fleet.options().session(false).open(&file)?;
    let status = copy.feed_status()?.unwrap();
    let pending = Some(PendingObject { hash, sequence, time, collections });
    let at = ShippedTo { pending, ..ShippedTo::of_bytes(&status.position)? };
    copy.note_shipped(status.id, at.sequence, at.to_bytes()?);
    copy.write_shipped()?;
    copy.close()?;
    let path = fleet.path("new.redb");
    let how = TakeOverOptions::default();
    Follower::open(fleet.copier(&door).await?, &path, fleet.options()).await?.promote(&how).await?;
    let store = fleet.open(&path)?;
    let writer = fleet.shipper(&door, &store).await?;
    let mut apart = Apart { fleet, door, file, store, writer, copies: 0 };
    apart.ship().await?;
    assert_eq!(apart.apply().await?.total().taken, 0);
    assert_eq!(config(&apart.store).len(), 9);
    Ok(())
}

#[test]
fn a_store_that_was_overtaken_and_does_not_know_it_takes_nothing() {
    block_on(unaware()).unwrap();
}

async fn unaware() -> Result<()> {
    let apart = Apart::begin(&nothing, &nothing, &|store| set(store, "a", 1), &nothing).await?;
    assert_eq!(apart.listed().await?, ["+ config/a"]);
    let path = apart.fleet.path("newest.redb");
    let how = TakeOverOptions::default();
    Follower::open(apart.copier().await?, &path, apart.fleet.options()).await?.promote(&how).await?;
    let refused = apart.plan().await.unwrap_err();
    assert!(
        refused.kind() == ErrorKind::Conflict && refused.to_string().contains("not the one that goes on"),
        "{refused}"
    );
    Ok(())
}

#[test]
fn a_machine_that_starts_again_writes_down_how_far_the_replica_has_its_file_before_it_is_locked() {
    block_on(started_again()).unwrap();
}

async fn started_again() -> Result<()> {
    let shipped = |store: &Store| set(store, "shipped", 1);
    let apart = Apart::begin(&nothing, &shipped, &|store| set(store, "tail", 1), &nothing).await?;
    let sequence = apart.plan().await?.sequence;
    let store = apart.fleet.open(&apart.file)?;
    for _ in 0..2 {
        let refused = apart.fleet.shipper(&apart.door, &store).await.err().unwrap();
        assert!(refused.to_string().contains("moved to another file"), "{refused}");
        let place = ShippedTo::of_bytes(&store.feed_status()?.unwrap().position)?;
        assert_eq!(place.sequence, sequence);
        store.write_shipped()?;
    }
    store.close()?;
    assert_eq!(apart.plan().await?.sequence, sequence);
    Ok(())
}

#[test]
fn a_message_that_has_changed_is_in_conflict() {
    let before = |store: &Store| {
        store.write(|tx| tx.chat().append(NewMessage::new("c", "user", "first"))).unwrap();
    };
    let tail = |store: &Store| {
        let message = store.view().unwrap().chat().get(1).unwrap().unwrap();
        let message = crate::Message { content: "other".into(), ..message };
        let bytes = crate::engine::codec::encode(&message).unwrap();
        store.write(|tx| tx.put(CollectionId::CHAT, &1_u64.to_be_bytes(), &bytes)).unwrap();
    };
    let run = async {
        let mut apart = Apart::begin(&before, &nothing, &tail, &nothing).await?;
        assert_eq!(apart.listed().await?, ["! chat/1: a message never changes"]);
        apart.apply().await.map(drop)
    };
    block_on(run).unwrap();
}

#[test]
fn a_record_that_a_damaged_page_hides_never_counts_as_removed_and_nothing_is_written_then() {
    block_on(hidden()).unwrap();
}

async fn hidden() -> Result<()> {
    let hide = |store: &Store, key: &str| {
        let row = CollectionId::CONFIG.row_key(key.as_bytes());
        assert!(store.write(|tx: &mut WriteTx<'_>| tx.delete(Table::Live, &row)).unwrap());
    };
    let before = |store: &Store| {
        ["a", "b"].iter().for_each(|key| set(store, key, 1));
        store.write(|tx| tx.registry().put(&Bot::new(BotId::new("ant")?))).unwrap();
    };
    let change = |store: &Store| {
        set(store, "c", 1);
        store.write(|tx| tx.registry().remove(&BotId::new("ant")?)).unwrap();
    };
    let in_the_file = |store: &Store| {
        change(store);
        hide(store, "a");
    };
    let in_the_store = |store: &Store| hide(store, "b");
    let cases: [(Work<'_>, Work<'_>, &str); 2] =
        [(&in_the_file, &nothing, "of=the overtaken file"), (&change, &in_the_store, "of=the store")];
    for (tail, here, of) in cases {
        let mut apart = Apart::begin(&before, &nothing, tail, &nothing).await?;
        let healthy = if of == "of=the store" { Some(apart.plan().await?) } else { None };
        here(&apart.store);
        let damaged = apart.plan().await.unwrap_err();
        assert!(damaged.kind() == ErrorKind::Damaged && damaged.to_string().contains(of), "{damaged}");
        let Some(plan) = healthy else { continue };
        let sequence = apart.store.feed_status()?.unwrap().sequence;
        assert_eq!(apart.store.apply_orphans(&plan).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(apart.store.feed_status()?.unwrap().sequence, sequence);
        assert!(apart.store.view()?.registry().get(&BotId::new("ant")?)?.is_some());
        apart.ship().await?;
    }
    Ok(())
}

/// A task `t`, done by each machine, and what becomes of it: a line of the plan, and its state then.
type Case<'c> = (&'c str, Work<'c>, Work<'c>, Work<'c>, &'c [&'c str], Option<TaskState>);

fn push_t(store: &Store) {
    push(store, "t");
}

fn push_once(store: &Store) {
    store.write(|tx| tx.queue().enqueue(NewTask::new("t").id(id("t")).max_attempts(1))).unwrap();
}

fn keyed(store: &Store, name: &str, payload: &str) {
    let new = NewTask::new(payload).id(id(name)).idempotency_key("key");
    store.write(|tx| tx.queue().enqueue(new)).unwrap();
}

/// A due time of a schedule becomes the task `t`, so many seconds late.
fn due(store: &Store, late: i64) {
    let named = [("schedule", "tidy"), ("due_at", "2027-01-15T08:00:00Z")];
    let attributes = named.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
    let new = NewTask::new("t").id(id("t")).attributes(attributes);
    let new = new.enqueued_at(crate::testkit::checked_store::time(late));
    store.write(|tx| tx.queue().enqueue_unseen(new)).unwrap().unwrap();
}

fn after(store: &Store, name: &str, other: &str) {
    let new = NewTask::new(name).id(id(name)).after(id(other)).allow_missing_dependencies();
    store.write(|tx| tx.queue().enqueue(new)).unwrap();
}

fn done_by_ant(store: &Store) {
    done(store, "ant");
}

fn cancel_t(store: &Store) {
    store.write(|tx| tx.queue().cancel(&id("t"))).unwrap();
}

fn requeue_t(store: &Store) {
    store.write(|tx| tx.queue().requeue(&id("t"))).unwrap();
}

/// Removes every finished task.
fn purge(store: &Store) {
    let later = "2200-01-01T00:00:00Z".parse().unwrap();
    store.write(|tx| tx.queue().purge(later, 99)).unwrap();
}

#[test]
fn a_task_is_taken_with_the_end_that_its_bot_gave_it_and_never_runs_a_second_time() {
    use TaskState::{Cancelled, Claimed, Done, Failed, Ready, Waiting};
    let fail = |retry| {
        move |store: &Store| {
            let claim = claim(store, "ant");
            store.write(|tx| tx.queue().fail(&claim.id, claim.token, "no", retry)).unwrap();
        }
    };
    let (never, later) = (fail(Retry::Never), fail(Retry::Later));
    let claimed = |store: &Store| drop(claim(store, "dog"));
    let cases: &[Case<'_>] = &[
        ("done there", &push_t, &done_by_ant, &nothing, &["~ queue/t"], Some(Done)),
        ("failed there", &push_t, &never, &nothing, &["~ queue/t"], Some(Failed)),
        ("begun here", &push_t, &done_by_ant, &claimed, &["! queue/t: it was begun again here"], Some(Claimed)),
        ("tried here", &push_t, &done_by_ant, &later, &["! queue/t: it was begun again here"], None),
        (
            "done by both",
            &push_t,
            &done_by_ant,
            &|s| done(s, "dog"),
            &["! queue/t: it has ended otherwise here"],
            Some(Done),
        ),
        ("done here and purged", &push_t, &done_by_ant, &|s| (done(s, "dog"), purge(s)).1, &[], None),
        ("new", &nothing, &push_t, &nothing, &["+ queue/t"], Some(Ready)),
        ("new and claimed", &nothing, &|s| (push_t(s), claimed(s)).1, &nothing, &["+ queue/t"], Some(Ready)),
        ("new and done", &nothing, &|s| (push_t(s), done_by_ant(s)).1, &nothing, &["+ queue/t"], Some(Done)),
        ("only claimed", &push_t, &claimed, &nothing, &[], Some(Ready)),
        ("only tried", &push_t, &later, &nothing, &[], Some(Ready)),
        ("dead there", &push_once, &later, &nothing, &[], Some(Ready)),
        ("cancelled there", &push_t, &cancel_t, &nothing, &["~ queue/t"], Some(Cancelled)),
        ("cancelled, begun here", &push_t, &cancel_t, &claimed, &["! queue/t: it was begun again here"], Some(Claimed)),
        (
            "requeued there",
            &|s| (push_t(s), cancel_t(s)).1,
            &|s| {
                s.write(|tx| tx.queue().requeue(&id("t"))).unwrap();
            },
            &nothing,
            &["~ queue/t"],
            Some(Ready),
        ),
        (
            "assigned there",
            &push_t,
            &|s| {
                s.write(|tx| tx.queue().assign(&id("t"), &BotId::new("ant")?)).unwrap();
            },
            &nothing,
            &["~ queue/t"],
            Some(Waiting),
        ),
        (
            "gone there",
            &push_t,
            &|s| (done_by_ant(s), purge(s)).1,
            &nothing,
            &["! queue/t: it is not in the file any more, and how it ended there is not known"],
            Some(Ready),
        ),
        (
            "forgotten here",
            &push_t,
            &done_by_ant,
            &|s| {
                s.write(|tx| tx.queue().set_memory(std::time::Duration::ZERO, 0)).unwrap();
                (done(s, "dog"), purge(s)).1
            },
            &["! queue/t: it is not in the store any more, and how it ended there is not known"],
            None,
        ),
        ("the same work", &nothing, &|s| keyed(s, "t", "a"), &|s| keyed(s, "other", "a"), &[], None),
        (
            "other work",
            &nothing,
            &|s| keyed(s, "t", "a"),
            &|s| keyed(s, "other", "b"),
            &["! queue/t: the store has another task with its idempotency key"],
            None,
        ),
        (
            "the same name",
            &nothing,
            &push_t,
            &|s| keyed(s, "t", "b"),
            &["! queue/t: the store has another task of this name"],
            Some(Ready),
        ),
        ("the same due time", &nothing, &|s| due(s, 1), &|s| due(s, 2), &[], Some(Ready)),
        (
            "requeued by both",
            &|s| (push_t(s), cancel_t(s)).1,
            &|s| (requeue_t(s), done_by_ant(s)).1,
            &|s| (requeue_t(s), claimed(s)).1,
            &["! queue/t: it was begun again here"],
            Some(Claimed),
        ),
        (
            "undone there",
            &|s| (push_t(s), done_by_ant(s)).1,
            &|s| {
                s.write(|tx| tx.queue().leave_out(b"t")).unwrap();
                push_t(s);
            },
            &nothing,
            &["! queue/t: it is done here"],
            Some(Done),
        ),
        (
            "undone and cancelled there",
            &|s| (push_t(s), done_by_ant(s)).1,
            &|s| {
                s.write(|tx| tx.queue().leave_out(b"t")).unwrap();
                (push_t(s), cancel_t(s)).1
            },
            &nothing,
            &["! queue/t: it is done here"],
            Some(Done),
        ),
        (
            "done there, cancelled here",
            &nothing,
            &|s| (push_t(s), done_by_ant(s)).1,
            &|s| (push_t(s), cancel_t(s)).1,
            &["! queue/t: it has ended otherwise here"],
            Some(Cancelled),
        ),
        (
            "done there, cancelled and purged here",
            &push_t,
            &done_by_ant,
            &|s| (cancel_t(s), purge(s)).1,
            &["! queue/t: it has ended otherwise here"],
            None,
        ),
        (
            "another task of the name there",
            &push_t,
            &|s| {
                cancel_t(s);
                purge(s);
                let new = NewTask::new("t").id(id("t")).enqueued_at(crate::testkit::checked_store::time(9));
                s.write(|tx| tx.queue().enqueue(new)).unwrap();
            },
            &nothing,
            &["! queue/t: the file has another task of this name"],
            Some(Ready),
        ),
        ("done in the file alone", &nothing, &|s| (push_t(s), done_by_ant(s)).1, &push_t, &["+ queue/t"], Some(Done)),
        (
            "done there and begun here",
            &nothing,
            &|s| (push_t(s), done_by_ant(s)).1,
            &|s| (push_t(s), claimed(s)).1,
            &["! queue/t: it was begun again here"],
            Some(Claimed),
        ),
        (
            "done there under another name",
            &nothing,
            &|s| (keyed(s, "t", "a"), done_by_ant(s)).1,
            &|s| keyed(s, "other", "a"),
            &["! queue/t: the store has another task with its idempotency key"],
            None,
        ),
        (
            "the key of an earlier task",
            &|s| keyed(s, "other", "a"),
            &|s| {
                s.write(|tx| tx.queue().cancel(&id("other"))).unwrap();
                (purge(s), keyed(s, "t", "a")).1
            },
            &nothing,
            &[
                "! queue/other: it is not in the file any more, and how it ended there is not known",
                "! queue/t: the store has another task with its idempotency key",
            ],
            None,
        ),
        (
            "the name of an earlier task",
            &|s| (push_t(s), done_by_ant(s), purge(s)).2,
            &|s| {
                let new = NewTask::new("t").id(id("t")).enqueued_at(crate::testkit::checked_store::time(9));
                s.write(|tx| tx.queue().enqueue(new)).unwrap();
            },
            &nothing,
            &["! queue/t: the store finished an earlier task with this id"],
            None,
        ),
        (
            "waits for one that is done there alone",
            &|s| push(s, "a"),
            &|s| (done_by_ant(s), after(s, "t", "a")).1,
            &claimed,
            &["! queue/a: it was begun again here", "+ queue/t"],
            Some(Waiting),
        ),
        (
            "waits for a new one",
            &nothing,
            &|s| (push(s, "z"), after(s, "t", "z")).1,
            &nothing,
            &["+ queue/t", "+ queue/z"],
            Some(Waiting),
        ),
        (
            "waits for none",
            &nothing,
            &|s| after(s, "t", "z"),
            &nothing,
            &["! queue/t: it waits for a task that will not be done here"],
            None,
        ),
        (
            "waits for one that waits for none",
            &nothing,
            &|s| (after(s, "t", "y"), after(s, "y", "z")).1,
            &nothing,
            &[
                "! queue/t: it waits for a task that is not taken",
                "! queue/y: it waits for a task that will not be done here",
            ],
            None,
        ),
        (
            "waits for itself",
            &nothing,
            &|s| (push(s, "y"), after(s, "t", "y")).1,
            &|s| after(s, "y", "t"),
            &["! queue/t: it would wait for itself", "! queue/y: the store has another task of this name"],
            None,
        ),
    ];
    for (name, before, tail, here, expected, state) in cases {
        let run = async {
            let mut apart = Apart::begin(*before, &nothing, *tail, *here).await?;
            assert_eq!(apart.listed().await?, *expected, "{name}");
            apart.apply().await?;
            if let Some(state) = state {
                let task = task(&apart.store, "t").unwrap();
                assert_eq!((task.state, task.attempts <= 1), (*state, true), "{name}");
            }
            Ok::<_, crate::Error>(())
        };
        block_on(run).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_task_that_was_taken_done_and_purged_is_not_taken_again() {
    let run = async {
        let mut apart = Apart::begin(&nothing, &nothing, &push_t, &nothing).await?;
        apart.apply().await?;
        assert_eq!(task(&apart.store, "t").unwrap().attempts, 0);
        done(&apart.store, "dog");
        assert_eq!(apart.apply().await?.total().taken, 0);
        purge(&apart.store);
        let plan = apart.plan().await?;
        assert_eq!((plan.total().taken, plan.total().already_there), (0, 1));
        Ok::<_, crate::Error>(())
    };
    block_on(run).unwrap();
}

#[test]
fn a_claim_that_a_take_over_kept_ends_with_the_word_of_its_bot_alone() {
    let before = |store: &Store| {
        push(store, "t");
        claim(store, "ant");
    };
    let own_end = |store: &Store| {
        let token = task(store, "t").unwrap().holder.unwrap().token;
        store.write(|tx| tx.queue().complete(&id("t"), token, "done")).unwrap();
    };
    let lease_end = |store: &Store| {
        store.write(|tx| tx.queue().void_claims()).unwrap();
    };
    let other_end = |store: &Store| {
        let token = task(store, "t").unwrap().holder.unwrap().token;
        store.write(|tx| tx.queue().release(&id("t"), token)).unwrap();
        done(store, "bee");
    };
    let how = TakeOverOptions { keep_claims: true, ..TakeOverOptions::default() };
    // Whether the lease ends here before.
    let cases: [(Work<'_>, bool, TaskState); 5] = [
        (&own_end, false, TaskState::Done),
        (&own_end, true, TaskState::Done),
        (&lease_end, false, TaskState::Claimed),
        (&other_end, false, TaskState::Claimed),
        (&cancel_t, false, TaskState::Claimed),
    ];
    for (tail, ends, state) in cases {
        let run = async {
            let mut apart = Apart::begin_with(&how, [&before, &nothing, tail, &nothing]).await?;
            assert_eq!(task(&apart.store, "t").unwrap().state, TaskState::Claimed);
            if ends {
                apart.fleet.clock.advance(HOUR);
                assert_eq!(apart.store.write(|tx| tx.queue().expire(9))?, 1);
            }
            apart.apply().await?;
            assert_eq!(task(&apart.store, "t").unwrap().state, state);
            Ok::<_, crate::Error>(())
        };
        block_on(run).unwrap();
    }
}
