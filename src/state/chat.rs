//! Chat: what was said, in order, by bot and by conversation.
//!
//! A message's key is its number, so that every view, of the past too, reads all of them in order. Two index rows
//! find those of a bot and those of a conversation now; a view of the past reads through all.

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
use crate::state::ids::{BotId, check_name};
use crate::state::page::{Page, sequence_key, sequence_of};

/// The counter of messages.
const COUNTER: &str = "chat";
/// The first bytes of the index rows of a bot's messages.
const OF_BOT: &[u8] = b"mb";
/// The first bytes of the index rows of a conversation's messages.
const OF_CONVERSATION: &[u8] = b"mc";

/// Keeps the index of messages.
pub(crate) const RULE: IndexRule = IndexRule { collection: CollectionId::CHAT, derive };

/// A message in the chat of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number, higher than that of every message before it.
    pub sequence: u64,
    /// The bot that it is from or for.
    #[serde(rename = "bot_id")]
    pub bot: Option<BotId>,
    /// The conversation that it belongs to.
    pub conversation: String,
    /// Who speaks: `user`, `assistant`, `system`, or another word.
    pub role: String,
    /// What is said.
    pub content: String,
    /// When.
    #[serde(rename = "timestamp", with = "crate::clock::time")]
    pub at: Timestamp,
    /// The time as the program wrote it that the message was taken over from.
    pub original_time: Option<String>,
    /// Whatever else belongs to it.
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
    /// The bot that it is from or for.
    pub bot: Option<BotId>,
    /// The conversation that it belongs to: 1 to 200 bytes without control characters.
    pub conversation: String,
    /// Who speaks.
    pub role: String,
    /// What is said.
    pub content: String,
    /// When; now if absent.
    pub at: Option<Timestamp>,
    /// The time as another program wrote it.
    pub original_time: Option<String>,
    /// Whatever else belongs to it.
    pub attributes: Map<String, Value>,
}

impl NewMessage {
    /// A message of now, from nobody's bot.
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

/// Which messages to list; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatFilter {
    /// Only those of this bot.
    pub bot: Option<BotId>,
    /// Only those of this conversation.
    pub conversation: Option<String>,
}

impl ChatFilter {
    fn matches(&self, message: &Message) -> bool {
        self.bot.as_ref().is_none_or(|bot| message.bot.as_ref() == Some(bot))
            && self.conversation.as_ref().is_none_or(|conversation| message.conversation == *conversation)
    }

    /// What the index rows of at least all matching messages begin with, when not every message matches.
    fn index(&self) -> Option<Vec<u8>> {
        let of_conversation = self.conversation.as_ref().map(|name| index_prefix(OF_CONVERSATION, name));
        of_conversation.or_else(|| self.bot.as_ref().map(|bot| index_prefix(OF_BOT, bot.as_str())))
    }
}

/// The chat, as a view or a transaction sees it.
#[derive(Debug)]
pub struct Chat<R> {
    records: R,
}

impl View {
    /// The chat at this view's point.
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
    /// `Damaged` when its bytes are not what was written, `Io`.
    pub fn get(&self, sequence: u64) -> Result<Option<Message>> {
        let payload = self.records.get(CollectionId::CHAT, &sequence_key(sequence))?;
        payload.map(|payload| codec::decode(&payload)).transpose()
    }

    /// A page of the messages that the filter names.
    ///
    /// Now, it reads no other conversation's or bot's messages; as of a point, it reads through them.
    ///
    /// # Errors
    ///
    /// `Damaged` when a message's bytes are not what was written, `Io`.
    pub fn list(&self, filter: &ChatFilter, page: Page) -> Result<Vec<Message>> {
        match filter.index().filter(|_| self.records.is_now()) {
            Some(prefix) => {
                let rows = scan_rows(&self.records, Table::Index, page.range(&prefix));
                matching(rows.map(|row| self.indexed(row)), filter, page)
            }
            None => matching(scan(&self.records, CollectionId::CHAT, page.range(&[])).map(read), filter, page),
        }
    }

    /// Every message, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = Result<Message>> + '_ {
        scan(&self.records, CollectionId::CHAT, KeyRange::all()).map(read)
    }

    /// The message that an index row names.
    fn indexed(&self, row: Result<Row>) -> Result<Message> {
        let sequence = sequence_of(&row?.0)?;
        let missing = || Error::damaged(format!("the index names a message that is not there: sequence={sequence}"));
        self.get(sequence)?.ok_or_else(missing)
    }
}

impl Chat<&mut WriteTx<'_>> {
    /// Appends a message and gives its number.
    ///
    /// # Errors
    ///
    /// `Invalid` when the conversation is empty, longer than 200 bytes, or has control characters in it; `Io`.
    pub fn append(&mut self, message: NewMessage) -> Result<u64> {
        check_name("a conversation", &message.conversation)?;
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
        Ok(sequence)
    }

    /// Removes the message with that number; says whether there was one.
    ///
    /// # Errors
    ///
    /// `Damaged` when what is removed is not what was written, `Io`.
    pub fn remove(&mut self, sequence: u64) -> Result<bool> {
        self.records.remove(CollectionId::CHAT, &sequence_key(sequence))
    }
}

/// The first messages that match, as many as the page holds.
fn matching(messages: impl Iterator<Item = Result<Message>>, filter: &ChatFilter, page: Page) -> Result<Vec<Message>> {
    messages
        .filter(|message| message.as_ref().map_or(true, |message| filter.matches(message)))
        .take(page.limit())
        .collect()
}

fn read(row: Result<Row>) -> Result<Message> {
    codec::decode(&row?.1)
}

/// Names the index rows of a message.
fn derive(key: &[u8], payload: &[u8], emit: &mut dyn FnMut(&[u8])) -> Result<()> {
    let message: Message = codec::decode(payload)?;
    emit(&[&index_prefix(OF_CONVERSATION, &message.conversation), key].concat());
    if let Some(bot) = message.bot {
        emit(&[&index_prefix(OF_BOT, bot.as_str()), key].concat());
    }
    Ok(())
}

/// A name has no zero byte in it, so that one ends it.
fn index_prefix(kind: &[u8], name: &str) -> Vec<u8> {
    [kind, name.as_bytes(), &[0]].concat()
}
