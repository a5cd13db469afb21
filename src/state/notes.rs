//! Notes of bots: each bot has names of its own for values that it wants to find again, and others may read them.
//!
//! They are records of the collection `bot-notes`, so that restore points, differences and restores see them.

use serde_json::Value;

use crate::engine::records::{KeyRange, Records};
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::json;
use crate::state::ids::{BotId, check_name, check_new};
use crate::state::page::KeyedPage;

/// The collection of all notes. The key of a note is the id of its bot, a slash, and its name.
const NOTES: &str = "bot-notes";

/// The notes of one bot, in a view or a transaction.
#[derive(Debug)]
pub struct Notes<R> {
    records: R,
    bot: BotId,
}

impl View {
    /// The notes of a bot, as this view sees them.
    pub fn notes(&self, bot: &BotId) -> Notes<&Self> {
        Notes { records: self, bot: bot.clone() }
    }
}

impl WriteTx<'_> {
    /// The notes of a bot, to read and to change.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::BotId;
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let bot = BotId::new("BOT-1")?;
    /// store.write(|tx| tx.notes(&bot).put("plan", &json!(["read", "build"])))?;
    /// assert_eq!(store.view()?.notes(&bot).get("plan")?, Some(json!(["read", "build"])));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn notes(&mut self, bot: &BotId) -> Notes<&mut Self> {
        Notes { records: self, bot: bot.clone() }
    }
}

impl Notes<&View> {
    /// The note of that name.
    ///
    /// # Errors
    ///
    /// `Damaged` when its bytes differ from the written ones, `Io`.
    pub fn get(&self, name: &str) -> Result<Option<Value>> {
        self.records.collection(NOTES)?.get(&key(&self.bot, name))
    }

    /// A page of at most `limit` notes (at least one) whose name begins with `prefix`, with their names; `cursor` is
    /// the `next` of the page before.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that no page of this list has given; `Damaged`, `Io`.
    pub fn page(&self, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<KeyedPage<(String, Value)>> {
        let Some(id) = self.records.collection_id(NOTES)? else {
            return Ok(KeyedPage { items: Vec::new(), next: None });
        };
        let own = key(&self.bot, "").len();
        let range = KeyRange::prefix(key(&self.bot, prefix).as_bytes());
        KeyedPage::read(self.records, id, range, (cursor, limit), |(key, payload)| {
            let name = String::from_utf8_lossy(key.get(own..).unwrap_or_default()).into_owned();
            Ok((name, json::parse(&payload)?))
        })
    }
}

impl Notes<&mut WriteTx<'_>> {
    /// Sets the note of that name.
    ///
    /// # Errors
    ///
    /// `Forbidden` when the actor acts as another bot; `Invalid` when the name is no name, or the value is longer than
    /// its [limit](crate#limits); `Io`.
    pub fn put(&mut self, name: &str, value: &Value) -> Result<()> {
        check_name("the name of a note", name)?;
        check_new("the name of a note", name, || Ok(false))?;
        self.records.refuse_other_bot(&self.bot)?;
        self.records.collection(NOTES)?.put(&key(&self.bot, name), value)
    }

    /// Removes the note of that name. Returns whether it existed.
    ///
    /// # Errors
    ///
    /// `Forbidden` when the actor acts as another bot; `Damaged`, `Io`.
    pub fn remove(&mut self, name: &str) -> Result<bool> {
        self.records.refuse_other_bot(&self.bot)?;
        self.records.collection::<Value>(NOTES)?.remove(&key(&self.bot, name))
    }
}

/// The key of a note. The id of the bot has no slash in it there, so that no two bots share a key.
fn key(bot: &BotId, name: &str) -> String {
    format!("{}/{name}", bot.as_str().replace('%', "%25").replace('/', "%2F"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;
    use crate::testkit::checked_store::Fixture;

    fn bot(name: &str) -> BotId {
        BotId::new(name).unwrap()
    }

    fn names(page: KeyedPage<(String, Value)>) -> Vec<String> {
        page.items.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_bot_finds_its_own_notes_by_name_and_in_pages() {
        let hive = Fixture::new();
        assert_eq!(names(hive.view().notes(&bot("ant")).page("", None, 10).unwrap()), [""; 0]);
        hive.write(|tx| {
            ["plan/a", "plan/b", "seen"].iter().try_for_each(|name| tx.notes(&bot("ant")).put(name, &json!(name)))?;
            tx.notes(&bot("anteater")).put("other", &json!(1))
        });
        let view = hive.view();
        let first = view.notes(&bot("ant")).page("plan/", None, 1).unwrap();
        let second = view.notes(&bot("ant")).page("plan/", first.next.as_deref(), 1).unwrap();
        assert_eq!((names(first), names(second)), (vec!["plan/a".to_owned()], vec!["plan/b".to_owned()]));
        assert_eq!(names(view.notes(&bot("ant")).page("", None, 10).unwrap()).len(), 3);
        assert!(hive.write(|tx| tx.notes(&bot("ant")).remove("seen")));
        assert_eq!(hive.view().notes(&bot("ant")).get("seen").unwrap(), None);
    }

    #[test]
    fn a_bot_writes_and_removes_no_note_of_another() {
        let hive = Fixture::new();
        hive.write(|tx| tx.notes(&bot("ant")).put("plan", &json!(1)));
        let bee = hive.store.acting_as(crate::actor::Actor::new("key").as_bot("bee"));
        for refused in [
            bee.write(|tx| tx.notes(&bot("ant")).put("plan", &json!(2))).unwrap_err(),
            bee.write(|tx| tx.notes(&bot("ant")).remove("plan")).unwrap_err(),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Forbidden);
        }
        assert_eq!(hive.view().notes(&bot("ant")).get("plan").unwrap(), Some(json!(1)));
    }

    #[test]
    fn a_bot_whose_id_has_a_slash_shares_no_note_with_another() {
        let hive = Fixture::new();
        hive.write(|tx| tx.notes(&bot("a/b")).put("c", &json!(1)));
        assert_eq!(hive.view().notes(&bot("a")).get("b/c").unwrap(), None);
        assert_eq!(hive.view().notes(&bot("a")).page("", None, 10).unwrap().items, []);
        hive.refused(|tx| tx.notes(&bot("a")).put("", &json!(1)));
        hive.refused(|tx| tx.notes(&bot("a")).put("\u{202e}", &json!(1)));
    }
}
