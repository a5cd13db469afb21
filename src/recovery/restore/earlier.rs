//! Finds an older point that would restore something, when the requested point does not because the mistake is older.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::duration;
use crate::engine::epoch::Epoch;
use crate::engine::point::{Origin, PointId};
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::error::{ErrorKind, Result};
use crate::recovery::points::point::names;
use crate::recovery::points::selector::Selector;
use crate::recovery::points::versions::{VersionPoint, Wanted};
use crate::recovery::restore::plan::{Direction, RestoreOptions, RestorePlan, plan_back};

/// The most points that are compared with the present state.
const POINTS_COMPARED: usize = 1000;
/// The most differing points that are planned to find one with more than finished tasks that would be kept.
const POINTS_PLANNED: usize = 20;

/// An earlier point that differs from the present state, and the command that restores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Earlier {
    /// The newest such point: its id, or the time of a single commit.
    pub point: String,
    /// When it was made.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
    /// The command that restores it.
    pub command: String,
    /// Its age, for people.
    #[serde(skip)]
    age: String,
}

/// `0193.., 12m ago: hivekeep restore 0193.. --only config --key limit`.
impl fmt::Display for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, age, command, .. } = self;
        write!(f, "{point}, {age} ago: {command}")
    }
}

impl RestoreOptions {
    /// The command that restores a point with these options.
    pub(crate) fn command(&self, point: &str) -> String {
        let only = (!self.only.is_empty()).then(|| format!(" --only {}", word(&self.only.join(","))));
        let key = self.key.as_ref().map(|key| format!(" --key {}", word(key)));
        let flags =
            [(self.verify, " --verify"), (self.keep_finished, " --keep-finished"), (self.partial, " --partial")];
        let flags: String = flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag).collect();
        format!("hivekeep restore {}{}{}{flags}", word(point), only.unwrap_or_default(), key.unwrap_or_default())
    }
}

impl View {
    fn way_back(&self, point: VersionPoint, options: &RestoreOptions) -> Earlier {
        let VersionPoint { point, timestamp } = point;
        let dry_run = if options.key.is_some() { "" } else { " --dry-run" };
        let command = format!("{}{dry_run}", options.command(&point));
        Earlier { point, timestamp, command, age: duration::show(duration::since(timestamp, self.now())) }
    }

    /// The newest point at which a record existed, or differed from its present value.
    pub(crate) fn record_before(
        &self,
        id: CollectionId,
        options: &RestoreOptions,
        key: &str,
        wanted: Wanted,
    ) -> Result<Option<Earlier>> {
        Ok(self.last_version(id, key, wanted)?.map(|point| self.way_back(point, options)))
    }

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
        let live = points.filter(|point| point.origin.is_some_and(Origin::is_selectable));
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

/// A word of a command line, with quotes if a shell needs them.
fn word(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "._-:/+,@%".contains(char);
    let shown: String = text
        .chars()
        .flat_map(|char| if char.is_control() { char.escape_default().collect::<Vec<_>>() } else { vec![char] })
        .collect();
    if !shown.is_empty() && shown.chars().all(is_plain) { shown } else { format!("'{}'", shown.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ids::{BotId, TaskId};
    use crate::state::queue::{ClaimOptions, NewTask};
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn a_word_is_quoted_if_a_shell_needs_it() {
        for (text, quoted) in
            [("BOT-1", "BOT-1"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''"), ("a\n$", r"'a\n$'")]
        {
            assert_eq!(word(text), quoted);
        }
    }

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
