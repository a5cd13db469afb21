//! Writes on behalf of somebody: each change has an entry in its own transaction.

use serde_json::json;

use crate::actor::Actor;
use crate::engine::acting::Acting;
use crate::engine::recorder::{RecordedHandle, Recorder};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::state::audit::entry::{AskedBy, NewEntry};
use crate::state::ids::BotId;

/// The result of an action that was done.
const DONE: &str = "done";

/// Writes into the audit trail.
struct InTrail;

impl Recorder for InTrail {
    fn admit(&self, tx: &WriteTx<'_>) -> Result<()> {
        tx.actor().and_then(Actor::key).map_or(Ok(()), |key| tx.refuse_invalid_key(key))
    }

    fn record(&self, tx: &mut WriteTx<'_>, action: &'static str, target: Option<&str>) -> Result<()> {
        let Some((name, asked_by)) = tx.actor().map(|actor| (actor.name().to_owned(), AskedBy::recorded(actor))) else {
            return Ok(());
        };
        let target = target.map(|target| {
            let mut target = target.to_owned();
            limits::shorten(&mut target, limits::SHORT_BYTES);
            target
        });
        let mut entry = NewEntry { target, result: Some(DONE.to_owned()), ..NewEntry::new(action, name) };
        if let Some(way) = tx.actor().and_then(Actor::way_name) {
            entry.details = json!({ "way": way });
        }
        tx.audit().append_for(entry, Some(asked_by)).map(drop)
    }
}

impl Store {
    /// This store for changes of that actor. Each change that it makes leaves one entry in the audit trail, in the
    /// transaction of the change, with the actor, the action and its target; and the events of its changes name the
    /// actor. The entries of other handles stay as they are.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::Page;
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.acting_as("deploy").write(|tx| tx.config().put("limit", &json!(5)))?;
    /// let entry = store.view()?.audit().list(Page::newest(1))?.remove(0);
    /// assert_eq!((entry.actor.as_str(), entry.action.as_str()), ("deploy", "config_put"));
    /// assert_eq!(entry.target.as_deref(), Some("limit"));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    #[must_use]
    pub fn acting_as(&self, actor: impl Into<Actor>) -> Self {
        let acting = Acting::new(actor.into());
        Self { recording: Some(RecordedHandle { acting, recorder: &InTrail }), ..self.clone() }
    }

    /// The same where an option says who acts, if anybody does.
    #[cfg(feature = "transfer")]
    pub(crate) fn acting_for(&self, actor: Option<&Actor>) -> Self {
        actor.map_or_else(|| self.clone(), |actor| self.acting_as(actor.clone()))
    }

    /// Refuses a change for another bot than the one that the actor is.
    ///
    /// # Errors
    ///
    /// `Forbidden` then.
    pub(crate) fn refuse_other_bot(&self, bot: &BotId) -> Result<()> {
        refuse_other_bot(self.recording.as_ref().map(|recording| recording.acting.actor()), bot)
    }
}

impl WriteTx<'_> {
    /// The actor.
    pub(crate) fn actor(&self) -> Option<&Actor> {
        self.acting.as_ref().map(Acting::actor)
    }

    /// Records an action of the actor, if there is one, and it is not part of an action of several transactions.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`. Then nothing of the closure is committed.
    pub(crate) fn note(&mut self, action: &'static str, target: Option<&str>) -> Result<()> {
        self.note_with(action, || target)
    }

    /// The same; the target is asked for only if the action is recorded.
    pub(crate) fn note_with<T: AsRef<str>>(
        &mut self,
        action: &'static str,
        target: impl FnOnce() -> Option<T>,
    ) -> Result<()> {
        if self.acting.as_ref().is_none_or(Acting::is_within_another) {
            return Ok(());
        }
        let target = target();
        let target = target.as_ref().map(AsRef::as_ref);
        let noted = InTrail.record(self, action, target);
        self.refuse_at_the_end_if(noted.is_err());
        noted
    }

    /// Refuses a change for another bot than the one that the actor is.
    ///
    /// # Errors
    ///
    /// `Forbidden` then.
    pub(crate) fn refuse_other_bot(&self, bot: &BotId) -> Result<()> {
        refuse_other_bot(self.actor(), bot)
    }
}

fn refuse_other_bot(actor: Option<&Actor>, bot: &BotId) -> Result<()> {
    match actor.and_then(|actor| actor.bot().map(|own| (actor, own))) {
        Some((actor, own)) if own != bot.as_str() => {
            let message =
                format!("the key acts as another bot; use a key of that bot: key={actor} acts_as={own} bot={bot}");
            Err(Error::new(ErrorKind::Forbidden, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::HeldKey;
    use crate::state::keys::key::{NewKey, Role};
    use crate::state::page::Page;
    use crate::state::queue::{ClaimOptions, NewTask};
    use crate::state::registry::Bot;
    use crate::testkit::checked_store::Fixture;

    /// The actions in the trail, oldest first.
    fn actions(hive: &Fixture) -> Vec<String> {
        let entries = hive.view().audit().list(Page::oldest(100)).unwrap();
        entries.iter().map(|entry| format!("{} {}", entry.action, entry.target.as_deref().unwrap_or("-"))).collect()
    }

    fn bot(name: &str) -> BotId {
        BotId::new(name).unwrap()
    }

    #[test]
    fn the_entry_of_a_change_names_the_way_by_which_the_actor_acts() {
        let hive = Fixture::new();
        hive.store.acting_as(Actor::new("deploy").way("mcp")).write(|tx| tx.config().put("a", &json!(1))).unwrap();
        hive.store.acting_as("deploy").write(|tx| tx.config().put("a", &json!(2))).unwrap();
        let entries = hive.view().audit().list(Page::oldest(10)).unwrap();
        assert_eq!(
            entries.iter().map(|entry| entry.details.clone()).collect::<Vec<_>>(),
            [json!({"way": "mcp"}), json!({})]
        );
    }

    #[test]
    fn without_an_actor_nothing_is_recorded_and_with_one_each_change_has_one_entry_in_its_own_transaction() {
        let hive = Fixture::new();
        hive.write(|tx| tx.config().put("a", &json!(1)));
        assert_eq!(actions(&hive), [""; 0]);
        let acting = hive.store.acting_as(Actor::new("me").address("::1").request_id("r"));
        let commits = hive.store.commits().count();
        acting.write(|tx| tx.config().put("a", &json!(2)).and_then(|()| tx.config().remove("a")).map(drop)).unwrap();
        assert_eq!(hive.store.commits().count(), commits + 1);
        assert!(!acting.write(|tx| tx.config().remove("a")).unwrap());
        assert_eq!(actions(&hive), ["config_put a", "config_remove a"], "what changes nothing has no entry");
        let entry = hive.view().audit().get(1).unwrap().unwrap();
        let asked_by = entry.asked_by.unwrap();
        assert_eq!((entry.actor.as_str(), entry.result.as_deref()), ("me", Some("done")));
        assert_eq!((asked_by.address.as_deref(), asked_by.request_id.as_deref()), (Some("::1"), Some("r")));
        assert!(!asked_by.told);
        let failed = acting.write(|tx| {
            tx.config().put("b", &json!(2))?;
            Err::<(), _>(Error::conflict("no"))
        });
        assert!(failed.is_err());
        assert_eq!(actions(&hive).len(), 2, "a change that was taken back has no entry");
        hive.check();
    }

    #[test]
    fn an_action_of_several_transactions_has_one_entry_and_events_name_the_actor() {
        let hive = Fixture::new();
        let acting = hive.store.acting_as("me");
        for n in 0..3 {
            hive.write(|tx| tx.config().put("n", &json!(n)));
            acting.doing("all", Some("of it".into())).write(|tx| tx.config().put("m", &json!(n))).unwrap();
        }
        let whole = acting.doing("whole", None);
        for n in 5..8 {
            whole.write(|tx| tx.config().put("m", &json!(n))).unwrap();
        }
        assert_eq!(actions(&hive), ["all of it", "all of it", "all of it", "whole -"]);
    }

    #[test]
    fn an_actor_who_is_a_bot_changes_nothing_for_another_bot() {
        let hive = Fixture::new();
        for name in ["A", "B"] {
            hive.write(|tx| tx.registry().put(&Bot::new(bot(name))));
        }
        hive.write(|tx| tx.queue().enqueue(NewTask::new(1)));
        let [a, b] = ["A", "B"].map(|name| hive.store.acting_as(Actor::new(name).as_bot(name)));
        let claim = a.write(|tx| tx.queue().claim(&bot("A"), &ClaimOptions::default())).unwrap().remove(0);
        let forbidden = |done: Result<()>| assert_eq!(done.unwrap_err().kind(), ErrorKind::Forbidden);
        forbidden(b.write(|tx| tx.queue().claim(&bot("A"), &ClaimOptions::default())).map(drop));
        forbidden(b.heartbeat(&bot("A")).map(drop));
        forbidden(b.write(|tx| tx.registry().put(&Bot::new(bot("A")))));
        forbidden(b.write(|tx| tx.registry().remove(&bot("A"))).map(drop));
        forbidden(b.write(|tx| tx.queue().complete(&claim.id, claim.token, 1)).map(drop));
        forbidden(b.write(|tx| tx.queue().release(&claim.id, claim.token)).map(drop));
        forbidden(b.write(|tx| tx.queue().cancel(&claim.id)).map(drop));
        forbidden(b.write(|tx| tx.audit().append(NewEntry::new("x", "A"))).map(drop));
        a.write(|tx| tx.audit().append(NewEntry::new("x", "A"))).unwrap();
        let told = hive.view().audit().list(Page::newest(1)).unwrap().remove(0);
        assert!(told.asked_by.unwrap().told);
        a.heartbeat(&bot("A")).unwrap();
        a.write(|tx| tx.queue().complete(&claim.id, claim.token, 1)).unwrap();
    }

    #[test]
    fn a_key_that_was_revoked_writes_nothing_more_and_a_new_key_of_its_name_is_another_one() {
        let hive = Fixture::new();
        let name = || "k".parse().unwrap();
        hive.write(|tx| tx.keys().add(NewKey::new(name(), Role::Operator)));
        let created_at = hive.view().keys().get(&name()).unwrap().unwrap().created_at;
        let held = HeldKey { name: "k".into(), created_at };
        let acting = hive.store.acting_as(Actor::new("k").by_key(held));
        let put = || acting.write(|tx| tx.config().put("a", &json!(1)));
        put().unwrap();
        hive.write(|tx| tx.keys().revoke(&name()));
        assert_eq!(put().unwrap_err().kind(), ErrorKind::Forbidden);
        hive.pass(1);
        hive.write(|tx| tx.keys().add(NewKey::new(name(), Role::Operator)));
        assert_eq!(put().unwrap_err().kind(), ErrorKind::Forbidden);
    }

    #[test]
    fn claim_tokens_of_a_store_with_keys_cannot_be_guessed_and_older_claims_stay_valid() {
        let hive = Fixture::new();
        let claim = |task: &str| {
            hive.write(|tx| tx.queue().enqueue(NewTask::new(1).id(task.parse().unwrap())));
            hive.write(|tx| tx.queue().claim(&bot(task), &ClaimOptions::default())).remove(0)
        };
        let old = claim("a");
        assert_eq!(old.token.0, 1);
        hive.write(|tx| tx.keys().add(NewKey::new("k".parse().unwrap(), Role::Operator)));
        let tokens = ["b", "c", "d"].map(|task| claim(task).token.0);
        assert!(tokens.iter().all(|token| (1 << 52..1 << 53).contains(token)), "{tokens:?}");
        assert!(tokens[0].abs_diff(tokens[1]) > 1_000 && tokens[1].abs_diff(tokens[2]) > 1_000, "{tokens:?}");
        hive.write(|tx| tx.queue().complete(&old.id, old.token, 1));
    }
}
