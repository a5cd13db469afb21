//! Filters of lists of tasks. A page looks at a bounded number of tasks, so that a filter that fits nothing ends.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::duration;
use crate::state::ids::BotId;
use crate::state::queue::tasks::task::{Priority, Task, TaskState};

/// The tasks that one page looks at, at most.
pub(in crate::state::queue) const LOOKED_MAX: usize = 10_000;

/// The tasks to list. The default fits every task.
///
/// # Examples
///
/// ```
/// use hivekeep::{NewTask, Store, TaskFilter};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::open(dir.path().join("hive.redb"))?;
/// store.write(|tx| {
///     tx.queue().enqueue(NewTask::new("train").capability("gpu"))?;
///     tx.queue().enqueue(NewTask::new("test"))
/// })?;
/// let filter = TaskFilter { capability: Some("gpu".into()), ..TaskFilter::default() };
/// assert_eq!(store.view()?.queue().filtered_page(&filter, None, 10)?.tasks.len(), 1);
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFilter {
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks that this bot holds or finished, or that are assigned to it.
    pub bot: Option<BotId>,
    /// Only tasks that need this capability.
    #[serde(rename = "can")]
    pub capability: Option<String>,
    /// Only tasks of this priority.
    pub priority: Option<Priority>,
    /// Only tasks whose id begins with this text.
    #[serde(rename = "id")]
    pub id_prefix: Option<String>,
    /// Only tasks that were enqueued longer ago.
    #[serde(with = "duration::option")]
    pub older_than: Option<Duration>,
}

impl TaskFilter {
    /// As a message names it: `state=dead can=gpu`; empty for every task.
    pub(crate) fn show(&self) -> String {
        let Self { state, bot, capability, priority, id_prefix, older_than } = self;
        let parts = [
            state.map(|state| format!("state={state}")),
            bot.as_ref().map(|bot| format!("bot={bot}")),
            capability.as_ref().map(|can| format!("can={}", can.escape_debug())),
            priority.map(|priority| format!("priority={priority}")),
            id_prefix.as_ref().map(|id| format!("id={}", id.escape_debug())),
            older_than.map(|age| format!("older_than={}", duration::exact(age))),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Whether it asks for nothing: every id begins with the empty text.
    pub(in crate::state::queue) fn fits_all(&self) -> bool {
        let prefix = self.id_prefix.clone().filter(|prefix| !prefix.is_empty());
        Self { id_prefix: prefix, ..self.clone() } == Self::default()
    }

    /// Whether it asks for nothing but a state.
    pub(in crate::state::queue) fn is_plain(&self) -> bool {
        *self == Self { state: self.state, ..Self::default() }
    }

    /// Whether a task fits all but the state, which the list itself looks at.
    pub(in crate::state::queue) fn fits(&self, task: &Task, now: Timestamp) -> bool {
        let Self { state: _, bot, capability, priority, id_prefix, older_than } = self;
        let has = |bot: &BotId| {
            let holder = task.holder.as_ref().map(|holder| &holder.bot);
            [holder, task.assigned_to.as_ref(), task.finished_by.as_ref()].contains(&Some(bot))
        };
        bot.as_ref().is_none_or(has)
            && capability.as_ref().is_none_or(|needed| task.capabilities.contains(needed))
            && priority.is_none_or(|priority| task.priority == priority)
            && id_prefix.as_ref().is_none_or(|prefix| task.id.as_str().starts_with(prefix.as_str()))
            && older_than.is_none_or(|age| clock::after(task.enqueued_at, age) < now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::state::ids::TaskId;
    use crate::state::queue::{ClaimOptions, NewTask};
    use crate::testkit::checked_store::Fixture;

    /// Thirty tasks of three kinds; the first is claimed.
    fn hive() -> Fixture {
        let hive = Fixture::new();
        for number in 0..30 {
            let id = TaskId::new(format!("{}-{number:02}", ["build", "test", "train"][number % 3])).unwrap();
            let mut task = NewTask::new(number).id(id).priority(Priority::ALL[number % 4]);
            if number % 3 == 2 {
                task = task.capability("gpu");
            }
            hive.write(|tx| tx.queue().enqueue(task));
            hive.pass(60);
        }
        hive.write(|tx| tx.queue().claim(&BotId::new("BOT-1").unwrap(), &ClaimOptions::default()));
        hive
    }

    fn all(hive: &Fixture, filter: &TaskFilter) -> Vec<Task> {
        let view = hive.view();
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = view.queue().filtered_page(filter, cursor.as_deref(), 4).unwrap();
            assert!(page.tasks.len() <= 4);
            found.extend(page.tasks);
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn pages_of_a_filter_list_every_task_that_fits_once_and_no_other() {
        let hive = hive();
        let none = TaskFilter::default;
        let filters = [
            none(),
            TaskFilter { state: Some(TaskState::Ready), ..none() },
            TaskFilter { bot: BotId::new("BOT-1").ok(), ..none() },
            TaskFilter { capability: Some("gpu".into()), ..none() },
            TaskFilter { state: Some(TaskState::Waiting), capability: Some("gpu".into()), ..none() },
            TaskFilter { priority: Some(Priority::P1), ..none() },
            TaskFilter { id_prefix: Some("test-".into()), ..none() },
            TaskFilter { id_prefix: Some("test-".into()), state: Some(TaskState::Ready), ..none() },
            TaskFilter { older_than: Some(Duration::from_secs(600)), ..none() },
            TaskFilter { id_prefix: Some("nothing".into()), ..none() },
        ];
        let view = hive.view();
        let whole: Vec<_> = view.queue().list().map(Result::unwrap).collect();
        for filter in filters {
            let is_in = |task: &&Task| filter.state.is_none_or(|state| task.state == state);
            let right = whole.iter().filter(is_in).filter(|task| filter.fits(task, hive.store.clock().now()));
            let found = all(&hive, &filter);
            let ids: BTreeSet<_> = found.iter().map(|task| task.id.clone()).collect();
            assert_eq!(ids, right.map(|task| task.id.clone()).collect(), "{filter:?}");
            assert_eq!(ids.len(), found.len(), "{filter:?}");
        }
    }

    #[test]
    fn a_page_ends_after_a_bounded_number_of_tasks_and_says_where_to_go_on() {
        let hive = Fixture::new();
        hive.store
            .load(|tx| {
                for number in 0..LOOKED_MAX + 5 {
                    let id = if number == LOOKED_MAX + 2 { "z-needle".to_owned() } else { format!("a-{number:06}") };
                    tx.queue().enqueue(NewTask::new(0).id(TaskId::new(id)?).priority(Priority::P3))?;
                }
                Ok(())
            })
            .unwrap();
        let filter =
            TaskFilter { state: Some(TaskState::Ready), id_prefix: Some("z-".into()), ..TaskFilter::default() };
        let view = hive.view();
        let first = view.queue().filtered_page(&filter, None, 4).unwrap();
        assert!(first.tasks.is_empty() && first.next.is_some());
        let second = view.queue().filtered_page(&filter, first.next.as_deref(), 4).unwrap();
        assert_eq!((second.tasks.len(), second.next), (1, None));
    }

    #[test]
    fn the_tasks_that_wait_for_a_task_are_listed_in_pages() {
        let hive = Fixture::new();
        let id = |name: &str| TaskId::new(name).unwrap();
        hive.write(|tx| {
            tx.queue().enqueue(NewTask::new(0).id(id("build")))?;
            for name in ["test-1", "test-2", "test-3"] {
                tx.queue().enqueue(NewTask::new(0).id(id(name)).after(id("build")))?;
            }
            tx.queue().enqueue(NewTask::new(0).id(id("other")).after(id("test-1")))
        });
        let view = hive.view();
        let first = view.queue().dependents(&id("build"), None, 2).unwrap();
        assert_eq!(first.items, [id("test-1"), id("test-2")]);
        let second = view.queue().dependents(&id("build"), first.next.as_deref(), 2).unwrap();
        assert_eq!((second.items, second.next), (vec![id("test-3")], None));
        assert!(view.queue().dependents(&id("build"), Some("00"), 2).is_err(), "a cursor of another list");
    }
}
