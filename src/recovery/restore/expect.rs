//! The state that a plan was made of, by name, so that a restore can be refused once that state has changed.

use crate::engine::digest::hex;
use crate::engine::meta;
use crate::engine::point::Scope;
use crate::engine::records::Records;
use crate::engine::schema::{CollectionId, Place};
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::recovery::restore::plan::RestorePlan;

/// The number of bytes of a hash that name a state.
const NAME: usize = 16;

/// The name of the state within a scope: that of its records, or of its collections by their digests. Changes
/// outside of the scope do not count.
pub(crate) fn state_of<R: Records>(records: &R, scope: &Scope) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    for row in &scope.rows {
        let Place { collection, key, .. } = Place::of_record(row);
        let payload = records.get(collection, key)?;
        hash.update(&(row.len() as u64).to_be_bytes());
        hash.update(row);
        hash.update(&[u8::from(payload.is_some())]);
        hash.update(blake3::hash(&payload.unwrap_or_default()).as_bytes());
    }
    if scope.rows.is_empty() {
        for (collection, stats) in meta::all_stats(records)? {
            if has_some_of(scope, collection) {
                hash.update(&collection.0.to_be_bytes());
                hash.update(&stats.count.to_be_bytes());
                hash.update(&stats.digest.to_bytes());
            }
        }
    }
    Ok(hex(hash.finalize().as_bytes().get(..NAME).unwrap_or_default()))
}

/// Whether a scope without single records touches a collection.
fn has_some_of(scope: &Scope, collection: CollectionId) -> bool {
    let by_prefix = scope
        .prefixes
        .iter()
        .any(|prefix| CollectionId::split_row_key(prefix).is_some_and(|(own, _)| own == collection));
    by_prefix || scope.has_all_of(collection)
}

impl RestorePlan {
    /// Refuses to apply the plan unless the state is still the one of [`RestorePlan::state`] of an earlier plan.
    #[must_use]
    pub fn expect(mut self, state: impl Into<String>) -> Self {
        self.options.expect = Some(state.into());
        self
    }
}

impl WriteTx<'_> {
    /// Refuses a plan that was made of another state, if it says which.
    pub(crate) fn refuse_moved_on(&self, plan: &RestorePlan) -> Result<()> {
        let Some(expected) = &plan.options.expect else { return Ok(()) };
        let state = state_of(self, &plan.scope)?;
        if state == *expected {
            return Ok(());
        }
        let message = "the state has changed since the plan, so nothing was restored; look at a new plan";
        let expected = expected.escape_debug();
        Err(Error::conflict(format!("{message}: expected={expected} state={state}")).with_hint(Hint::PlanAgain))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::error::{ErrorKind, Hint};
    use crate::recovery::points::selector::Selector;
    use crate::recovery::restore::options::RestoreOptions;
    use crate::state::queue::NewTask;
    use crate::testkit::checked_store::Fixture;

    /// A point, and a change of config since.
    fn hive() -> Fixture {
        let hive = Fixture::new();
        hive.write(|tx| tx.config().put("limit", &json!(1)));
        hive.store.restore_point("before").unwrap();
        hive.write(|tx| tx.config().put("limit", &json!(2)));
        hive
    }

    fn state(hive: &Fixture, options: &RestoreOptions) -> String {
        hive.store.plan_restore(Selector::Latest(0), options.clone()).unwrap().state
    }

    #[test]
    fn a_restore_is_refused_once_its_part_of_the_state_has_changed_since_the_plan() {
        let scopes = [
            RestoreOptions::new(),
            RestoreOptions::new().only(["config"]),
            RestoreOptions::new().only(["config"]).key("limit"),
        ];
        for options in scopes {
            let hive = hive();
            let planned = state(&hive, &options);
            hive.write(|tx| tx.config().put("limit", &json!(3)));
            let refused = hive.store.restore(Selector::Latest(0), options.clone().expect(&planned)).unwrap_err();
            assert_eq!((refused.kind(), refused.hint()), (ErrorKind::Conflict, Some(&Hint::PlanAgain)));
            assert_eq!(hive.view().config().get("limit").unwrap(), Some(json!(3)));
            let again = state(&hive, &options);
            hive.store.restore(Selector::Latest(0), options.expect(again)).unwrap();
            assert_eq!(hive.view().config().get("limit").unwrap(), Some(json!(1)));
        }
    }

    #[test]
    fn changes_outside_of_the_restored_part_do_not_refuse_it() {
        let scopes = [RestoreOptions::new().only(["config"]), RestoreOptions::new().only(["config"]).key("limit")];
        for options in scopes {
            let hive = hive();
            let planned = state(&hive, &options);
            hive.write(|tx| tx.queue().enqueue(NewTask::new("work")));
            hive.store.restore(Selector::Latest(0), options.expect(planned)).unwrap();
            assert_eq!(hive.view().config().get("limit").unwrap(), Some(json!(1)));
        }
    }

    #[test]
    fn an_undo_is_refused_once_the_state_has_changed_since_its_plan() {
        let hive = hive();
        hive.store.restore(Selector::Latest(0), RestoreOptions::new()).unwrap();
        let planned = hive.store.plan_undo().unwrap().state;
        hive.write(|tx| tx.queue().enqueue(NewTask::new("work")));
        let plan = hive.store.plan_undo().unwrap().discard();
        assert_eq!(hive.store.apply(&plan.clone().expect(&planned)).unwrap_err().hint(), Some(&Hint::PlanAgain));
        let now = plan.state.clone();
        hive.store.apply(&plan.expect(now)).unwrap();
        assert_eq!(hive.view().config().get("limit").unwrap(), Some(json!(2)));
    }
}
