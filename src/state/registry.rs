//! The registry: which bots there are, what they can do, and when they were last heard of.
//!
//! Heartbeats are kept apart, in a table that no restore touches: so they do not fill the differences between points,
//! and a restored fleet does not look dead.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::as_stored;
use crate::engine::codec::{self, Stored};
use crate::engine::records::{KeyRange, Records, Row, scan};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::limits;
use crate::state::ids::{BotId, check_name, check_new};
use crate::state::page::KeyedPage;

/// The number of tasks that a bot may hold by default.
pub(crate) const DEFAULT_MAX_CONCURRENT: u32 = 3;

/// A bot, as it was registered.
///
/// # Examples
///
/// ```
/// use hivekeep::{Bot, BotId};
///
/// let bot = Bot { port: Some(8251), ..Bot::new(BotId::new("BOT-222")?) };
/// assert_eq!(bot.repo, None);
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bot {
    /// Its name.
    pub id: BotId,
    /// The kind of bot, such as `claude-code`.
    pub kind: Option<String>,
    /// The status that it reported, such as `active`.
    pub status: Option<String>,
    /// Where it is reached.
    pub endpoint: Option<String>,
    /// The port that it listens on.
    pub port: Option<u16>,
    /// Its process.
    pub pid: Option<u32>,
    /// The repository that it works on.
    pub repo: Option<String>,
    /// Its capabilities: it may claim the tasks that require no others.
    pub specializations: BTreeSet<String>,
    /// How many tasks it may hold; three when not set, none when zero.
    pub max_concurrent: Option<u32>,
    /// When it was registered; [`put`](Registry::put) fills it in.
    #[serde(with = "crate::clock::time::option")]
    pub registered_at: Option<Timestamp>,
    /// When it was last heard of. Always as it is now, even as of a point; moved by [`heartbeat`](Registry::heartbeat).
    #[serde(with = "crate::clock::time::option")]
    pub last_heartbeat: Option<Timestamp>,
    /// Anything else.
    #[serde(with = "codec::json")]
    pub attributes: Map<String, Value>,
}

impl Bot {
    /// A bot with a name only.
    pub fn new(id: BotId) -> Self {
        Self {
            id,
            kind: None,
            status: None,
            endpoint: None,
            port: None,
            pid: None,
            repo: None,
            specializations: BTreeSet::new(),
            max_concurrent: None,
            registered_at: None,
            last_heartbeat: None,
            attributes: Map::new(),
        }
    }

    /// The bot with that id and these fields; a field that is absent or null is not set. Callers with JSON of their
    /// own, such as a request to a service, register bots through it.
    ///
    /// # Errors
    ///
    /// `Invalid` for an unknown field, which most often is misspelt, for a value of another type, and for another `id`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Bot, BotId};
    /// use serde_json::json;
    ///
    /// let fields = json!({"port": 8001, "repo": null}).as_object().cloned().unwrap();
    /// let bot = Bot::from_fields(BotId::new("BOT-1")?, fields)?;
    /// assert_eq!((bot.port, bot.repo), (Some(8001), None));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn from_fields(id: BotId, fields: Map<String, Value>) -> Result<Self> {
        let invalid = |source: serde_json::Error| Error::invalid(format!("invalid bot: {source}")).with_source(source);
        let Value::Object(whole) = serde_json::to_value(Self::new(id.clone())).map_err(invalid)? else {
            return Err(Error::damaged("a bot cannot be shown as JSON"));
        };
        if let Some(name) = fields.keys().find(|name| !whole.contains_key(*name)) {
            let known = whole.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Error::invalid(format!(
                "unknown field; put fields of your own into attributes, the fields of a bot are {known}: field={}",
                name.escape_debug()
            )));
        }
        let given: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let read = |given: &[(String, Value)]| {
            let mut whole = whole.clone();
            whole.extend(given.iter().cloned());
            serde_json::from_value::<Self>(Value::Object(whole))
        };
        let bot = read(&given).map_err(|source| {
            // Each by itself, so that the error can name it.
            let refused = |field| read(std::slice::from_ref(field)).err().map(|source| (field, source));
            match given.iter().find_map(refused) {
                Some(((name, value), source)) => {
                    let mut shown = value.to_string();
                    limits::shorten(&mut shown, limits::SHORT_BYTES);
                    let message = format!("invalid bot: {name} must be {}: {name}={shown}", accepted(name));
                    Error::invalid(message).with_source(source)
                }
                None => invalid(source),
            }
        })?;
        if bot.id != id {
            return Err(Error::invalid(format!(
                "the fields name another id; leave id out or make them equal: bot={id} id={}",
                bot.id
            )));
        }
        Ok(bot)
    }

    /// How many tasks it may hold.
    pub(crate) fn most_at_once(&self) -> u32 {
        self.max_concurrent.unwrap_or(DEFAULT_MAX_CONCURRENT)
    }
}

/// The values that a field of a bot accepts, in words.
fn accepted(field: &str) -> &'static str {
    match field {
        "port" => "an integer from 0 to 65535",
        "pid" | "max_concurrent" => "an integer from 0 to 4294967295",
        "specializations" => "an array of strings",
        "registered_at" | "last_heartbeat" => "a time such as 2026-01-02T03:04:05Z",
        "attributes" => "an object",
        "id" => "the id of a bot, a string",
        _ => "a string",
    }
}

impl Stored for Bot {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "a bot";
}

/// A stored heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heartbeat {
    #[serde(with = "crate::clock::time")]
    pub(super) at: Timestamp,
}

impl Stored for Heartbeat {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "a heartbeat";
}

/// The bots of the fleet, to be read, and in a write transaction to be changed.
pub struct Registry<R> {
    records: R,
}

/// The registry of a view or a transaction.
pub(super) fn registry_of<R: Records>(records: R) -> Registry<R> {
    Registry { records }
}

impl WriteTx<'_> {
    /// The registry.
    pub fn registry(&mut self) -> Registry<&mut Self> {
        Registry { records: self }
    }
}

impl View {
    /// The registry, as this view sees it.
    pub fn registry(&self) -> Registry<&Self> {
        Registry { records: self }
    }
}

#[expect(private_bounds, reason = "callers cannot name the reader behind a registry")]
impl<R: Records> Registry<R> {
    /// The bot with that id.
    ///
    /// # Errors
    ///
    /// `Damaged` when it cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Bot, BotId, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let id = BotId::new("BOT-222")?;
    /// let bot = Bot { specializations: ["rust".to_string()].into(), ..Bot::new(id.clone()) };
    /// store.write(|tx| tx.registry().put(&bot))?;
    /// let found = store.view()?.registry().get(&id)?.unwrap();
    /// assert_eq!(found, Bot { registered_at: found.registered_at, ..bot });
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn get(&self, id: &BotId) -> Result<Option<Bot>> {
        let payload = self.records.get(CollectionId::REGISTRY, id.as_bytes())?;
        payload.map(|payload| self.bot(id.as_bytes(), &payload)).transpose()
    }

    /// Every bot, in order of their ids.
    ///
    /// # Errors
    ///
    /// `Damaged` for one that cannot be read.
    pub fn list(&self) -> impl Iterator<Item = Result<Bot>> + '_ {
        let rows = scan(&self.records, CollectionId::REGISTRY, KeyRange::all());
        rows.map(|row| row.and_then(|(key, payload)| self.bot(&key, &payload)))
    }

    /// At most `limit` bots (at least one), in order of their ids; `cursor` is the `next` of the page before.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that no page of this list has given. `Damaged` for a bot that cannot be read.
    pub fn page(&self, cursor: Option<&str>, limit: usize) -> Result<KeyedPage<Bot>> {
        let read = |(key, payload): Row| self.bot(&key, &payload);
        KeyedPage::read(&self.records, CollectionId::REGISTRY, KeyRange::all(), (cursor, limit), read)
    }

    /// How many bots are registered.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    pub fn count(&self) -> Result<u64> {
        Ok(self.records.stats(CollectionId::REGISTRY)?.count)
    }

    /// The bot of a record, with its heartbeat.
    fn bot(&self, key: &[u8], payload: &[u8]) -> Result<Bot> {
        let bot: Bot = codec::decode(payload)?;
        if bot.id.as_bytes() != key {
            let (key, id) = (key.escape_ascii(), &bot.id);
            return Err(Error::damaged(format!("a bot stands under another's key: key={key} id={id}")));
        }
        Ok(Bot { last_heartbeat: self.last_heartbeat(&bot.id)?, ..bot })
    }

    fn last_heartbeat(&self, id: &BotId) -> Result<Option<Timestamp>> {
        let row = self.records.row(Table::Liveness, id.as_bytes())?;
        row.map(|bytes| codec::decode(&bytes).map(|heartbeat: Heartbeat| heartbeat.at)).transpose()
    }
}

impl Registry<&mut WriteTx<'_>> {
    /// Registers a bot, and replaces an earlier registration under its id.
    ///
    /// Without a `registered_at` it keeps the earlier one, or gets the present time. Its `last_heartbeat` counts only
    /// if none is known; after that only [`heartbeat`](Registry::heartbeat) moves it.
    ///
    /// # Errors
    ///
    /// `Invalid` when a specialization is no name, or something is longer than its [limit](crate#limits); `Damaged`
    /// when the bot that it replaces is damaged.
    pub fn put(&mut self, bot: &Bot) -> Result<()> {
        self.records.refuse_other_bot(&bot.id)?;
        self.put_with_its_time(bot)?;
        self.records.note("registry_put", Some(bot.id.as_str()))
    }

    fn put_with_its_time(&mut self, bot: &Bot) -> Result<()> {
        if bot.registered_at.is_some() {
            return self.put_as_it_is(bot);
        }
        let registered_at = self.registered_before(&bot.id)?.unwrap_or_else(|| as_stored(self.records.now()));
        self.put_as_it_is(&Bot { registered_at: Some(registered_at), ..bot.clone() })
    }

    /// Writes a bot that was registered elsewhere, with no more than is known of it.
    pub(crate) fn put_as_it_is(&mut self, bot: &Bot) -> Result<()> {
        check(bot)?;
        check_new("a bot id", bot.id.as_str(), || self.is_there(&bot.id))?;
        let stored = Bot { last_heartbeat: None, ..bot.clone() };
        self.records.put(CollectionId::REGISTRY, bot.id.as_bytes(), &codec::encode(&stored)?)?;
        match bot.last_heartbeat {
            Some(at) if self.last_heartbeat(&bot.id)?.is_none() => self.put_heartbeat(&bot.id, at),
            _ => Ok(()),
        }
    }

    fn is_there(&self, id: &BotId) -> Result<bool> {
        Ok(self.records.get(CollectionId::REGISTRY, id.as_bytes())?.is_some())
    }

    /// The time at which the bot with that id was registered.
    fn registered_before(&self, id: &BotId) -> Result<Option<Timestamp>> {
        let payload = self.records.get(CollectionId::REGISTRY, id.as_bytes())?;
        let before: Option<Bot> = payload.map(|payload| codec::decode(&payload)).transpose()?;
        Ok(before.and_then(|bot| bot.registered_at))
    }

    /// Removes a bot and its heartbeat. Returns whether there was one. It keeps its tasks until their leases end.
    ///
    /// # Errors
    ///
    /// `Damaged` when it is damaged.
    pub fn remove(&mut self, id: &BotId) -> Result<bool> {
        self.records.refuse_other_bot(id)?;
        self.records.context.buffered.forget(id.as_bytes());
        self.records.remove_row(Table::Liveness, id.as_bytes())?;
        let there_was = self.records.remove(CollectionId::REGISTRY, id.as_bytes())?;
        if there_was {
            self.records.note("registry_remove", Some(id.as_str()))?;
        }
        Ok(there_was)
    }

    /// Notes when a bot was last heard of, as part of this transaction, which costs a sync. [`Store::heartbeat`]
    /// gathers those of a second instead.
    ///
    /// [`Store::heartbeat`]: crate::Store::heartbeat
    ///
    /// # Errors
    ///
    /// `NotFound` when no such bot is registered.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Bot, BotId, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let id = BotId::new("BOT-222")?;
    /// let now = "2026-01-02T03:04:05Z".parse().unwrap();
    /// store.write(|tx| {
    ///     tx.registry().put(&Bot::new(id.clone()))?;
    ///     tx.registry().heartbeat(&id, now)
    /// })?;
    /// assert_eq!(store.view()?.registry().get(&id)?.unwrap().last_heartbeat, Some(now));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn heartbeat(&mut self, id: &BotId, at: Timestamp) -> Result<()> {
        if !self.is_there(id)? {
            return Err(unknown(id));
        }
        self.records.context.buffered.forget(id.as_bytes());
        self.put_heartbeat(id, at)
    }

    fn put_heartbeat(&mut self, id: &BotId, at: Timestamp) -> Result<()> {
        self.records.put_row(Table::Liveness, id.as_bytes(), &codec::encode(&Heartbeat { at })?)
    }
}

/// Refuses a bot that breaks a rule.
fn check(bot: &Bot) -> Result<()> {
    limits::count("specializations", bot.specializations.len(), limits::SPECIALIZATIONS)?;
    bot.specializations.iter().try_for_each(|name| check_name("a specialization", name))?;
    for (what, text) in [
        ("the kind of a bot", &bot.kind),
        ("the status of a bot", &bot.status),
        ("the endpoint of a bot", &bot.endpoint),
        ("the repo of a bot", &bot.repo),
    ] {
        limits::optional(what, text.as_ref(), limits::SHORT_BYTES)?;
    }
    limits::members("the attributes of a bot", &bot.attributes, limits::ATTRIBUTES_BYTES)
}

/// The error for a bot that is not registered.
pub(super) fn unknown(id: &BotId) -> Error {
    Error::not_found(format!("no such bot is registered; put it first: bot={id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::testkit::checked_store::{Fixture, time};

    fn id() -> BotId {
        BotId::new("BOT-222").unwrap()
    }

    fn adopted() -> Bot {
        Bot {
            status: Some("active".into()),
            port: Some(8251),
            pid: Some(50080),
            repo: Some("BOT".into()),
            registered_at: Some("2025-10-29T08:02:05.006801Z".parse().unwrap()),
            last_heartbeat: Some("2025-10-31T17:20:00.999125Z".parse().unwrap()),
            attributes: serde_json::from_str(r#"{"metadata":{"bot_type":"claude-code","adapter_type":"cli"}}"#)
                .unwrap(),
            ..Bot::new(id())
        }
    }

    #[test]
    fn the_bytes_of_a_bot_and_of_a_heartbeat_are_fixed() {
        let at = Timestamp::from_microsecond(5).unwrap();
        let bot = Bot { last_heartbeat: None, registered_at: Some(at), ..adopted() };
        let golden =
            b"\x01\x07BOT-222\x00\x01\x06active\x00\x01\xfb\x3b\x20\x01\xfb\xa0\xc3\x01\x03BOT\x00\x00\x01\x0a\
            \x00\x3c{\"metadata\":{\"bot_type\":\"claude-code\",\"adapter_type\":\"cli\"}}";
        let bytes = codec::encode(&bot).unwrap();
        assert_eq!(bytes.escape_ascii().to_string(), golden.escape_ascii().to_string());
        assert_eq!(codec::decode::<Bot>(&bytes).unwrap(), bot);
        assert_eq!(codec::encode(&Heartbeat { at }).unwrap(), b"\x01\x0a");
    }

    #[test]
    fn a_bot_is_read_from_its_fields_and_a_misspelt_field_and_another_id_are_refused() {
        let read = |fields: Value| Bot::from_fields(id(), fields.as_object().cloned().unwrap());
        let bot = read(serde_json::json!({"port": 8001, "specializations": ["rust"], "repo": null})).unwrap();
        assert_eq!(bot, Bot { port: Some(8001), specializations: ["rust".into()].into(), ..Bot::new(id()) });
        let refused = |fields| read(fields).unwrap_err().to_string();
        assert!(refused(serde_json::json!({"prot": 1})).ends_with("attributes: field=prot"));
        for (field, wrong, takes) in [
            ("port", serde_json::json!(70000), "an integer from 0 to 65535"),
            ("port", serde_json::json!("x"), "an integer from 0 to 65535"),
            ("pid", serde_json::json!(-1), "an integer from 0 to 4294967295"),
            ("max_concurrent", serde_json::json!(1.5), "an integer from 0 to 4294967295"),
            ("specializations", serde_json::json!("rust"), "an array of strings"),
            ("attributes", serde_json::json!([]), "an object"),
            ("registered_at", serde_json::json!("now"), "a time such as 2026-01-02T03:04:05Z"),
            ("kind", serde_json::json!(1), "a string"),
        ] {
            let said = refused(serde_json::json!({"repo": "r", field: wrong}));
            assert_eq!(said, format!("invalid bot: {field} must be {takes}: {field}={wrong}"));
        }
        assert_eq!(
            refused(serde_json::json!({"id": "B"})),
            "the fields name another id; leave id out or make them equal: bot=BOT-222 id=B"
        );
    }

    #[test]
    fn a_bot_comes_back_with_everything_that_it_was_registered_with() {
        let hive = Fixture::new();
        hive.write(|tx| tx.registry().put(&adopted()));
        assert_eq!(hive.view().registry().get(&id()).unwrap(), Some(adopted()));
        let json = serde_json::to_value(adopted()).unwrap();
        assert_eq!(json["last_heartbeat"], "2025-10-31T17:20:00.999125+00:00");
        assert_eq!(serde_json::from_value::<Bot>(json).unwrap(), adopted());
    }

    #[test]
    fn a_bot_keeps_the_time_of_its_first_put_unless_another_is_given() {
        let hive = Fixture::new();
        let registered = |hive: &Fixture| hive.view().registry().get(&id()).unwrap().unwrap().registered_at;
        hive.write(|tx| tx.registry().put(&Bot::new(id())));
        let first = registered(&hive);
        assert_eq!(first, Some(time(0)));
        hive.pass(10);
        hive.write(|tx| tx.registry().put(&Bot { port: Some(1), ..Bot::new(id()) }));
        assert_eq!(registered(&hive), first);
        hive.write(|tx| tx.registry().put(&Bot { registered_at: Some(time(7)), ..Bot::new(id()) }));
        assert_eq!(registered(&hive), Some(time(7)));
        hive.write(|tx| tx.registry().put_as_it_is(&Bot::new(id())));
        assert_eq!(registered(&hive), None);
    }

    #[test]
    fn only_the_first_put_brings_a_heartbeat_and_only_a_heartbeat_moves_it() {
        let hive = Fixture::new();
        let heard = |hive: &Fixture| hive.view().registry().get(&id()).unwrap().unwrap().last_heartbeat;
        hive.write(|tx| tx.registry().put(&adopted()));
        hive.write(|tx| tx.registry().heartbeat(&id(), time(9)));
        assert_eq!(heard(&hive), Some(time(9)));
        hive.write(|tx| tx.registry().put(&adopted()));
        assert_eq!(heard(&hive), Some(time(9)));
    }

    #[test]
    fn a_removed_bot_is_gone_with_its_heartbeat() {
        let hive = Fixture::new();
        hive.write(|tx| tx.registry().put(&adopted()));
        assert_eq!(hive.view().registry().count().unwrap(), 1);
        assert!(hive.write(|tx| tx.registry().remove(&id())));
        assert_eq!(hive.view().registry().count().unwrap(), 0);
        assert!(!hive.write(|tx| tx.registry().remove(&id())));
        assert_eq!(hive.view().registry().list().count(), 0);
        hive.write(|tx| tx.registry().put(&Bot::new(id())));
        assert_eq!(hive.view().registry().get(&id()).unwrap().unwrap().last_heartbeat, None);
    }

    #[test]
    fn a_heartbeat_of_a_stranger_and_a_specialization_without_a_name_are_refused() {
        let hive = Fixture::new();
        let stranger = hive.refused(|tx| tx.registry().heartbeat(&id(), time(1)));
        assert_eq!(stranger.kind(), ErrorKind::NotFound);
        assert_eq!(stranger.to_string(), "no such bot is registered; put it first: bot=BOT-222");
        let bot = Bot { specializations: [String::new()].into(), ..Bot::new(id()) };
        let nameless = hive.refused(|tx| tx.registry().put(&bot));
        assert_eq!(nameless.to_string(), "a specialization must not be empty");
    }

    #[test]
    fn a_view_of_the_past_has_the_bots_of_its_time_and_the_present_heartbeats() {
        let hive = Fixture::new();
        hive.write(|tx| tx.registry().put(&adopted()));
        let point = hive.seal();
        hive.write(|tx| tx.registry().put(&Bot { port: Some(1), ..adopted() }));
        hive.write(|tx| tx.registry().heartbeat(&id(), time(7)));
        let then = hive.view_at(point).registry().get(&id()).unwrap().unwrap();
        assert_eq!((then.port, then.last_heartbeat), (Some(8251), Some(time(7))));
    }
}
