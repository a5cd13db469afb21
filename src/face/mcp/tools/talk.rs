//! Tools for the chat, and for the notes of bots.

use serde_json::{Value, json};

use crate::face::mcp::call::{Call, view_at};
use crate::face::mcp::pages::{self, AT, CURSOR, Items, LIMIT, ON_ITS_OWN, Part};
use crate::face::mcp::tool::{Effect, Outcome, Tool};
use crate::face::wire::field::FieldType::{Any, Flag, Object, Text};
use crate::face::wire::field::{Field, optional, required};
use crate::face::wire::fields::Fields;
use crate::face::wire::shorten::shorten_fields;
use crate::{ChatFilter, Error, ErrorKind, NewMessage, Result, Role, Selector, View};

const OWNER: Field = optional("bot", Text, "whose notes; your own unless set");
const NAME: Field = required("name", Text, "name of the note");

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "chat_read",
        title: "Read the chat",
        about: "List messages, the newest first, with shortened texts. Name a conversation to read only that one.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[
            optional("conversation", Text, "only those of this conversation"),
            optional("bot", Text, "only those of this bot"),
            optional("oldest", Flag, "whether the oldest come first; then next goes on to newer ones"),
            optional("full", Flag, "whether texts are shown in full; take a small limit then"),
            LIMIT,
            CURSOR,
            AT,
        ],
        call: |call, fields| Box::pin(chat_read(call, fields)),
    },
    Tool {
        name: "chat_post",
        title: "Post a message",
        about: "Append a message to a conversation, in the name of your bot. Others read it when they call chat_read.",
        needs: Role::Bot,
        effect: Effect::Adds,
        takes: &[
            required("conversation", Text, "name of the conversation"),
            required("content", Text, "text of the message"),
            optional("role", Text, "role of the speaker; assistant unless set"),
            optional("bot", Text, "the bot that speaks; the one that you act as unless set"),
            optional("attributes", Object, "additional fields"),
        ],
        call: |call, fields| Box::pin(chat_post(call, fields)),
    },
    Tool {
        name: "notes",
        title: "List notes",
        about: "List the notes of a bot by name, with shortened values. Read your own when you begin, to go on where you were.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[OWNER, optional("prefix", Text, "only notes whose name begins with this text"), LIMIT, CURSOR, AT],
        call: |call, fields| Box::pin(notes(call, fields)),
    },
    Tool {
        name: "note_read",
        title: "Read a note",
        about: "Read a note of a bot, now or as of a restore point. Every bot can read the notes of all.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[NAME, OWNER, AT],
        call: |call, fields| Box::pin(note_read(call, fields)),
    },
    Tool {
        name: "note_write",
        title: "Write a note",
        about: "Write a note of your bot, replacing the one of that name. Keep there what you need after this conversation.",
        needs: Role::Bot,
        effect: Effect::Sets,
        takes: &[NAME, required("value", Any, "the note: any JSON"), OWNER],
        call: |call, fields| Box::pin(note_write(call, fields)),
    },
    Tool {
        name: "note_remove",
        title: "Remove a note",
        about: "Remove a note of your bot. A restore point from before still has it.",
        needs: Role::Bot,
        effect: Effect::Sets,
        takes: &[NAME, OWNER],
        call: |call, fields| Box::pin(note_remove(call, fields)),
    },
];

async fn chat_read(call: Call, mut fields: Fields) -> Outcome {
    let filter = ChatFilter { conversation: fields.text("conversation")?, bot: fields.parsed("bot")? };
    let (oldest, full) = (fields.flag("oldest")?, fields.flag("full")?);
    let part = Part::of(&mut fields)?;
    fields.end()?;
    let short: &[&str] = if full { &[] } else { &["content", "attributes"] };
    pages::list(&call, "messages", part, short, move |view, part, limit| messages(view, &filter, part, !oldest, limit))
        .await
}

/// A page of messages.
pub(in crate::face::mcp) fn messages(
    view: &View,
    filter: &ChatFilter,
    part: &Part,
    newest_first: bool,
    limit: usize,
) -> Result<Items> {
    let mut found = view.chat().list(filter, part.numbered(newest_first, limit.saturating_add(1))?)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| last.sequence.to_string());
    let mut items = found.iter().map(pages::value).collect::<Result<Vec<_>>>()?;
    items.iter_mut().for_each(|item| shorten_fields(item, &["content", "attributes"], ON_ITS_OWN));
    Ok((items, next))
}

async fn chat_post(call: Call, mut fields: Fields) -> Outcome {
    let role = fields.text("role")?.unwrap_or_else(|| "assistant".to_owned());
    let mut message = NewMessage::new(fields.required_text("conversation")?, role, fields.required_text("content")?);
    message.bot = fields.parsed("bot")?.or_else(|| call.rights().bot);
    message.attributes = fields.object("attributes")?;
    fields.end()?;
    let sequence = call.change(move |store| store.write(|tx| tx.chat().append(message))).await?;
    Ok(json!({"sequence": sequence}))
}

async fn notes(call: Call, mut fields: Fields) -> Outcome {
    let bot = call.bot(&mut fields)?;
    let prefix = fields.text("prefix")?.unwrap_or_default();
    let part = Part::of(&mut fields)?;
    fields.end()?;
    pages::list(&call, "notes", part, &["value"], move |view, part, limit| {
        let page = view.notes(&bot).page(&prefix, part.cursor.as_deref(), limit)?;
        Ok((page.items.into_iter().map(|(name, value)| shown(&name, value)).collect(), page.next))
    })
    .await
}

async fn note_read(call: Call, mut fields: Fields) -> Outcome {
    let (bot, name) = (call.bot(&mut fields)?, fields.required_text("name")?);
    let at = fields.parsed("at")?.unwrap_or(Selector::Now);
    fields.end()?;
    let mut note = call
        .look_through(move |store| {
            let value = view_at(store, &at)?.notes(&bot).get(&name)?;
            Ok(shown(&name, value.ok_or_else(|| no_note(&name))?))
        })
        .await?;
    shorten_fields(&mut note, &["value"], ON_ITS_OWN);
    Ok(note)
}

async fn note_write(call: Call, mut fields: Fields) -> Outcome {
    let (bot, name) = (call.bot(&mut fields)?, fields.required_text("name")?);
    let value = fields.required_value("value")?;
    fields.end()?;
    let own = name.clone();
    call.change(move |store| store.write(|tx| tx.notes(&bot).put(&own, &value))).await?;
    Ok(json!({"written": name}))
}

async fn note_remove(call: Call, mut fields: Fields) -> Outcome {
    let (bot, name) = (call.bot(&mut fields)?, fields.required_text("name")?);
    fields.end()?;
    let own = name.clone();
    let was_there = call.change(move |store| store.write(|tx| tx.notes(&bot).remove(&own))).await?;
    if was_there { Ok(json!({"removed": name})) } else { Err(no_note(&name).into()) }
}

/// Moves the value: `json!` would write its numbers in another way.
fn shown(name: &str, value: Value) -> Value {
    let mut note = json!({ "name": name });
    note["value"] = value;
    note
}

fn no_note(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no such note: name={}", name.escape_debug()))
}
