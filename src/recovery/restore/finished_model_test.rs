//! Restores of tasks against a simple model that knows which tasks ever finished.
//!
//! `HIVEKEEP_TEST_SCALE=N cargo test --release --lib recovery::restore::finished_model` runs N times as many cases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::recovery::points::point::Point;
use crate::recovery::restore::options::RestoreOptions;
use crate::state::assignments::Assignment;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{ClaimOptions, NewTask, Task, TaskState};
use crate::testkit::checked_store::Fixture;

const TASKS: u8 = 4;

#[derive(Clone, Debug)]
enum Op {
    Push { task: u8, key: Option<u8>, assign: bool, after: Option<u8> },
    Claim,
    Complete { task: u8 },
    Cancel { task: u8 },
    Requeue { task: u8 },
    Purge,
    Seal,
    Restore { point: usize, keep: bool, scope: Scope, undone: bool },
}

#[derive(Clone, Copy, Debug)]
enum Scope {
    Whole,
    Queue,
    Task(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let task = || 0..TASKS;
    let push = (task(), prop::option::of(0..2u8), any::<bool>(), prop::option::weighted(0.2, task()));
    let scope = prop_oneof![2 => Just(Scope::Whole), 1 => Just(Scope::Queue), 1 => task().prop_map(Scope::Task)];
    prop_oneof![
        8 => push.prop_map(|(task, key, assign, after)| Op::Push { task, key, assign, after }),
        6 => Just(Op::Claim),
        8 => task().prop_map(|task| Op::Complete { task }),
        2 => task().prop_map(|task| Op::Cancel { task }),
        2 => task().prop_map(|task| Op::Requeue { task }),
        3 => Just(Op::Purge),
        4 => Just(Op::Seal),
        6 => (any::<usize>(), any::<bool>(), scope, any::<bool>())
            .prop_map(|(point, keep, scope, undone)| Op::Restore { point, keep, scope, undone }),
    ]
}

type State = (BTreeMap<TaskId, Task>, Vec<Assignment>);

struct Model {
    hive: Fixture,
    /// Tasks that were done, did not become ready by a restore that keeps nothing, and were not pushed again.
    done: BTreeSet<TaskId>,
    points: Vec<Point>,
}

impl Model {
    fn new() -> Self {
        Self { hive: Fixture::new(), done: BTreeSet::new(), points: Vec::new() }
    }

    fn step(&mut self, op: &Op) {
        self.hive.pass(1);
        let store = &self.hive.store;
        match *op {
            Op::Push { task, key, assign, after } => {
                let mut new = NewTask::new("work").id(id(task));
                new = key.iter().fold(new, |new, key| new.idempotency_key(format!("k{key}")));
                new = after.iter().fold(new, |new, other| new.after(id(*other))).allow_missing_dependencies();
                new = if assign { new.assign_to(bot()) } else { new };
                let pushed = store.write(|tx| tx.queue().enqueue(new.clone()));
                if pushed.is_ok_and(|pushed| pushed.id == id(task) && !pushed.state.is_finished()) {
                    self.done.remove(&id(task));
                }
            }
            Op::Claim => drop(store.write(|tx| tx.queue().claim(&bot(), &ClaimOptions::default()))),
            Op::Complete { task } => self.complete(&id(task)),
            Op::Cancel { task } => drop(store.write(|tx| tx.queue().cancel(&id(task)))),
            Op::Requeue { task } => drop(store.write(|tx| tx.queue().requeue(&id(task)))),
            Op::Purge => drop(store.purge_finished(Duration::ZERO).unwrap()),
            Op::Seal => self.points.push(store.restore_point("").unwrap()),
            Op::Restore { point, keep, scope, undone } if !self.points.is_empty() => {
                let (before, done) = (self.state(), self.done.clone());
                let point = self.points[point % self.points.len()].clone();
                if self.restore(&point, keep, scope) && undone {
                    self.hive.store.undo().unwrap();
                    assert_eq!(self.state(), before, "an undo gives back exactly what was");
                    self.done = done;
                }
            }
            Op::Restore { .. } => {}
        }
        self.hive.check();
        let tasks = self.tasks();
        let keys: Vec<_> = tasks.values().filter_map(|task| task.idempotency_key.as_deref()).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "no two tasks have one key: {keys:?}");
    }

    fn complete(&mut self, id: &TaskId) {
        let Some(task) = self.tasks().remove(id) else { return };
        let Some(holder) = &task.holder else { return };
        self.hive.write(|tx| tx.queue().complete(id, holder.token, "result"));
        self.done.insert(task.id);
    }

    /// Restores as planned, if possible. Returns whether anything changed.
    fn restore(&mut self, point: &Point, keep: bool, scope: Scope) -> bool {
        let options = match scope {
            Scope::Whole => RestoreOptions::new(),
            Scope::Queue => RestoreOptions::new().only(["queue"]),
            Scope::Task(task) => RestoreOptions::new().only(["queue"]).key(id(task).to_string()),
        };
        let Ok(plan) = self.hive.store.plan_restore(point, options.keep_finished(keep)) else { return false };
        let before = self.state();
        let report = self.hive.store.apply(&plan).unwrap();
        let numbers = (plan.tasks_run_again, plan.tasks_forgotten, plan.keep_finished);
        assert_eq!(numbers, (report.tasks_run_again, report.tasks_forgotten, report.keep_finished));
        let after = self.state();
        assert_eq!(report.undo.is_some(), before != after, "what changed nothing needs no undo");
        // A claim that returns and is voided, or a dependency that is done, can give a task its present state.
        let expected = if report.undo.is_some() { plan.collections } else { BTreeMap::new() };
        assert_eq!(expected, report.collections);
        let tasks = report.collections.get("queue").copied().unwrap_or_default();
        assert_eq!(tasks.added, differ(&after.0, &before.0), "tasks that came");
        assert_eq!(tasks.removed, differ(&before.0, &after.0), "tasks that went");
        let open: BTreeSet<TaskId> =
            after.0.values().filter(|task| !task.state.is_finished()).map(|task| &task.id).cloned().collect();
        if keep {
            for task in before.0.values().filter(|task| task.state.is_finished()) {
                assert_eq!(after.0.get(&task.id), Some(task), "what is finished stays as it is");
            }
            assert!(self.done.is_disjoint(&open), "work that was done would run again");
        } else {
            let finished = before.0.values().filter(|task| task.state.is_finished()).map(|task| &task.id);
            let purged = (0..TASKS).map(id).filter(|id| !before.0.contains_key(id) && self.was_finished(id));
            let finished: BTreeSet<_> = finished.cloned().chain(purged).collect();
            assert_eq!(report.tasks_run_again, finished.intersection(&open).count() as u64);
            // A task that a restore has forgotten may be pushed and done again.
            self.done = self.done.iter().filter(|id| self.is_known_as_finished(id, &after.0)).cloned().collect();
        }
        report.undo.is_some()
    }

    /// Whether it finished and was purged.
    fn was_finished(&self, id: &TaskId) -> bool {
        let remembered = self.hive.view().queue().remembered(id).unwrap();
        remembered.is_some_and(|remembered| remembered.state != TaskState::Cancelled)
    }

    fn is_known_as_finished(&self, id: &TaskId, tasks: &BTreeMap<TaskId, Task>) -> bool {
        tasks.get(id).map_or_else(|| self.was_finished(id), |task| task.state.is_finished())
    }

    fn tasks(&self) -> BTreeMap<TaskId, Task> {
        let view = self.hive.view();
        view.queue().list().map(|task| task.unwrap()).map(|task| (task.id.clone(), task)).collect()
    }

    fn state(&self) -> State {
        (self.tasks(), self.hive.view().assignments().list().map(|assignment| assignment.unwrap()).collect())
    }
}

fn id(task: u8) -> TaskId {
    TaskId::new(format!("t{task}")).unwrap()
}

fn bot() -> BotId {
    BotId::new("ant").unwrap()
}

/// The number of tasks that are missing among others.
fn differ(these: &BTreeMap<TaskId, Task>, others: &BTreeMap<TaskId, Task>) -> u64 {
    these.keys().filter(|id| !others.contains_key(*id)).count() as u64
}

#[test]
fn finished_tasks_run_again_only_if_the_plan_says_so() {
    let scale = std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    let config = Config { cases: 48 * scale, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&prop::collection::vec(op(), 1..50), |ops| {
            let mut model = Model::new();
            ops.iter().for_each(|op| model.step(op));
            Ok(())
        })
        .unwrap();
}
