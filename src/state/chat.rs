//! Chat: messages in order, by bot and by conversation.
//!
//! The key of a message is its number, so every view reads all messages in order, also a view of a point. Two index
//! rows find the present messages of a bot and of a conversation. A view of a point scans all messages.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::codec::{self, Stored};
use crate::engine::index::IndexRule;
use crate::engine::records::{KeyRange, Records, Row, scan, scan_rows};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::limits;
use crate::state::ids::{BotId, check_name, check_new};
use crate::state::page::{Page, sequence_key, sequence_of};

/// The counter of messages.
pub(crate) const COUNTER: &str = "chat";
/// The first bytes of the index rows of a bot's messages.
const OF_BOT: &[u8] = b"mb";
/// The first bytes of the index rows of a conversation's messages.
const OF_CONVERSATION: &[u8] = b"mc";

/// Keeps the index of messages.
pub(crate) const INDEX: IndexRule = IndexRule { collection: CollectionId::CHAT, derive, wakes: |_, _, _| {} };

/// A message in the chat of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number, higher than that of every message before it.
    pub sequence: u64,
    /// The bot that sent or receives it.
    #[serde(rename = "bot_id")]
    pub bot: Option<BotId>,
    /// Its conversation.
    pub conversation: String,
    /// The role of the speaker: `user`, `assistant`, `system`, or another word.
    pub role: String,
    /// The text of the message.
    pub content: String,
    /// When it was sent.
    #[serde(rename = "timestamp", with = "crate::clock::time")]
    pub at: Timestamp,
    /// The original text of the time, for a message that was adopted from another program.
    pub original_time: Option<String>,
    /// Further attributes.
    #[serde(with = "codec::json")]
    pub attributes: Map<String, Value>,
}

impl Stored for Message {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "a message";
}

/// A message to append.
///
/// # Examples
///
/// ```
/// use hivekeep::{BotId, NewMessage};
///
/// let message = NewMessage { bot: Some(BotId::new("BOT-222")?), ..NewMessage::new("standup", "user", "hello") };
/// # assert_eq!(message.role, "user");
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// The bot that sent or receives it.
    pub bot: Option<BotId>,
    /// Its conversation: 1 to 200 bytes without control characters.
    pub conversation: String,
    /// The role of the speaker.
    pub role: String,
    /// The text of the message.
    pub content: String,
    /// When it was sent. The default is now.
    pub at: Option<Timestamp>,
    /// The original text of the time, for a message of another program.
    pub original_time: Option<String>,
    /// Further attributes.
    pub attributes: Map<String, Value>,
}

impl NewMessage {
    /// A message at the present time, without a bot.
    pub fn new(conversation: impl Into<String>, role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            bot: None,
            conversation: conversation.into(),
            role: role.into(),
            content: content.into(),
            at: None,
            original_time: None,
            attributes: Map::new(),
        }
    }
}

/// The messages to list. The default is all messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatFilter {
    /// Only messages of this bot.
    pub bot: Option<BotId>,
    /// Only messages of this conversation.
    pub conversation: Option<String>,
}

impl ChatFilter {
    fn matches(&self, message: &Message) -> bool {
        self.bot.as_ref().is_none_or(|bot| message.bot.as_ref() == Some(bot))
            && self.conversation.as_ref().is_none_or(|conversation| message.conversation == *conversation)
    }

    /// The prefixes of the index rows of the conversation and of the bot.
    fn prefixes(&self) -> Vec<Vec<u8>> {
        let of_conversation = self.conversation.as_ref().map(|name| index_prefix(OF_CONVERSATION, name));
        let of_bot = self.bot.as_ref().map(|bot| index_prefix(OF_BOT, bot.as_str()));
        of_conversation.into_iter().chain(of_bot).collect()
    }
}

/// The chat of a view or a transaction.
#[derive(Debug)]
pub struct Chat<R> {
    records: R,
}

impl View {
    /// The chat, as this view sees it.
    pub fn chat(&self) -> Chat<&Self> {
        Chat { records: self }
    }
}

impl WriteTx<'_> {
    /// The chat, to read and to append to.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{ChatFilter, NewMessage, Page};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| tx.chat().append(NewMessage::new("standup", "user", "what is the state?")))?;
    /// let standup = ChatFilter { conversation: Some("standup".into()), ..ChatFilter::default() };
    /// let newest = store.view()?.chat().list(&standup, Page::newest(50))?;
    /// assert_eq!(newest[0].content, "what is the state?");
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn chat(&mut self) -> Chat<&mut Self> {
        Chat { records: self }
    }
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Chat<R> {
    /// The message with that number.
    ///
    /// # Errors
    ///
    /// `Damaged` when its bytes differ from the written ones, `Io`.
    pub fn get(&self, sequence: u64) -> Result<Option<Message>> {
        let payload = self.records.get(CollectionId::CHAT, &sequence_key(sequence))?;
        payload.map(|payload| codec::decode(&payload)).transpose()
    }

    /// A page of the messages that pass the filter.
    ///
    /// In a view of the present it reads only these messages. In a view of a point it scans the others too.
    ///
    /// # Errors
    ///
    /// `Damaged` when a message's bytes differ from the written ones, `Io`.
    pub fn list(&self, filter: &ChatFilter, page: Page) -> Result<Vec<Message>> {
        let prefixes = filter.prefixes();
        if prefixes.is_empty() || !self.records.is_now() {
            let all = scan(&self.records, CollectionId::CHAT, page.range(&[])).map(read);
            return matching(all, filter, page);
        }
        if let [prefix] = prefixes.as_slice() {
            let rows = scan_rows(&self.records, Table::Index, page.range(prefix)).take(page.limit());
            return rows.map(|row| self.named_by_the_index(sequence_of(&row?.0)?)).collect();
        }
        let mut messages = Vec::new();
        let mut rest = page;
        while messages.len() < page.limit()
            && let Some(sequence) = self.next_of_all(&prefixes, rest)?
        {
            rest = rest.behind(sequence);
            messages.push(self.named_by_the_index(sequence)?);
        }
        Ok(messages)
    }

    /// The next number that has a row under each of the prefixes. The one that is behind skips to the other.
    fn next_of_all(&self, prefixes: &[Vec<u8>], mut rest: Page) -> Result<Option<u64>> {
        let (mut found, mut agree) = (None, 0);
        for prefix in prefixes.iter().cycle() {
            let rows = self.records.rows(Table::Index, &rest.range(prefix), 1)?;
            let Some((key, _)) = rows.first() else { return Ok(None) };
            let sequence = sequence_of(key)?;
            agree = if found == Some(sequence) { agree + 1 } else { 1 };
            (found, rest) = (Some(sequence), rest.from(sequence));
            if agree == prefixes.len() {
                break;
            }
        }
        Ok(found)
    }

    /// Every message, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = Result<Message>> + '_ {
        scan(&self.records, CollectionId::CHAT, KeyRange::all()).map(read)
    }

    fn named_by_the_index(&self, sequence: u64) -> Result<Message> {
        let missing = || Error::damaged(format!("the index names a message that is not there: sequence={sequence}"));
        self.get(sequence)?.ok_or_else(missing)
    }
}

impl Chat<&mut WriteTx<'_>> {
    /// Appends a message. Returns its number.
    ///
    /// # Errors
    ///
    /// `Invalid` when the conversation is empty or has control characters in it, or something is longer than its
    /// [limit](crate#limits); `Io`.
    pub fn append(&mut self, message: NewMessage) -> Result<u64> {
        check(&message)?;
        self.check_names(&message)?;
        message.bot.as_ref().map_or(Ok(()), |bot| self.records.refuse_other_bot(bot))?;
        let conversation = message.conversation.clone();
        let sequence = self.records.next(COUNTER)?;
        let message = Message {
            sequence,
            bot: message.bot,
            conversation: message.conversation,
            role: message.role,
            content: message.content,
            at: message.at.unwrap_or_else(|| self.records.now()),
            original_time: message.original_time,
            attributes: message.attributes,
        };
        self.records.put(CollectionId::CHAT, &sequence_key(sequence), &codec::encode(&message)?)?;
        self.records.note("chat_append", Some(&format!("{conversation}/{sequence}")))?;
        Ok(sequence)
    }

    /// Appends a message of another history of this store, as it was there, with a number of its own.
    #[cfg(feature = "replica")]
    pub(crate) fn append_again(&mut self, message: Message) -> Result<()> {
        let sequence = self.records.next(COUNTER)?;
        let message = Message { sequence, ..message };
        self.records.put(CollectionId::CHAT, &sequence_key(sequence), &codec::encode(&message)?)
    }

    /// Refuses invalid names, unless they were used before.
    fn check_names(&self, message: &NewMessage) -> Result<()> {
        let is_there = |kind, name: &str| {
            let rows = self.records.rows(Table::Index, &KeyRange::prefix(&index_prefix(kind, name)), 1)?;
            Ok::<_, Error>(!rows.is_empty())
        };
        let conversation = message.conversation.as_str();
        check_new("a conversation", conversation, || is_there(OF_CONVERSATION, conversation))?;
        let Some(bot) = &message.bot else { return Ok(()) };
        check_new("a bot id", bot.as_str(), || {
            Ok(is_there(OF_BOT, bot.as_str())? || self.records.get(CollectionId::REGISTRY, bot.as_bytes())?.is_some())
        })
    }

    /// Removes the message with that number. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// `Damaged` when the stored bytes differ from the written ones, `Io`.
    pub fn remove(&mut self, sequence: u64) -> Result<bool> {
        let there_was = self.records.remove(CollectionId::CHAT, &sequence_key(sequence))?;
        if there_was {
            self.records.note("chat_remove", Some(&sequence.to_string()))?;
        }
        Ok(there_was)
    }
}

/// Refuses an invalid message.
fn check(message: &NewMessage) -> Result<()> {
    check_name("a conversation", &message.conversation)?;
    limits::text("the role of a message", &message.role, limits::SHORT_BYTES)?;
    limits::text("the content of a message", &message.content, limits::CHAT_BYTES)?;
    limits::optional("the original time of a message", message.original_time.as_ref(), limits::SHORT_BYTES)?;
    limits::members("the attributes of a message", &message.attributes, limits::ATTRIBUTES_BYTES)
}

/// The first messages that match, up to the limit of the page.
fn matching(messages: impl Iterator<Item = Result<Message>>, filter: &ChatFilter, page: Page) -> Result<Vec<Message>> {
    messages
        .filter(|message| message.as_ref().map_or(true, |message| filter.matches(message)))
        .take(page.limit())
        .collect()
}

fn read(row: Result<Row>) -> Result<Message> {
    codec::decode(&row?.1)
}

/// Derives the index rows of a message.
fn derive(key: &[u8], payload: &[u8], emit: &mut dyn FnMut(&[u8])) -> Result<()> {
    let message: Message = codec::decode(payload)?;
    emit(&[&index_prefix(OF_CONVERSATION, &message.conversation), key].concat());
    if let Some(bot) = message.bot {
        emit(&[&index_prefix(OF_BOT, bot.as_str()), key].concat());
    }
    Ok(())
}

/// Appends a name. Names contain no zero byte, so a zero byte ends it.
fn index_prefix(kind: &[u8], name: &str) -> Vec<u8> {
    [kind, name.as_bytes(), &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::testkit::checked_store::Fixture;

    fn bot(name: &str) -> BotId {
        BotId::new(name).unwrap()
    }

    fn of_bot(name: &str) -> ChatFilter {
        ChatFilter { bot: Some(bot(name)), ..ChatFilter::default() }
    }

    fn of_conversation(name: &str) -> ChatFilter {
        ChatFilter { conversation: Some(name.to_owned()), ..ChatFilter::default() }
    }

    /// Ten messages in turn: of bots a, ab and nobody, in the conversations `x` and `xy`.
    fn ten_messages() -> Fixture {
        let test = Fixture::new();
        test.write(|tx| {
            for n in 0..10 {
                let conversation = if n % 2 == 0 { "x" } else { "xy" };
                let bot = [Some(bot("a")), Some(bot("ab")), None].into_iter().nth(n % 3).flatten();
                tx.chat().append(NewMessage { bot, ..NewMessage::new(conversation, "user", format!("m{n}")) })?;
            }
            Ok(())
        });
        test
    }

    fn numbers(view: &View, filter: &ChatFilter, page: Page) -> Vec<u64> {
        view.chat().list(filter, page).unwrap().iter().map(|message| message.sequence).collect()
    }

    #[test]
    fn a_message_is_stored_in_these_bytes() {
        let message = Message {
            sequence: 7,
            bot: Some(bot("b")),
            conversation: "c".into(),
            role: "user".into(),
            content: "hi".into(),
            at: Timestamp::from_microsecond(5).unwrap(),
            original_time: Some("t".into()),
            attributes: serde_json::from_str(r#"{"n":1.0}"#).unwrap(),
        };
        let bytes = codec::encode(&message).unwrap();
        assert_eq!(bytes, b"\x01\x07\x01\x01b\x01c\x04user\x02hi\x0a\x01\x01t\x09{\"n\":1.0}");
        assert_eq!(codec::decode::<Message>(&bytes).unwrap(), message);
    }

    #[test]
    fn a_message_has_an_index_row_for_its_conversation_and_one_for_its_bot() {
        let test = Fixture::new();
        test.write(|tx| tx.chat().append(NewMessage { bot: Some(bot("b")), ..NewMessage::new("c", "user", "hi") }));
        let rows = test.view().rows(Table::Index, &KeyRange::all(), 9).unwrap();
        let keys: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"mbb\0\0\0\0\0\0\0\0\x01", b"mcc\0\0\0\0\0\0\0\0\x01"]);
        test.write(|tx| tx.chat().remove(1));
        assert_eq!(test.view().rows(Table::Index, &KeyRange::all(), 9).unwrap(), []);
    }

    #[test]
    fn a_message_is_shown_with_the_names_that_other_programs_use() {
        let test = Fixture::new();
        test.write(|tx| tx.chat().append(NewMessage::new("c", "user", "hi")));
        let message = test.view().chat().get(1).unwrap().unwrap();
        assert_eq!(
            serde_json::to_string(&message).unwrap(),
            r#"{"sequence":1,"bot_id":null,"conversation":"c","role":"user","content":"hi","timestamp":"2027-01-15T08:00:00.000000+00:00","original_time":null,"attributes":{}}"#
        );
    }

    #[test]
    fn pages_go_backward_through_all_or_those_of_a_bot_or_of_a_conversation() {
        let test = ten_messages();
        let view = test.view();
        let all = ChatFilter::default();
        assert_eq!(numbers(&view, &all, Page::newest(3)), [10, 9, 8]);
        assert_eq!(numbers(&view, &all, Page::newest(3).before(8)), [7, 6, 5]);
        assert_eq!(numbers(&view, &all, Page::oldest(2).after(8)), [9, 10]);
        assert_eq!(numbers(&view, &of_bot("a"), Page::newest(9)), [10, 7, 4, 1]);
        assert_eq!(numbers(&view, &of_bot("ab"), Page::newest(2).before(8)), [5, 2]);
        assert_eq!(numbers(&view, &of_conversation("x"), Page::newest(9)), [9, 7, 5, 3, 1]);
        assert_eq!(numbers(&view, &of_conversation("xy"), Page::oldest(2).after(4)), [6, 8]);
        assert_eq!(numbers(&view, &of_conversation("none"), Page::newest(9)), [0; 0]);
        let both = ChatFilter { bot: Some(bot("a")), conversation: Some("x".into()) };
        assert_eq!(numbers(&view, &both, Page::newest(9)), [7, 1]);
        assert_eq!(numbers(&view, &both, Page::newest(9).before(7)), [1]);
        assert_eq!(numbers(&view, &both, Page::oldest(1)), [1]);
        assert_eq!(numbers(&view, &both, Page::oldest(9).after(1)), [7]);
    }

    #[test]
    fn a_view_of_the_past_pages_through_what_there_was() {
        let test = ten_messages();
        let point = test.seal();
        test.write(|tx| {
            tx.chat().remove(1)?;
            tx.chat().append(NewMessage { bot: Some(bot("a")), ..NewMessage::new("x", "user", "later") })
        });
        let (then, now) = (test.view_at(point), test.view());
        assert_eq!(numbers(&then, &of_bot("a"), Page::newest(9)), [10, 7, 4, 1]);
        assert_eq!(numbers(&now, &of_bot("a"), Page::newest(9)), [11, 10, 7, 4]);
        assert_eq!(numbers(&then, &of_conversation("x"), Page::newest(2).before(6)), [5, 3]);
        assert_eq!(
            then.chat().all().map(|message| message.unwrap().sequence).collect::<Vec<_>>(),
            Vec::from_iter(1..=10)
        );
    }

    #[test]
    fn a_transaction_reads_its_own_messages_and_one_that_fails_leaves_none() {
        let test = Fixture::new();
        let failed = test.store.write(|tx| {
            tx.chat().append(NewMessage::new("c", "user", "hi"))?;
            assert_eq!(tx.chat().list(&of_conversation("c"), Page::newest(9))?.len(), 1);
            Err::<(), _>(Error::conflict("changed my mind"))
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(test.view().chat().list(&of_conversation("c"), Page::newest(9)).unwrap(), []);
    }

    #[test]
    fn a_conversation_must_have_a_name() {
        let test = Fixture::new();
        for (name, message) in [
            ("", "a conversation must not be empty"),
            ("a\0b", r"a conversation must not have control characters in it: name=a\0b"),
        ] {
            let error = test.store.write(|tx| tx.chat().append(NewMessage::new(name, "user", "hi"))).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_message_that_was_taken_over_keeps_its_time_and_attributes() {
        let test = Fixture::new();
        let attributes: Map<_, _> = [("mood".to_owned(), Value::from("good"))].into_iter().collect();
        let message = NewMessage {
            at: Some("2025-10-25T14:12:21.405449Z".parse().unwrap()),
            original_time: Some("2025-10-25T14:12:21.405449".into()),
            attributes: attributes.clone(),
            ..NewMessage::new("2025-10-25", "assistant", "hello")
        };
        let number = test.write(|tx| tx.chat().append(message));
        let stored = test.view().chat().get(number).unwrap().unwrap();
        assert_eq!(stored.at.to_string(), "2025-10-25T14:12:21.405449Z");
        assert_eq!(
            (stored.original_time.as_deref(), stored.attributes),
            (Some("2025-10-25T14:12:21.405449"), attributes)
        );
    }
}
