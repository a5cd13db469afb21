//! The queue against a plain sequential model, which scans all its tasks for every verb. After every step each task,
//! what each verb gave, and, through the fixture, assignments, counts and index are compared.
//!
//! `HIVEKEEP_TEST_SCALE=N cargo test --release --lib queue::model` runs N times as many cases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::error::{Error, ErrorKind};
use crate::state::ids::{BotId, SessionId, TaskId, Token};
use crate::state::queue::{ClaimOptions, ClaimOwner, NewTask, Priority, Retry, TaskState};
use crate::state::registry::Bot;
use crate::testkit::checked_store::{Fixture, time};

const TASKS: u8 = 12;
const BOTS: u8 = 3;

#[derive(Clone, Debug)]
enum Op {
    Enqueue {
        task: u8,
        priority: usize,
        delay: u64,
        able: u8,
        assign: Option<u8>,
        after: Vec<u8>,
        key: Option<u8>,
        allow: bool,
    },
    Register {
        bot: u8,
        able: u8,
        most: u32,
    },
    Claim {
        bot: u8,
        max: usize,
        lease: u64,
        session: Option<u64>,
        most: Option<u32>,
        aging: Option<u64>,
    },
    Assign {
        task: u8,
        bot: Option<u8>,
    },
    Extend {
        task: u8,
        old: bool,
        lease: u64,
    },
    Complete {
        task: u8,
        old: bool,
    },
    Fail {
        task: u8,
        old: bool,
        delay: Option<u64>,
    },
    Release {
        task: u8,
        old: bool,
    },
    Cancel {
        task: u8,
    },
    Requeue {
        task: u8,
    },
    Expire,
    Crash {
        session: u64,
    },
    Void,
    Purge {
        age: i64,
    },
    Pass {
        seconds: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let after = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(0..TASKS, 1..3)];
    let wait = prop_oneof![3 => Just(0u64), 1 => 1..20u64];
    let enqueue = (0..TASKS, 0..4usize, wait, prop_oneof![3 => Just(0u8), 1 => 0..4u8]);
    let details =
        (prop::option::weighted(0.2, 0..BOTS), after, prop::option::weighted(0.2, 0..3u8), prop::bool::weighted(0.8));
    let (task, old, bot, session) = (0..TASKS, prop::bool::weighted(0.2), 0..BOTS, 1..3u64);
    let most = prop::option::weighted(0.2, 0..6u32);
    let claim = (prop::option::of(session.clone()), most, prop::option::weighted(0.3, 1..20u64));
    prop_oneof![
        14 => (enqueue, details).prop_map(|((task, priority, delay, able), (assign, after, key, allow))| {
            Op::Enqueue { task, priority, delay, able, assign, after, key, allow }
        }),
        2 => (bot.clone(), 0..4u8, 0..5u32).prop_map(|(bot, able, most)| Op::Register { bot, able, most }),
        10 => (bot.clone(), 1..5usize, 1..30u64, claim).prop_map(|(bot, max, lease, (session, most, aging))| {
            Op::Claim { bot, max, lease, session, most, aging }
        }),
        2 => (task.clone(), prop::option::of(bot)).prop_map(|(task, bot)| Op::Assign { task, bot }),
        2 => (task.clone(), old, 1..30u64).prop_map(|(task, old, lease)| Op::Extend { task, old, lease }),
        5 => (task.clone(), old).prop_map(|(task, old)| Op::Complete { task, old }),
        4 => (task.clone(), old, prop::option::of(0..20u64))
            .prop_map(|(task, old, delay)| Op::Fail { task, old, delay }),
        2 => (task.clone(), old).prop_map(|(task, old)| Op::Release { task, old }),
        2 => task.clone().prop_map(|task| Op::Cancel { task }),
        3 => task.prop_map(|task| Op::Requeue { task }),
        1 => Just(Op::Expire),
        1 => session.prop_map(|session| Op::Crash { session }),
        1 => Just(Op::Void),
        3 => (0..15i64).prop_map(|age| Op::Purge { age }),
        4 => (1..15u64).prop_map(|seconds| Op::Pass { seconds }),
    ]
}

/// A task of the model.
#[derive(Clone, Debug, PartialEq)]
struct Modelled {
    priority: Priority,
    /// Its place in the order in which tasks came.
    place: u64,
    state: TaskState,
    holder: Option<(u8, Token, Timestamp, Option<u64>)>,
    able: BTreeSet<String>,
    assigned: Option<u8>,
    /// The dependencies that it waits for while it is ready.
    after: BTreeSet<u8>,
    not_before: Timestamp,
    key: Option<u8>,
    attempts: u32,
    finished: Option<Timestamp>,
    /// When something last made it ready, but for its time.
    since: Timestamp,
}

#[derive(Default)]
struct Model {
    tasks: BTreeMap<u8, Modelled>,
    bots: BTreeMap<u8, (BTreeSet<String>, u32)>,
    old_tokens: BTreeMap<u8, Token>,
    places: u64,
    /// Tasks that were purged, and how they had ended.
    remembered: BTreeMap<u8, TaskState>,
    /// The request of a task: its id, priority, capabilities and dependencies.
    asked: BTreeMap<u8, (u8, usize, u8, BTreeSet<u8>)>,
}

const MAX_ATTEMPTS: u32 = 3;

fn task_id(task: u8) -> TaskId {
    TaskId::new(format!("t{task}")).unwrap()
}

fn bot_id(bot: u8) -> BotId {
    BotId::new(format!("b{bot}")).unwrap()
}

fn abilities(bits: u8) -> BTreeSet<String> {
    let all = [(1, "rust"), (2, "sql")];
    all.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| name.to_string()).collect()
}

impl Model {
    fn is_done(&self, task: u8) -> bool {
        let here = self.tasks.get(&task).map(|task| task.state);
        here.or_else(|| self.remembered.get(&task).copied()) == Some(TaskState::Done)
    }

    /// Whether `task`, waiting for `after`, would wait for itself.
    fn is_circle(&self, task: u8, after: &BTreeSet<u8>, all: &BTreeMap<u8, BTreeSet<u8>>) -> bool {
        let is_waited_for =
            self.tasks.values().any(|other| other.state == TaskState::Ready && other.after.contains(&task));
        let (mut seen, mut rest) = (BTreeSet::new(), after.clone());
        while let Some(other) = rest.pop_first() {
            if other == task {
                return is_waited_for;
            }
            if seen.insert(other) && !self.is_done(other) {
                rest.extend(all.get(&other).into_iter().flatten());
            }
        }
        false
    }

    fn done(&mut self, done: u8, now: Timestamp) {
        for task in self.tasks.values_mut().filter(|task| task.state == TaskState::Ready) {
            if task.after.remove(&done) && task.after.is_empty() {
                task.since = now;
            }
        }
    }

    fn attempt_failed(task: &mut Modelled, now: Timestamp, not_before: Timestamp) {
        task.holder = None;
        if task.attempts >= MAX_ATTEMPTS {
            (task.state, task.finished) = (TaskState::Dead, Some(now));
        } else {
            (task.state, task.not_before, task.since) = (TaskState::Ready, not_before, now);
        }
    }

    fn expire(&mut self, now: Timestamp) -> usize {
        let mut expired = 0;
        for task in self.tasks.values_mut() {
            if task.holder.is_some_and(|(_, _, deadline, _)| deadline <= now) {
                Self::attempt_failed(task, now, now);
                expired += 1;
            }
        }
        expired
    }

    /// The state of a task in an explanation.
    fn shown_state(&self, task: &Modelled, now: Timestamp) -> TaskState {
        let could = |bot: &u8| self.bots.get(bot).is_some_and(|(able, most)| *most > 0 && task.able.is_subset(able));
        let somebody = match task.assigned {
            Some(bot) => could(&bot),
            None => task.able.is_empty() || self.bots.keys().any(could),
        };
        match task.state {
            TaskState::Ready if !task.after.is_empty() => TaskState::Waiting,
            TaskState::Ready if task.not_before > now => TaskState::Scheduled,
            TaskState::Ready if !somebody => TaskState::Waiting,
            state => state,
        }
    }

    /// The tasks that a claim takes. With aging, the first tasks of all lines are compared again for each task that is
    /// taken.
    fn choose(&self, bot: u8, options: &ClaimOptions, now: Timestamp) -> Vec<u8> {
        let (able, own) = self.bots.get(&bot).map_or((BTreeSet::new(), None), |(able, own)| (able.clone(), Some(*own)));
        let most = own.into_iter().chain(options.max_concurrent).min().unwrap_or(3);
        let held = self.tasks.values().filter(|task| task.holder.is_some_and(|(holder, ..)| holder == bot)).count();
        let mut open: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| {
                task.state == TaskState::Ready
                    && task.not_before <= now
                    && task.after.is_empty()
                    && task.able.is_subset(&able)
                    && task.assigned.is_none_or(|assigned| assigned == bot)
            })
            .map(|(id, task)| (task.priority, task.place, *id, task))
            .collect();
        open.sort_by_key(|(priority, place, ..)| (*priority, *place));
        let free = (most as usize).saturating_sub(held);
        let mut chosen = Vec::new();
        while chosen.len() < options.max.min(free) && !open.is_empty() {
            let mut lines = BTreeSet::new();
            let heads = open
                .iter()
                .enumerate()
                .filter(|(_, (priority, _, _, task))| lines.insert((task.assigned, task.able.clone(), *priority)));
            let aged = |priority: Priority, task: &Modelled| {
                let waited = now.duration_since(task.since.max(task.not_before)).as_secs();
                (priority as i64 - options.aging.map_or(0, |period| waited / period.as_secs().cast_signed())).max(0)
            };
            let next = heads.min_by_key(|(_, (priority, place, _, task))| (aged(*priority, task), *place)).unwrap().0;
            chosen.push(open.remove(next).2);
        }
        chosen
    }
}

/// The store, the model, and all that tasks were said to depend on.
struct Run {
    hive: Fixture,
    model: Model,
    depends: BTreeMap<u8, BTreeSet<u8>>,
}

type Answer<T> = Result<T, ErrorKind>;

fn kind<T>(result: Result<T, Error>) -> Answer<T> {
    result.map_err(|error| error.kind())
}

impl Run {
    fn now(&self) -> Timestamp {
        self.hive.store.clock().now()
    }

    /// The token to show: the holder's, or an earlier one.
    fn token(&self, task: u8, old: bool) -> Token {
        let held = self.model.tasks.get(&task).and_then(|task| task.holder).map(|(_, token, ..)| token);
        let before = self.model.old_tokens.get(&task).copied().unwrap_or(Token(0));
        held.filter(|_| !old).unwrap_or(before)
    }

    /// The modelled task, if `token` is that of its holder.
    fn held(&mut self, task: u8, token: Token) -> Answer<&mut Modelled> {
        let task = self.model.tasks.get_mut(&task).ok_or(ErrorKind::NotFound)?;
        let is_holder = task.holder.is_some_and(|(_, own, ..)| own == token);
        if is_holder { Ok(task) } else { Err(ErrorKind::Conflict) }
    }

    fn step(&mut self, op: &Op) {
        let now = self.now();
        match op.clone() {
            Op::Enqueue { task, priority, delay, able, assign, after, key, allow } => {
                self.enqueue(task, priority, delay, able, assign, after.into_iter().collect(), key, allow);
            }
            Op::Register { bot, able, most } => {
                let specializations = abilities(able);
                let new = Bot { specializations, max_concurrent: Some(most), ..Bot::new(bot_id(bot)) };
                self.hive.store.write(|tx| tx.registry().put(&new)).unwrap();
                self.model.bots.insert(bot, (abilities(able), most));
            }
            Op::Claim { bot, max, lease, session, most, aging } => {
                let owner = session.map_or(ClaimOwner::Nobody, |session| ClaimOwner::Session(SessionId(session)));
                let aging = aging.map(Duration::from_secs);
                let lease = Duration::from_secs(lease);
                self.claim(bot, &ClaimOptions { lease, max, max_concurrent: most, owner, aging });
            }
            Op::Assign { task, bot } => {
                let answer = kind(self.hive.store.write(|tx| match bot {
                    Some(bot) => tx.queue().assign(&task_id(task), &bot_id(bot)),
                    None => tx.queue().unassign(&task_id(task)),
                }));
                let expected = match self.model.tasks.get_mut(&task) {
                    None => Err(ErrorKind::NotFound),
                    Some(task) if task.state.is_finished() => Err(ErrorKind::Conflict),
                    Some(task) if bot.is_some() && task.holder.is_some_and(|(own, ..)| Some(own) != bot) => {
                        Err(ErrorKind::Conflict)
                    }
                    Some(task) => {
                        task.assigned = bot;
                        Ok(())
                    }
                };
                assert_eq!(answer.map(drop), expected);
            }
            Op::Extend { task, old, lease } => {
                let token = self.token(task, old);
                let lease = Duration::from_secs(lease);
                let answer = kind(self.hive.store.write(|tx| tx.queue().extend(&task_id(task), token, lease)));
                let expected = self.held(task, token).map(|task| {
                    task.holder = task.holder.map(|(bot, token, _, session)| (bot, token, now + lease, session));
                });
                assert_eq!(answer.map(drop), expected);
            }
            Op::Complete { task, old } => {
                let token = self.token(task, old);
                let answer = kind(self.hive.store.write(|tx| tx.queue().complete(&task_id(task), token, 1)));
                let expected = self.held(task, token).map(|task| {
                    (task.state, task.finished, task.holder) = (TaskState::Done, Some(now), None);
                });
                if expected.is_ok() {
                    self.model.done(task, now);
                }
                assert_eq!(answer.map(drop), expected);
            }
            Op::Fail { task, old, delay } => {
                let token = self.token(task, old);
                let retry = delay.map_or(Retry::Never, |delay| Retry::After(Duration::from_secs(delay)));
                let answer = kind(self.hive.store.write(|tx| tx.queue().fail(&task_id(task), token, "e", retry)));
                let expected = self.held(task, token).map(|task| match delay {
                    None => (task.state, task.finished, task.holder) = (TaskState::Failed, Some(now), None),
                    Some(delay) => Model::attempt_failed(task, now, now + Duration::from_secs(delay)),
                });
                assert_eq!(answer.map(drop), expected);
            }
            Op::Release { task, old } => {
                let token = self.token(task, old);
                let answer = kind(self.hive.store.write(|tx| tx.queue().release(&task_id(task), token)));
                let expected = self.held(task, token).map(|task| {
                    (task.state, task.holder, task.attempts) = (TaskState::Ready, None, task.attempts - 1);
                });
                assert_eq!(answer.map(drop), expected);
            }
            Op::Cancel { task } => {
                let answer = kind(self.hive.store.write(|tx| tx.queue().cancel(&task_id(task))));
                let expected = match self.model.tasks.get_mut(&task) {
                    None => Err(ErrorKind::NotFound),
                    Some(task) if task.state.is_finished() => Err(ErrorKind::Conflict),
                    Some(task) => {
                        (task.state, task.finished, task.holder) = (TaskState::Cancelled, Some(now), None);
                        Ok(())
                    }
                };
                assert_eq!(answer.map(drop), expected);
            }
            Op::Requeue { task } => self.requeue(task),
            Op::Expire => {
                let expired = self.hive.store.write(|tx| tx.queue().expire(100)).unwrap();
                assert_eq!(expired, self.model.expire(now));
            }
            Op::Crash { session } => {
                let back = self.hive.store.write(|tx| tx.queue().return_claims_of_session(SessionId(session))).unwrap();
                let mut expected = 0;
                for task in self.model.tasks.values_mut() {
                    if task.holder.is_some_and(|(_, _, _, own)| own == Some(session)) {
                        Model::attempt_failed(task, now, now);
                        expected += 1;
                    }
                }
                assert_eq!(back, expected);
            }
            Op::Void => {
                self.hive.store.write(|tx| tx.queue().void_claims()).unwrap();
                for task in self.model.tasks.values_mut().filter(|task| task.holder.is_some()) {
                    (task.state, task.holder, task.attempts) = (TaskState::Ready, None, task.attempts - 1);
                }
            }
            Op::Purge { age } => {
                let before = now - Duration::from_secs(age.unsigned_abs());
                let purged = self.hive.store.write(|tx| tx.queue().purge(before, 100)).unwrap();
                let kept = self.model.tasks.len() - purged;
                let ready = self.model.tasks.values().filter(|task| task.state == TaskState::Ready);
                let waited_for: BTreeSet<u8> = ready.flat_map(|task| task.after.iter().copied()).collect();
                let remembered = &mut self.model.remembered;
                self.model.tasks.retain(|id, task| {
                    let stays = waited_for.contains(id) || task.finished.is_none_or(|at| at >= before);
                    if !stays {
                        remembered.insert(*id, task.state);
                    }
                    stays
                });
                assert_eq!(self.model.tasks.len(), kept);
            }
            Op::Pass { seconds } => self.hive.pass(seconds),
        }
        self.compare();
    }

    #[expect(clippy::too_many_arguments, reason = "they are those of the operation")]
    fn enqueue(
        &mut self,
        task: u8,
        priority: usize,
        delay: u64,
        able: u8,
        assign: Option<u8>,
        after: BTreeSet<u8>,
        key: Option<u8>,
        allow: bool,
    ) {
        let now = self.now();
        // A time and a bot may be others by now; what that means has a test of its own.
        let (delay, assign) = if key.is_some() { (0, None) } else { (delay, assign) };
        let asked = (task, priority, able, after.clone());
        let priority = Priority::ALL[priority];
        let not_before = now + Duration::from_secs(delay);
        let mut new = NewTask::new(task).id(task_id(task)).priority(priority).not_before(not_before);
        new = new.max_attempts(MAX_ATTEMPTS);
        new = abilities(able).into_iter().fold(new, NewTask::capability);
        new = after.iter().fold(new, |new, other| new.after(task_id(*other)));
        new = if allow { new.allow_missing_dependencies() } else { new };
        new = assign.into_iter().fold(new, |new, bot| new.assign_to(bot_id(bot)));
        new = key.into_iter().fold(new, |new, key| new.idempotency_key(format!("k{key}")));
        let answer = kind(self.hive.store.write(|tx| tx.queue().enqueue(new))).map(|task| task.id);

        let waits: BTreeSet<u8> = after.iter().copied().filter(|other| !self.model.is_done(*other)).collect();
        let known = self.model.tasks.iter().find(|(_, known)| key.is_some() && known.key == key).map(|(id, _)| *id);
        let expected = if after.contains(&task) {
            Err(ErrorKind::Invalid)
        } else if let Some(known) = known {
            if self.model.asked[&known] == asked { Ok(task_id(known)) } else { Err(ErrorKind::Conflict) }
        } else if self.model.tasks.contains_key(&task) {
            Err(ErrorKind::Conflict)
        } else if (!allow && waits.iter().any(|other| !self.model.tasks.contains_key(other)))
            || self.model.is_circle(task, &waits, &self.present_dependencies())
        {
            Err(ErrorKind::Invalid)
        } else {
            self.model.places += 1;
            self.model.remembered.remove(&task);
            self.model.asked.insert(task, asked);
            self.depends.insert(task, after);
            let place = self.model.places;
            let new = Modelled {
                priority,
                place,
                state: TaskState::Ready,
                holder: None,
                able: abilities(able),
                assigned: assign,
                after: waits,
                not_before,
                key,
                attempts: 0,
                finished: None,
                since: now,
            };
            self.model.tasks.insert(task, new);
            Ok(task_id(task))
        };
        assert_eq!(answer, expected);
    }

    fn requeue(&mut self, task: u8) {
        let answer = kind(self.hive.store.write(|tx| tx.queue().requeue(&task_id(task))));
        let after = self.depends.get(&task).into_iter().flatten().copied();
        let was_claimed = self.model.tasks.get(&task).is_some_and(|task| task.attempts > 0);
        let is_purged = |other: &u8| was_claimed && !self.model.tasks.contains_key(other);
        let waits: BTreeSet<u8> = after.filter(|other| !self.model.is_done(*other) && !is_purged(other)).collect();
        let is_circle = self.model.is_circle(task, &waits, &self.present_dependencies());
        let expected = match self.model.tasks.get_mut(&task) {
            None => Err(ErrorKind::NotFound),
            Some(task) if !task.state.is_finished() || task.state == TaskState::Done => Err(ErrorKind::Conflict),
            Some(_) if is_circle => Err(ErrorKind::Invalid),
            Some(task) => {
                self.model.places += 1;
                (task.state, task.finished, task.attempts) = (TaskState::Ready, None, 0);
                let now = self.hive.store.clock().now();
                (task.after, task.place, task.not_before, task.since) = (waits, self.model.places, now, now);
                Ok(())
            }
        };
        assert_eq!(answer.map(drop), expected);
    }

    fn present_dependencies(&self) -> BTreeMap<u8, BTreeSet<u8>> {
        let is_there = |(task, _): &(&u8, &BTreeSet<u8>)| self.model.tasks.contains_key(*task);
        self.depends.iter().filter(is_there).map(|(task, after)| (*task, after.clone())).collect()
    }

    fn claim(&mut self, bot: u8, options: &ClaimOptions) {
        let now = self.now();
        let claims = self.hive.store.write(|tx| tx.queue().claim(&bot_id(bot), options)).unwrap();
        self.model.expire(now);
        let chosen = self.model.choose(bot, options, now);
        let ids: Vec<_> = chosen.iter().map(|task| task_id(*task)).collect();
        assert_eq!(claims.iter().map(|claim| claim.id.clone()).collect::<Vec<_>>(), ids);
        let session = if let ClaimOwner::Session(session) = options.owner { Some(session.0) } else { None };
        let lease = options.lease;
        for (task, claim) in chosen.into_iter().zip(claims) {
            let before = self.model.old_tokens.values().max().copied().unwrap_or(Token(0));
            assert!(claim.token > before, "a token is newer than all before it");
            self.model.old_tokens.insert(task, claim.token);
            let modelled = self.model.tasks.get_mut(&task).unwrap();
            modelled.attempts += 1;
            (modelled.state, modelled.holder) = (TaskState::Claimed, Some((bot, claim.token, now + lease, session)));
            assert_eq!((claim.attempts, claim.deadline), (modelled.attempts, now + lease));
        }
    }

    /// `why` says that a bot would get a task if and only if a claim gives it that task first.
    fn compare_why(&self) {
        let aging = ClaimOptions { aging: Some(Duration::from_secs(5)), ..ClaimOptions::default() };
        for options in [ClaimOptions::default(), aging] {
            self.compare_why_with(&options);
        }
    }

    fn compare_why_with(&self, options: &ClaimOptions) {
        for bot in (0..BOTS).map(bot_id) {
            let mut given = None;
            let undone = self.hive.store.write(|tx| {
                given = tx.queue().claim(&bot, options)?.pop().map(|claim| claim.id);
                Err::<(), _>(Error::invalid("only to see"))
            });
            assert_eq!(undone.unwrap_err().kind(), ErrorKind::Invalid);
            let view = self.hive.view();
            for task in view.queue().list().map(Result::unwrap) {
                let why = view.queue().why_bot(&task.id, &bot, options).unwrap();
                assert_eq!(why.is_next(), given.as_ref() == Some(&task.id), "{bot} and {}: {why}", task.id);
                if why.is_next() {
                    let of_all = view.queue().why(&task.id, options).unwrap();
                    assert!(of_all.anybody || of_all.may_claim.contains(&bot) || task.assigned_to == Some(bot.clone()));
                }
            }
        }
    }

    fn compare(&self) {
        self.hive.check();
        let view = self.hive.view();
        for task in 0..TASKS {
            let remembered = view.queue().remembered(&task_id(task)).unwrap().map(|task| task.state);
            assert_eq!(remembered, self.model.remembered.get(&task).copied());
        }
        let stored: BTreeMap<_, _> =
            view.queue().list().map(|task| task.unwrap()).map(|task| (task.id.clone(), task)).collect();
        assert_eq!(stored.len(), self.model.tasks.len());
        let mut states: BTreeMap<TaskState, u64> = BTreeMap::new();
        for (id, modelled) in &self.model.tasks {
            let task = &stored[&task_id(*id)];
            let state = self.model.shown_state(modelled, self.now());
            assert_eq!((task.state, task.attempts, task.finished_at), (state, modelled.attempts, modelled.finished));
            states.insert(state, states.get(&state).copied().unwrap_or_default() + 1);
            let holder = task.holder.as_ref().map(|holder| (holder.bot.clone(), holder.token, holder.deadline));
            let expected = modelled.holder.map(|(bot, token, deadline, _)| (bot_id(bot), token, deadline));
            assert_eq!(holder, expected);
            if modelled.state == TaskState::Ready {
                let waiting_for: BTreeSet<_> = modelled.after.iter().copied().map(task_id).collect();
                assert_eq!(task.waiting_for, waiting_for);
            }
        }
        let counts = view.queue().counts().unwrap();
        for state in TaskState::ALL {
            assert_eq!(counts.of(state), states.get(&state).copied().unwrap_or_default(), "{state}");
        }
    }
}

#[test]
fn the_queue_does_what_a_plain_model_does() {
    let scale: u32 = std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1);
    let mut runner = TestRunner::new(Config { cases: 60 * scale, failure_persistence: None, ..Config::default() });
    let steps = prop::collection::vec(op(), 1..80);
    runner
        .run(&steps, |steps| {
            let mut run = Run { hive: Fixture::new(), model: Model::default(), depends: BTreeMap::new() };
            run.hive.clock.set(time(100));
            for (number, op) in steps.iter().enumerate() {
                run.step(op);
                if number % 8 == 7 {
                    run.compare_why();
                }
            }
            Ok(())
        })
        .unwrap();
}
