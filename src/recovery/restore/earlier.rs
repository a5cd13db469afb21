//! Where a restore would bring something back, when the point that was asked for does not: the mistake is older than it.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::duration;
use crate::engine::epoch::Epoch;
use crate::engine::point::{Origin, Scope};
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::points::versions::{VersionPoint, Wanted};

/// So many points are compared with now.
const POINTS_COMPARED: usize = 1000;

/// An earlier point that differs from now, and the way back to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Earlier {
    /// The newest such point: its id, or the time of a single commit.
    pub point: String,
    /// When it was made.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
    /// The command that restores it.
    pub command: String,
    /// How long ago it was made.
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

impl View {
    fn earlier(&self, point: VersionPoint, options: &str) -> Earlier {
        let VersionPoint { point, timestamp } = point;
        let command = format!("hivekeep restore {}{options}", word(&point));
        Earlier { point, timestamp, command, age: duration::show(duration::since(timestamp, self.now())) }
    }

    /// Where a record was last there, or was another than now.
    pub(crate) fn record_before(
        &self,
        id: CollectionId,
        collection: &str,
        key: &str,
        wanted: Wanted,
    ) -> Result<Option<Earlier>> {
        let options = format!(" --only {} --key {}", word(collection), word(key));
        Ok(self.last_version(id, key, wanted)?.map(|point| self.earlier(point, &options)))
    }

    /// The newest restore point before one, at which something in scope is another than now; up to that one nothing is.
    pub(crate) fn scope_before(&self, until: Epoch, scope: &Scope, only: &[String]) -> Result<Option<Earlier>> {
        let options = if only.is_empty() { String::new() } else { format!(" --only {}", word(&only.join(","))) };
        let mut to = until;
        let points = self.named_points()?.into_iter().filter(|point| point.epoch < until);
        let live = points.filter(|point| point.origin.is_some_and(Origin::is_selectable));
        for point in live.take(POINTS_COMPARED) {
            let mut differs = false;
            self.each_difference(point.epoch, to, scope, |_, _, _| {
                differs = true;
                Ok(())
            })?;
            if differs {
                let found = VersionPoint { point: point.to_string(), timestamp: point.timestamp };
                return Ok(Some(self.earlier(found, &format!("{options} --dry-run"))));
            }
            to = point.epoch;
        }
        Ok(None)
    }
}

/// A word of a command line, quoted where a shell would read it in another way.
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
    use crate::error::ErrorKind;
    use crate::recovery::points::selector::Selector;
    use crate::recovery::restore::plan::RestoreOptions;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_it_in_another_way() {
        for (text, quoted) in
            [("BOT-1", "BOT-1"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''"), ("a\n$", r"'a\n$'")]
        {
            assert_eq!(word(text), quoted);
        }
    }

    /// Two points: one before a record went, one after.
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
    fn a_restore_of_a_record_that_the_point_has_not_says_where_it_was_last_there() {
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
    fn a_restore_that_finds_nothing_different_says_which_point_differs() {
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
    fn a_record_that_was_overwritten_before_the_point_is_found_where_it_was_another() {
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
}
