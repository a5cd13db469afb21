//! Bots at work on one queue: they finish, fail, hang until their lease has ended, come too late, and are killed. In
//! the end every task has ended exactly once, as done or as dead, and the audit trail tells why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hivekeep::{
    BotId, Claim, ClaimOptions, ClaimOwner, Entry, ErrorKind, NewEntry, NewTask, Page, Queue, Retry, Store, Task,
    TaskCounts, TaskState, WriteTx,
};
use serde_json::json;

use crate::children::Told;
use crate::knobs::scale;
use crate::{Children, LIFE, Log, Numbers, ready};

/// The instructions to a process of this test.
pub const TASK: &str = "fleet";

const PROCESSES: usize = 3;
const BOTS: usize = 3;
/// Kills of a round, of which there are as many as the scale.
const KILLS: usize = 20;
const MAX_ATTEMPTS: u32 = 4;
const LEASE: Duration = Duration::from_millis(100);
/// Longer than any lease lasts.
const TOO_LONG: Duration = Duration::from_millis(150);
/// One in this many tasks fails, whichever bot takes it.
const POISON: u64 = 20;
/// The supervisor's channel to the processes.
const ENOUGH: &str = "enough";
const STOP: &str = "stop";

/// One process: a producer, and bots that take what there is, until they are told to stop.
pub fn work(told: &Told) {
    let store = Store::open(&told.store).unwrap();
    let log = Log::of(&told.store);
    std::fs::write(ready(&told.store, told.number), b"").unwrap();
    let end = Instant::now() + LIFE;
    std::thread::scope(|scope| {
        scope.spawn(|| produce_until(end, &store, told.number));
        for bot in 0..BOTS {
            let id = BotId::new(format!("BOT-{}-{bot}", told.number)).unwrap();
            let numbers = Numbers(u64::from(std::process::id()) << 8 | (bot as u64 + 1));
            let bot = Bot { store: &store, log: &log, id, numbers };
            scope.spawn(move || bot.work_until(end));
        }
    });
    store.close().unwrap();
}

fn is_told(store: &Store, what: &str) -> bool {
    store.view().unwrap().config().get(what).unwrap().is_some()
}

/// Enqueues one task after the other, some of them a second time, as one does who was not answered.
fn produce_until(end: Instant, store: &Store, producer: usize) {
    let name = format!("producer-{producer}");
    while Instant::now() < end && !is_told(store, ENOUGH) {
        store
            .write(|tx| {
                let mut produced = tx.collection::<u64>("produced")?;
                let number = produced.get(&name)?.unwrap_or_default();
                produced.put(&name, &(number + 1))?;
                let first = enqueue(&mut tx.queue(), &name, number)?;
                let again = enqueue(&mut tx.queue(), &name, number)?;
                assert_eq!(first.id, again.id, "one key, two tasks");
                Ok(())
            })
            .unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    store.write(|tx| tx.collection("ended")?.put(&name, &true)).unwrap();
}

fn enqueue(queue: &mut Queue<&mut WriteTx<'_>>, name: &str, number: u64) -> hivekeep::Result<Task> {
    let key = format!("{name}-{number}");
    queue.enqueue(NewTask::new(number).idempotency_key(key).max_attempts(MAX_ATTEMPTS))
}

/// One bot. Whatever it does to a task, it says in the audit trail, in the same transaction.
struct Bot<'a> {
    store: &'a Store,
    log: &'a Log,
    id: BotId,
    numbers: Numbers,
}

impl Bot<'_> {
    fn work_until(mut self, end: Instant) {
        while Instant::now() < end && !is_told(self.store, STOP) {
            for claim in self.claim() {
                self.work_on(&claim);
            }
        }
    }

    /// Some bots claim for their process, whose death gives the tasks back; others until their lease ends.
    fn claim(&mut self) -> Vec<Claim> {
        let owner = if self.numbers.below(2) == 0 { ClaimOwner::Process } else { ClaimOwner::Nobody };
        let max = 1 + self.numbers.below(2) as usize;
        let options = ClaimOptions { owner, lease: LEASE, max, ..ClaimOptions::default() };
        let claims = self.store.write(|tx| {
            let claims = tx.queue().claim(&self.id, &options)?;
            for claim in &claims {
                tx.audit().append(entry("claimed", &self.id, claim))?;
            }
            Ok(claims)
        });
        let claims = claims.unwrap();
        if claims.is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
        claims
    }

    fn work_on(&mut self, claim: &Claim) {
        let is_poison = claim.payload.as_u64().unwrap().is_multiple_of(POISON);
        match self.numbers.below(20) {
            _ if is_poison => self.fail(claim),
            0 => self.fail(claim),
            1 => {
                self.tell("released", claim, |tx| tx.queue().release(&claim.id, claim.token));
            }
            2 => self.come_too_late(claim),
            3 => {
                self.tell("extended", claim, |tx| tx.queue().extend(&claim.id, claim.token, LEASE));
                self.complete(claim);
            }
            _ => self.complete(claim),
        }
    }

    fn complete(&mut self, claim: &Claim) {
        let done = self.tell("done", claim, |tx| tx.queue().complete(&claim.id, claim.token, json!(self.id)));
        if done {
            self.log.note("done", claim.id.as_str(), claim.token.0);
        }
    }

    fn fail(&mut self, claim: &Claim) {
        let retry = Retry::After(Duration::from_millis(self.numbers.below(20)));
        self.tell("failed", claim, |tx| tx.queue().fail(&claim.id, claim.token, "it cannot be done", retry));
    }

    /// Hangs until the lease has ended and somebody has looked: then the token is void.
    fn come_too_late(&mut self, claim: &Claim) {
        std::thread::sleep(TOO_LONG);
        self.store.write(|tx| tx.queue().expire(100)).unwrap();
        let complete = self.store.write(|tx| tx.queue().complete(&claim.id, claim.token, json!("too late")));
        assert_eq!(complete.unwrap_err().kind(), ErrorKind::Conflict, "a late completion was taken");
    }

    /// Does it and says so; whether the token was still good.
    fn tell(&self, what: &str, claim: &Claim, verb: impl Fn(&mut WriteTx<'_>) -> hivekeep::Result<Task>) -> bool {
        let told = self.store.write(|tx| {
            verb(tx)?;
            tx.audit().append(entry(what, &self.id, claim))
        });
        match told {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::Conflict => false,
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

fn entry(what: &str, bot: &BotId, claim: &Claim) -> NewEntry {
    let details = json!({"token": claim.token, "attempt": claim.attempts});
    NewEntry { target: Some(claim.id.to_string()), details, ..NewEntry::new(what, bot.as_str()) }
}

/// The life of a task according to the audit trail.
#[derive(Debug, Default)]
struct Story {
    /// The claim that nobody has said the end of, and which attempt it is.
    open: Option<(u64, u32)>,
    /// The attempts that count.
    attempts: u32,
    /// How the last attempt failed, if its bot said so.
    last_failed: bool,
    highest_token: u64,
    done: bool,
}

impl Story {
    fn goes_on(&mut self, entry: &Entry) {
        let number = |name: &str| entry.details[name].as_u64().unwrap();
        let (token, attempt) = (number("token"), number("attempt") as u32);
        assert!(!self.done, "something was done to a finished task: {entry:?}");
        if entry.action == "claimed" {
            // A claim still open ended without a word: by its lease, or with its process. That counts.
            assert_eq!(attempt, self.attempts + 1, "an attempt was not counted: {entry:?}");
            assert!(token > self.highest_token, "a token came again: {entry:?}");
            *self = Self { open: Some((token, attempt)), attempts: attempt, highest_token: token, ..Self::default() };
            return;
        }
        assert_eq!(self.open, Some((token, attempt)), "it was not this bot's: {entry:?}");
        match entry.action.as_str() {
            "extended" => return,
            "done" => self.done = true,
            "failed" => self.last_failed = true,
            "released" => self.attempts -= 1,
            other => panic!("nobody does that: {other}"),
        }
        self.open = None;
    }

    /// Whether it ended as the task says that it did.
    fn ends_as(&self, task: &Task) {
        assert_eq!(self.attempts, task.attempts, "{task:?} {self:?}");
        match task.state {
            TaskState::Done => assert!(self.done, "nobody did it: {task:?} {self:?}"),
            TaskState::Dead => {
                assert!(!self.done && task.attempts == MAX_ATTEMPTS, "it could have gone on: {task:?} {self:?}");
                let why = task.last_error.as_deref().unwrap();
                let is_silent = why.starts_with("the lease ended") || why.starts_with("the process crashed");
                assert_eq!(is_silent, self.open.is_some(), "{task:?} {self:?}");
                assert_eq!(why == "it cannot be done", self.last_failed, "{task:?} {self:?}");
            }
            state => panic!("it has not ended: {state} {task:?} {self:?}"),
        }
    }
}

/// The life of each task according to the audit trail.
fn stories(store: &Store) -> BTreeMap<String, Story> {
    let mut stories = BTreeMap::<String, Story>::new();
    let view = store.view().unwrap();
    let mut page = Page::oldest(1000);
    loop {
        let entries = view.audit().list(page).unwrap();
        let Some(last) = entries.last() else { return stories };
        page = Page::oldest(1000).after(last.sequence);
        for entry in &entries {
            stories.entry(entry.target.clone().unwrap()).or_default().goes_on(entry);
        }
    }
}

/// Every task ended once, as its story tells, and nothing is missing that a bot was told is done.
fn verify(store: &Store, log: &str) -> TaskCounts {
    let view = store.view().unwrap();
    let mut stories = stories(store);
    let produced: u64 = view.collection::<u64>("produced").unwrap().list().map(|entry| entry.unwrap().1).sum();
    let counts = view.queue().counts().unwrap();
    assert_eq!(counts.total(), produced, "a task is missing, or one key gave two");
    assert_eq!(counts.done + counts.dead, produced, "{counts:?}");
    let mut done = BTreeSet::new();
    for task in view.queue().list() {
        let task = task.unwrap();
        stories.remove(task.id.as_str()).unwrap_or_default().ends_as(&task);
        if task.state == TaskState::Done {
            done.insert(task.id.to_string());
        }
    }
    assert!(stories.is_empty(), "the trail names tasks that are not there: {stories:?}");
    for line in log.lines() {
        assert!(done.contains(line.split(' ').nth(1).unwrap()), "a completion was lost: {line}");
    }
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    counts
}

/// Whether a producer may still enqueue, or a task has not ended. One that failed waits for its next attempt.
fn is_at_work(store: &Store) -> bool {
    let view = store.view().unwrap();
    let counts = view.queue().counts().unwrap();
    view.collection::<bool>("ended").unwrap().list().count() < PROCESSES
        || counts.scheduled + counts.waiting + counts.ready + counts.claimed > 0
}

/// Kills processes of a fleet at work, one after the other, and lets the others finish; gives how the tasks ended.
fn round(numbers: &mut Numbers) -> TaskCounts {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::open(&path).unwrap();
    let tell = |what| store.write(|tx| tx.config().put(what, &json!(true))).unwrap();
    let mut children = Children(BTreeMap::new());
    (0..PROCESSES).for_each(|number| children.start(TASK, &path, number));
    for _ in 0..KILLS {
        numbers.pause();
        let number = numbers.below(PROCESSES as u64) as usize;
        children.kill(number);
        store.notice_crashes().unwrap();
        children.start(TASK, &path, number);
    }
    tell(ENOUGH);
    let started = Instant::now();
    while is_at_work(&store) {
        assert!(started.elapsed() < LIFE, "the fleet does not come to an end");
        std::thread::sleep(Duration::from_millis(20));
    }
    tell(STOP);
    children.end_well();
    let counts = verify(&store, &std::fs::read_to_string(Log::path(&path)).unwrap());
    store.close().unwrap();
    counts
}

#[test]
fn every_task_of_a_fleet_whose_processes_are_killed_ends_once_and_the_trail_tells_why() {
    let (mut numbers, mut done, mut dead) = (Numbers::seeded(), 0, 0);
    for _ in 0..scale() {
        let counts = round(&mut numbers);
        (done, dead) = (done + counts.done, dead + counts.dead);
    }
    assert!(done > 0 && dead > 0, "the bots did nothing: done={done} dead={dead}");
    println!("kills={} done={done} dead={dead} lost=0 twice=0", KILLS * scale());
}
