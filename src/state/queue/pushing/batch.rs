//! Enqueues many tasks in one commit, all of them or none.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::limits;
use crate::state::ids::TaskId;
use crate::state::queue::pushing::enqueue::Enqueued;
use crate::state::queue::pushing::new_task::NewTask;
use crate::state::queue::pushing::waiting::waits_for_itself;
use crate::state::queue::tasks::saving::{Queue, names};

impl Store {
    /// Enqueues many tasks in one commit, as [`enqueue_all`](Queue::enqueue_all) does.
    ///
    /// # Errors
    ///
    /// As [`enqueue_all`](Queue::enqueue_all) and [`Store::write`].
    pub fn enqueue_all(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        self.write(|tx| tx.queue().enqueue_all(tasks))
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Enqueues many tasks, all of them or none, and returns them in the same order. A task may depend on any other
    /// one of the batch, also on a later one.
    ///
    /// If a task with the same idempotency key exists, that task is returned instead, as by
    /// [`enqueue_once`](Queue::enqueue_once), so that a producer can repeat a whole batch.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Queue::enqueue); the message names the task of the batch, counted from 1. `Invalid` when the
    /// batch has more than 10,000 tasks, they depend on more than 100,000 tasks together, or its payloads, attributes
    /// and names of dependencies have more than 64 MiB of JSON.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let review = NewTask::new("review").after("build-1".parse()?);
    /// let build = NewTask::new("build").id("build-1".parse()?).idempotency_key("build of 4f2a");
    /// let enqueued = store.enqueue_all(vec![review, build])?;
    /// assert_eq!(enqueued[1].task.id.as_str(), "build-1");
    /// assert_eq!(store.view()?.queue().counts()?.ready, 1);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn enqueue_all(&mut self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        check(&tasks)?;
        let added = self.records.whole_or_refused(|tx| tx.queue().together(|queue| queue.add_all(tasks)))?;
        let new = names(added.iter().filter(|added| added.is_new).map(|added| &added.task.id));
        if let Some(new) = new {
            self.records.note("queue_push", Some(&new))?;
        }
        Ok(added)
    }

    fn add_all(&mut self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        let mut unknown: Vec<(usize, BTreeSet<TaskId>)> = Vec::new();
        let mut waiting: Vec<(usize, TaskId)> = Vec::new();
        let (mut enqueued, mut earlier) = (Vec::with_capacity(tasks.len()), 0usize);
        for (index, new) in tasks.into_iter().enumerate() {
            let must_be_known = !new.allow_missing_dependencies;
            let added = self.add(new, |_, _| Ok(())).map_err(|error| error.context(place(index)))?;
            if added.is_new && must_be_known && !added.task.depends_on.is_empty() {
                unknown.push((index, added.task.depends_on.clone()));
            }
            if !added.is_new {
                earlier = earlier.saturating_add(added.task.weight());
                limits::bytes("the content of the earlier tasks that a batch names", earlier, limits::BATCH_BYTES)?;
            }
            if added.is_new && !added.task.waiting_for.is_empty() {
                waiting.push((index, added.task.id.clone()));
            }
            enqueued.push(added);
        }
        // Only now, so that the tasks of a batch may depend on each other in any order.
        for (index, depends_on) in unknown {
            self.refuse_missing(&self.not_done(&depends_on)?).map_err(|error| error.context(place(index)))?;
        }
        self.refuse_circles(waiting)?;
        // A task that waits may have become one that waits for nothing since it was added.
        for Enqueued { task, .. } in enqueued.iter_mut().filter(|added| !added.task.waiting_for.is_empty()) {
            if let Some(now) = self.get(&task.id)? {
                *task = now;
            }
        }
        Ok(enqueued)
    }

    /// Refuses new tasks that depend on themselves; names the last one of them.
    fn refuse_circles(&self, new: Vec<(usize, TaskId)>) -> Result<()> {
        let (indexes, ids): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        let Some(circle) = self.circle(&ids)? else { return Ok(()) };
        let places: BTreeMap<_, _> = ids.iter().zip(indexes).collect();
        let steps = circle.iter().zip(circle.iter().cycle().skip(1));
        let closing = steps.filter_map(|(other, id)| Some((*places.get(id)?, id, other))).max();
        match closing {
            Some((index, id, other)) => Err(waits_for_itself(id, other).context(place(index))),
            // The circle was there before.
            None => Ok(()),
        }
    }
}

/// Refuses a batch that is too large, and invalid fields, before anything is written.
fn check(tasks: &[NewTask]) -> Result<()> {
    limits::count("the tasks of a batch", tasks.len(), limits::BATCH_TASKS)?;
    for (index, new) in tasks.iter().enumerate() {
        new.check_as_callers().map_err(|error| error.context(place(index)))?;
    }
    let dependencies = tasks.iter().map(|new| new.depends_on.len()).fold(0usize, usize::saturating_add);
    limits::count("the dependencies of a batch", dependencies, limits::BATCH_DEPENDENCIES)?;
    let names = |new: &NewTask| new.depends_on.iter().map(|id| id.as_str().len()).fold(0usize, usize::saturating_add);
    let values = |new: &NewTask| limits::printed(&new.payload).saturating_add(limits::printed(&new.attributes));
    let length = |new: &NewTask| names(new).saturating_add(values(new));
    let bytes = tasks.iter().map(length).fold(0usize, usize::saturating_add);
    limits::bytes("the JSON of a batch", bytes, limits::BATCH_BYTES)
}

/// The place of a task in its batch, as people count.
fn place(index: usize) -> String {
    format!("task {} of the batch", index.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;
    use crate::state::queue::TaskState;
    use crate::state::queue::verbs_test::{id, named};
    use crate::testkit::checked_store::Fixture;

    fn push_all(hive: &Fixture, tasks: Vec<NewTask>) -> Vec<Enqueued> {
        hive.write(|tx| tx.queue().enqueue_all(tasks))
    }

    fn count(hive: &Fixture) -> u64 {
        hive.view().queue().counts().unwrap().total()
    }

    #[test]
    fn the_tasks_of_a_batch_are_enqueued_in_one_commit_and_claimed_in_their_order() {
        let hive = Fixture::new();
        let commits = hive.store.commits().count();
        let tasks = (0..5).map(|n| named(&format!("t{n}"))).collect();
        let enqueued = push_all(&hive, tasks);
        assert_eq!(hive.store.commits().count(), commits + 1);
        assert!(enqueued.iter().all(|enqueued| enqueued.is_new && enqueued.task.state == TaskState::Ready));
        assert_eq!(hive.claim_ids("ant", 3), ["t0", "t1", "t2"]);
    }

    #[test]
    fn a_task_of_a_batch_may_wait_for_an_earlier_and_for_a_later_one() {
        let hive = Fixture::new();
        let tasks =
            vec![named("last").after(id("build")).after(id("test")), named("build"), named("test").after(id("build"))];
        let states: Vec<_> = push_all(&hive, tasks).into_iter().map(|enqueued| enqueued.task.state).collect();
        assert_eq!(states, [TaskState::Waiting, TaskState::Ready, TaskState::Waiting]);
        for expected in ["build", "test", "last"] {
            let claim = hive.claim_one("ant");
            assert_eq!(claim.id, id(expected));
            hive.write(|tx| tx.queue().complete(&claim.id, claim.token, 1));
        }
    }

    #[test]
    fn a_batch_that_names_earlier_tasks_of_more_content_than_a_batch_may_have_is_refused() {
        let hive = Fixture::new();
        hive.push(NewTask::new("x".repeat(limits::BATCH_BYTES / 4)).idempotency_key("k"));
        let again = |count: usize| vec![NewTask::new(1).idempotency_key("k").allow_different(); count];
        assert_eq!(push_all(&hive, again(3)).len(), 3);
        let refused = hive.store.write(|tx| tx.queue().enqueue_all(again(5))).unwrap_err();
        assert!(refused.to_string().contains("the earlier tasks that a batch names"), "{refused}");
    }

    #[test]
    fn a_batch_with_one_task_that_is_refused_enqueues_none_and_the_message_names_the_task() {
        let hive = Fixture::new();
        hive.push(named("taken"));
        for (bad, kind, message) in [
            (
                named("taken"),
                ErrorKind::Conflict,
                "there is a task with that id; choose another: task=taken state=ready",
            ),
            (
                named("b").after(id("nobody")),
                ErrorKind::Invalid,
                "there is no task of that name to wait for; enqueue it first, or allow missing dependencies: \
                 depends_on=nobody",
            ),
            (named("b").max_attempts(0), ErrorKind::Invalid, "a task needs at least one attempt: max_attempts=0"),
            (
                named("a").after(id("c")),
                ErrorKind::Conflict,
                "there is a task with that id; choose another: task=a state=ready",
            ),
        ] {
            let error = hive.refused(|tx| tx.queue().enqueue_all(vec![named("a"), bad, named("c")]));
            assert_eq!((error.kind(), error.to_string()), (kind, format!("task 2 of the batch: {message}")));
            assert_eq!(count(&hive), 1);
        }
    }

    #[test]
    fn tasks_of_a_batch_that_would_wait_for_each_other_are_refused() {
        let hive = Fixture::new();
        let circle = vec![named("a").after(id("b")), named("b").after(id("c")), named("c").after(id("a"))];
        let error = hive.refused(|tx| tx.queue().enqueue_all(circle));
        assert_eq!(error.to_string(), "task 3 of the batch: the task would wait for itself: task=c through=b");
        assert_eq!(count(&hive), 0);
    }

    #[test]
    fn a_chain_with_a_task_that_waits_for_all_of_it_costs_no_more_than_a_few_times_as_many_plain_tasks() {
        let hive = Fixture::new();
        let timed = |tasks: Vec<NewTask>| {
            let started = std::time::Instant::now();
            hive.store.enqueue_all(tasks).unwrap();
            started.elapsed()
        };
        let plain = timed((0..1_000).map(|n| named(&format!("plain-{n}"))).collect());
        let name = |n: usize| format!("chain-{n}");
        let last = (0..999).fold(named("last"), |last, n| last.after(id(&name(n))));
        let chain = (1..999).map(|n| named(&name(n)).after(id(&name(n - 1))));
        let chained = timed([last, named(&name(0))].into_iter().chain(chain).collect());
        assert!(chained < 20 * plain, "{chained:?}, and {plain:?} for plain tasks");
    }

    #[test]
    fn a_circle_is_found_behind_tasks_that_were_there_and_beside_ways_that_meet() {
        let hive = Fixture::new();
        hive.push(named("old").after(id("new")).allow_missing_dependencies());
        let meet = |last: NewTask| {
            vec![named("a").after(id("b")).after(id("c")), named("b").after(id("d")), named("c").after(id("d")), last]
        };
        let error = hive.refused(|tx| tx.queue().enqueue_all(vec![named("x"), named("new").after(id("old"))]));
        assert_eq!(error.to_string(), "task 2 of the batch: the task would wait for itself: task=new through=old");
        let error = hive.refused(|tx| tx.queue().enqueue_all(meet(named("d").after(id("a")))));
        assert!(
            error.to_string().starts_with("task 4 of the batch: the task would wait for itself: task=d"),
            "{error}"
        );
        assert_eq!(push_all(&hive, meet(named("d"))).len(), 4);
    }

    #[test]
    fn a_batch_that_is_repeated_enqueues_nothing_twice() {
        let hive = Fixture::new();
        let tasks = || (0..3).map(|n| NewTask::new(n).idempotency_key(format!("k{n}"))).collect::<Vec<_>>();
        let first = push_all(&hive, tasks());
        let again = push_all(&hive, [tasks(), vec![named("new")]].concat());
        let ids = |enqueued: &[Enqueued]| enqueued.iter().map(|one| one.task.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&first), ids(&again[..3]));
        assert_eq!(again.iter().map(|one| one.is_new).collect::<Vec<_>>(), [false, false, false, true]);
        // The same key twice in one batch is one task, too.
        let twice = push_all(&hive, vec![NewTask::new(1).idempotency_key("x"), NewTask::new(1).idempotency_key("x")]);
        assert_eq!((twice[0].task.id.clone(), twice[1].is_new), (twice[1].task.id.clone(), false));
    }

    #[test]
    fn a_batch_is_limited_in_count_dependencies_and_bytes() {
        let hive = Fixture::new();
        let many = vec![NewTask::new(1); limits::BATCH_TASKS + 1];
        let error = hive.refused(|tx| tx.queue().enqueue_all(many));
        assert_eq!(error.to_string(), "the tasks of a batch are too many; leave some out: count=10001 max=10000");
        let after = |_| (0..limits::DEPENDENCIES).fold(NewTask::new(1), |new, n| new.after(id(&format!("t{n}"))));
        let error = hive.refused(|tx| tx.queue().enqueue_all((0..101).map(after).collect()));
        assert_eq!(
            error.to_string(),
            "the dependencies of a batch are too many; leave some out: count=101000 max=100000"
        );
        let long = NewTask::new(json!("x".repeat(limits::BATCH_BYTES / 2)));
        let error = hive.refused(|tx| tx.queue().enqueue_all(vec![long.clone(), long]));
        assert!(error.to_string().starts_with("the JSON of a batch is too long"), "{error}");
    }

    #[test]
    fn a_closure_that_goes_on_after_a_refused_batch_commits_no_part_of_it() {
        let hive = Fixture::new();
        hive.push(named("taken"));
        let error = hive.refused(|tx| {
            let refused = tx.queue().enqueue_all(vec![named("a"), named("taken")]);
            assert!(refused.is_err());
            Ok(())
        });
        assert_eq!(error.kind(), ErrorKind::NotCommitted);
        assert_eq!(count(&hive), 1);
    }
}
