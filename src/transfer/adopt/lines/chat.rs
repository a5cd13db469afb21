//! `chat-history-*.jsonl`: a message on each line, with `timestamp`, `bot_id`, `role`, `content` and `session_id`.

use serde_json::{Map, Value};

use super::super::members;
use super::super::report::AdoptThing;
use super::each_line::{From, Record};
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::state::chat::NewMessage;
use crate::state::ids::{BotId, check_name};

/// The conversation of messages without a session, in a file whose name cannot be one.
const CONVERSATION: &str = "chat-history";

/// A message of the chat. Its session is its conversation; those without one make up the conversation of their file.
pub(in super::super) struct Chat;

impl Record for Chat {
    type New = NewMessage;
    const THING: AdoptThing = AdoptThing::Messages;
    const MARK: &'static str = "message";

    fn read(mut members: Map<String, Value>, from: &From<'_>) -> Result<NewMessage> {
        let (at, original_time) = members::line_time(&mut members, &["timestamp"], from.zone)?;
        let mut needed = |name| {
            members::text(&mut members, name)
                .ok_or_else(|| Error::invalid(format!("it has no {name}, or its {name} is not a string")))
        };
        let (role, content) = (needed("role")?, needed("content")?);
        let bot = members::parsed(&mut members, "bot_id", str::parse::<BotId>).unwrap_or_default();
        let session = |text: &str| check_name("a session", text).map(|()| text.to_owned());
        let session = members::parsed(&mut members, "session_id", session).unwrap_or_default();
        let of_file = if check_name("a conversation", from.file).is_ok() { from.file } else { CONVERSATION };
        let conversation = session.unwrap_or_else(|| of_file.to_owned());
        Ok(NewMessage {
            bot,
            at: Some(at),
            original_time: Some(original_time),
            attributes: members,
            ..NewMessage::new(conversation, role, content)
        })
    }

    fn append(tx: &mut WriteTx<'_>, new: NewMessage) -> Result<u64> {
        tx.chat().append(new)
    }

    fn is_there(tx: &mut WriteTx<'_>, number: u64) -> Result<bool> {
        Ok(tx.chat().get(number)?.is_some())
    }
}
