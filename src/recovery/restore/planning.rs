//! Makes plans of restores, and finds an earlier point if nothing differs.

use crate::engine::epoch::Epoch;
use crate::engine::point::{PointId, Scope};
use crate::engine::schema::{CollectionId, Place};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::diff::kind;
use crate::recovery::points::lost::Spared;
use crate::recovery::points::names::names;
use crate::recovery::points::point::Point;
use crate::recovery::points::selector::Selector;
use crate::recovery::points::versions::{VersionPoint, Wanted};
use crate::recovery::restore::earlier::Earlier;
use crate::recovery::restore::expect::state_of;
use crate::recovery::restore::finished::{Fate, Finished};
use crate::recovery::restore::options::RestoreOptions;
use crate::recovery::restore::plan::{Direction, RestorePlan};
use crate::recovery::restore::scope::{key_alone, target};
use crate::recovery::restore::touched::Touched;
use crate::recovery::restore::writes::second_task;
use crate::state::ids::TaskId;
use crate::state::queue::Task;
use crate::state::restored_together;

/// The most points that are compared with the present state.
const POINTS_COMPARED: usize = 1000;
/// The most differing points that are planned to find one with more than finished tasks that would be kept.
const POINTS_PLANNED: usize = 20;

impl Store {
    /// Plans the restore of a point, and changes nothing.
    ///
    /// A backup or a point of documents restores only those documents; live collections stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Store::at`]; `Invalid` when a collection is unknown, or a key is given without its one collection;
    /// `NotFound` when there is no record of that key, or no document of that kind, at the point or now; `Conflict`
    /// when a single task would return while another one has its idempotency key.
    pub fn plan_restore(&self, selector: impl Into<Selector>, options: RestoreOptions) -> Result<RestorePlan> {
        let selector = selector.into();
        let view = self.view()?;
        let target = target(&view, &selector)?;
        let options = if options.only.is_empty() { options.only(target.only) } else { options };
        let scope = match (&target.documents, &options.key) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("a backup of documents has no keys; restore the document whole"));
            }
            (Some(documents), None) => Scope::of_documents(documents, &options.only)?,
            (None, Some(key)) => self.scope_of_key(&view, &target.point, &options, key)?,
            (None, None) => Scope::of_collections(&options.only, &names(&view)?)?,
        };
        let plan = plan_back(&view, target.point, scope, options, Direction::Restore)?;
        let is_same = plan.total() == 0 && !plan.keeps_any() && target.documents.is_none();
        let earlier = if is_same { view.earlier(&plan)? } else { None };
        Ok(RestorePlan { backup: target.backup, earlier, ..plan })
    }

    fn scope_of_key(&self, view: &View, point: &Point, options: &RestoreOptions, key: &str) -> Result<Scope> {
        let [name] = options.only.as_slice() else {
            return Err(key_alone());
        };
        let collection = names(view)?.of_record(name)?;
        let past = self.view_at(point.epoch)?;
        let rows = restored_together::rows_of(&past, view, collection, key)?;
        if let Some(rows) = rows {
            return Ok(Scope::of_rows(rows));
        }
        if collection == CollectionId::DOCUMENTS {
            let message = "a document is many records; restore the collection, or a backup of the document";
            return Err(Error::invalid(format!("{message}: collection={name} key={}", key.escape_debug())));
        }
        let there = view.record_before(collection, options, key, Wanted::There)?;
        let (there, key) = (there.map(|at| format!("; it was last there at point {at}")), key.escape_debug());
        let there = there.unwrap_or_default();
        Err(Error::not_found(format!("no such record, at the point or now{there}: collection={name} key={key}")))
    }
}

/// Plans a restore or an undo.
///
/// # Errors
///
/// `Conflict` when a single task would return while another one has its idempotency key; `Damaged`, `Io`.
pub(crate) fn plan_back(
    view: &View,
    point: Point,
    scope: Scope,
    options: RestoreOptions,
    direction: Direction,
) -> Result<RestorePlan> {
    let (mut touched, mut finished) = (Touched::default(), Finished::new(options.keep_finished));
    let spared = Spared::of(view, point.epoch)?;
    let with_assignments = spared.with_assignments(view)?;
    view.each_difference(point.epoch, Epoch::NOW, &scope, |row, then, now| {
        if with_assignments.contains(row) {
            return Ok(());
        }
        let Place { collection, key, .. } = Place::of_record(row);
        touched.count(collection, kind(now.is_some(), then.is_some()));
        if collection != CollectionId::QUEUE {
            return Ok(());
        }
        let fate = match direction {
            Direction::Restore => finished.see(view, key, then.as_deref(), now.as_deref())?,
            Direction::Undo { .. } => Fate::AsAtPoint,
        };
        match (then, now) {
            (Some(then), None) if fate == Fate::AsAtPoint => refuse_second_task(view, &scope, key, &then),
            _ => Ok(()),
        }
    })?;
    finished.left_out();
    let mut collections = touched.named(&names(view)?);
    finished.correct(&mut collections);
    let Finished { run_again: tasks_run_again, forgotten: tasks_forgotten, .. } = finished;
    let keep_finished = options.keep_finished;
    Ok(RestorePlan {
        point,
        collections,
        tasks_run_again,
        tasks_forgotten,
        keep_finished,
        state: state_of(view, &scope)?,
        options,
        backup: None,
        earlier: None,
        scope,
        spared,
        direction,
    })
}

/// Refuses to return a single task while another one, which stays, has its idempotency key.
fn refuse_second_task(view: &View, scope: &Scope, key: &[u8], then: &[u8]) -> Result<()> {
    if scope.has_all_of(CollectionId::QUEUE) {
        return Ok(());
    }
    let task = Task::from_record(key, then)?;
    let other = view.queue().other_with_key_of(&task)?;
    let stays = |other: &TaskId| !scope.contains(&CollectionId::QUEUE.row_key(other.as_bytes()));
    other.filter(stays).map_or(Ok(()), |other| Err(second_task(&task, &other)))
}

impl View {
    /// For a plan without changes: the newest earlier point that would change something.
    pub(crate) fn earlier(&self, plan: &RestorePlan) -> Result<Option<Earlier>> {
        let options = &plan.options;
        let (Some(key), [name]) = (&options.key, options.only.as_slice()) else { return self.scope_before(plan) };
        let found = self.record_before(names(self)?.of_record(name)?, options, key, Wanted::Different)?;
        let Some(found) = found else { return Ok(None) };
        let epoch = self.resolve(&Selector::from(&PointId(found.point.clone())))?.epoch();
        Ok(self.would_change(epoch, plan)?.then_some(found))
    }

    /// The newest restore point before that of a plan whose restore, with the same scope and options, would change
    /// something.
    fn scope_before(&self, plan: &RestorePlan) -> Result<Option<Earlier>> {
        let (mut to, mut planned) = (plan.point.epoch, 0);
        let points = self.named_points()?.into_iter().filter(|point| point.epoch < plan.point.epoch);
        let live = points.filter(|point| point.is_listed());
        for point in live.take(POINTS_COMPARED) {
            let mut differs = false;
            self.each_difference(point.epoch, to, &plan.scope, |_, _, _| {
                differs = true;
                Ok(())
            })?;
            if differs && self.would_change(point.epoch, plan)? {
                let found = VersionPoint { point: point.to_string(), timestamp: point.timestamp };
                return Ok(Some(self.way_back(found, &plan.options)));
            }
            planned += usize::from(differs);
            if planned == POINTS_PLANNED {
                break;
            }
            to = point.epoch;
        }
        Ok(None)
    }

    /// Whether a restore of another point, with the same scope and options, would change something. If finished tasks
    /// are kept, a difference may be one that stays.
    fn would_change(&self, epoch: Epoch, plan: &RestorePlan) -> Result<bool> {
        if !plan.options.keep_finished {
            return Ok(true);
        }
        let (point, scope) = (self.point(epoch)?, plan.scope.clone());
        match plan_back(self, point, scope, plan.options.clone(), Direction::Restore) {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            plan => Ok(plan?.total() > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ids::{BotId, TaskId};
    use crate::state::queue::{ClaimOptions, NewTask};
    use crate::testkit::checked_store::Fixture;

    /// Two points: one before a record was removed, one after.
    fn lost() -> (Fixture, String) {
        let hive = Fixture::new();
        hive.write(|tx| tx.config().put("my limit", &1.into()));
        let before = hive.store.restore_point("before").unwrap();
        hive.write(|tx| tx.config().remove("my limit"));
        hive.pass(60);
        hive.store.restore_point("automatic").unwrap();
        hive.pass(660);
        (hive, before.to_string())
    }

    #[test]
    fn a_restore_of_a_record_that_the_point_does_not_contain_names_the_last_point_that_does() {
        let (hive, before) = lost();
        let command = format!("hivekeep restore {before} --only config --key 'my limit'");
        let options = RestoreOptions::new().only(["config"]).key("my limit");
        let refused = hive.store.plan_restore(Selector::Latest(0), options.clone()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        let said = refused.to_string();
        assert!(
            said.contains(&format!("it was last there at point {before}, 12m ago: {command}: collection=config")),
            "{said}"
        );
        hive.store.restore(before.parse::<Selector>().unwrap(), options).unwrap();
        assert_eq!(hive.view().config().get("my limit").unwrap(), Some(1.into()));
    }

    #[test]
    fn a_restore_that_finds_no_difference_names_the_newest_point_that_differs() {
        let (hive, before) = lost();
        let plan = hive.store.plan_restore(Selector::Latest(0), RestoreOptions::new()).unwrap();
        let command = format!("hivekeep restore {before} --dry-run");
        assert_eq!(plan.earlier.as_ref().unwrap().command, command);
        assert!(
            plan.to_string()
                .contains(&format!("  nothing differs; the newest point that does is {before}, 12m ago: {command}\n")),
            "{plan}"
        );
        assert_eq!(hive.store.apply(&plan).unwrap().earlier, plan.earlier);
        let none = hive.store.plan_restore(before.parse::<Selector>().unwrap(), RestoreOptions::new()).unwrap();
        assert_eq!((none.total(), none.earlier), (1, None));
    }

    #[test]
    fn a_record_that_was_overwritten_before_the_point_is_found_at_an_earlier_one() {
        let hive = Fixture::new();
        hive.write(|tx| tx.config().put("a", &1.into()));
        let before = hive.store.restore_point("before").unwrap().to_string();
        hive.write(|tx| tx.config().put("a", &2.into()));
        hive.store.restore_point("automatic").unwrap();
        hive.write(|tx| tx.config().put("b", &2.into()));
        let options = |key| RestoreOptions::new().only(["config"]).key(key);
        let plan = hive.store.plan_restore(Selector::Latest(0), options("a")).unwrap();
        assert_eq!(plan.earlier.unwrap().command, format!("hivekeep restore {before} --only config --key a"));
        let refused = hive.store.plan_restore(Selector::Latest(0), options("never")).unwrap_err().to_string();
        assert_eq!(refused, "no such record, at the point or now: collection=config key=never");
    }

    /// A task that both points contain, and that finished between them. The config differs at the first one, if
    /// requested.
    fn finished(changes_config: bool) -> (Fixture, String) {
        let (hive, bot) = (Fixture::new(), BotId::new("ant").unwrap());
        hive.write(|tx| tx.queue().enqueue(NewTask::new("work").id(TaskId::new("m").unwrap())));
        let before = hive.store.restore_point("before").unwrap().to_string();
        hive.write(|tx| {
            let claim = tx.queue().claim(&bot, &ClaimOptions::default())?.remove(0);
            tx.queue().complete(&claim.id, claim.token, "result")
        });
        if changes_config {
            hive.write(|tx| tx.config().put("limit", &1.into()));
        }
        hive.store.restore_point("automatic").unwrap();
        (hive, before)
    }

    #[test]
    fn a_restore_that_keeps_finished_tasks_names_no_point_at_which_only_these_differ() {
        let (hive, before) = finished(false);
        let of_one = RestoreOptions::new().only(["queue"]).key("m");
        for options in [RestoreOptions::new(), of_one] {
            let found = |options| hive.store.plan_restore(Selector::Latest(0), options).unwrap().earlier;
            assert_eq!(found(options.clone()).map(|earlier| earlier.point), Some(before.clone()));
            assert_eq!(found(options.keep_finished(true)), None);
        }
        let here = RestoreOptions::new().keep_finished(true);
        let kept = hive.store.plan_restore(before.parse::<Selector>().unwrap(), here).unwrap();
        assert_eq!((kept.total(), kept.tasks_run_again, kept.earlier), (0, 1, None), "this one differs");
    }

    #[test]
    fn the_suggested_command_has_every_option_that_was_given() {
        let (hive, before) = finished(true);
        let options = RestoreOptions::new().only(["config", "queue"]).keep_finished(true).verify(true);
        let found = hive.store.plan_restore(Selector::Latest(0), options).unwrap().earlier.unwrap();
        let command = format!("hivekeep restore {before} --only config,queue --verify --keep-finished --dry-run");
        assert_eq!(found.command, command);
    }
}
