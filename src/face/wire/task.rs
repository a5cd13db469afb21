//! Tasks in JSON: the fields of a request that describe a new one, a filter, and the token of a claim.

use serde_json::Value;

use crate::face::wire::field::FieldType::{Any, Flag, Number, Object, Text, Time};
use crate::face::wire::field::{Field, Shape, TEXTS, optional, required};
use crate::face::wire::fields::Fields;
use crate::{BotId, BulkTasks, Error, NewTask, Result, TaskFilter, Token, duration};

pub(in crate::face) const NEW_TASK: Shape = Shape {
    name: "NewTask",
    about: "a task to push",
    base: None,
    fields: &[
        required("payload", Any, "payload of the task, in the words of its producer"),
        optional("id", Text, "id of the task; generated unless set"),
        optional("priority", Text, "P0 to P3; P2 unless set"),
        optional("not_before", Time, "no bot may claim it before this time"),
        optional("delay_ms", Number, "delay until a bot may claim it; excludes not_before"),
        optional("capabilities", TEXTS, "capabilities that a bot needs to claim it"),
        optional("assigned_to", Text, "the only bot that may claim it"),
        optional("depends_on", TEXTS, "tasks that must be done first; a purged task that was done counts as done"),
        optional(
            "allow_missing_dependencies",
            Flag,
            "whether it may depend on tasks that do not exist yet; otherwise an unknown id is an error",
        ),
        optional("idempotency_key", Text, "pushing the same key again returns the same task"),
        optional(
            "allow_different",
            Flag,
            "whether an existing task with the same idempotency key is returned even if it differs; otherwise that is an error",
        ),
        optional("max_attempts", Number, "number of failed attempts after which it is dead; five unless set"),
        optional("attributes", Object, "additional fields"),
    ],
};

/// Reads a task field by field, so that the payload keeps its numbers as written. A payload may be null.
pub(in crate::face) fn task(mut fields: Fields) -> Result<NewTask> {
    let mut task = NewTask::new(fields.required_value("payload")?).attributes(fields.object("attributes")?);
    if let Some(id) = fields.parsed("id")? {
        task = task.id(id);
    }
    if let Some(priority) = fields.parsed("priority")? {
        task = task.priority(priority);
    }
    let not_before = fields.time("not_before")?;
    let has_time = not_before.is_some();
    if let Some(time) = not_before {
        task = task.not_before(time);
    }
    if let Some(delay) = fields.millis("delay_ms")? {
        if has_time {
            return Err(Error::invalid("not_before and delay_ms exclude each other; leave one out: field=delay_ms"));
        }
        task = task.delay(delay);
    }
    for capability in fields.list("capabilities")? {
        task = task.capability(capability);
    }
    if let Some(bot) = fields.parsed("assigned_to")? {
        task = task.assign_to(bot);
    }
    for other in fields.list("depends_on")? {
        task = task.after(other.parse()?);
    }
    if fields.flag_or("allow_missing_dependencies", false)? {
        task = task.allow_missing_dependencies();
    }
    if let Some(key) = fields.text("idempotency_key")? {
        task = task.idempotency_key(key);
    }
    if fields.flag_or("allow_different", false)? {
        task = task.allow_different();
    }
    if let Some(attempts) = fields.number("max_attempts")? {
        let most = u32::MAX;
        let too_many = |_| Error::invalid(format!("max_attempts is too large: max_attempts={attempts} limit={most}"));
        task = task.max_attempts(u32::try_from(attempts).map_err(too_many)?);
    }
    fields.end()?;
    Ok(task)
}

/// The field of a filter for the state of a task.
pub(in crate::face) const STATE_FILTER: Field =
    optional("state", Text, "scheduled, waiting, ready, claimed, done, failed, dead or cancelled");
/// That for its bot.
pub(in crate::face) const BOT_FILTER: Field =
    optional("bot", Text, "only tasks that this bot holds or finished, or that are assigned to it");
/// That for a capability.
pub(in crate::face) const CAN_FILTER: Field = optional("can", Text, "only tasks that need this capability");
/// That for its priority.
pub(in crate::face) const PRIORITY_FILTER: Field =
    optional("priority", Text, "only tasks of this priority: P0, P1, P2 or P3");
/// That for the beginning of its id.
pub(in crate::face) const ID_FILTER: Field = optional("id", Text, "only tasks whose id begins with this text");
/// That for its age.
pub(in crate::face) const AGE_FILTER: Field =
    optional("older_than", Text, "only tasks that were pushed longer ago, such as 2h");

/// The fields that say which tasks are meant.
pub(in crate::face) fn filter(fields: &mut Fields) -> Result<TaskFilter> {
    Ok(TaskFilter {
        state: fields.parsed("state")?,
        bot: fields.parsed("bot")?,
        capability: fields.text("can")?,
        priority: fields.parsed("priority")?,
        id_prefix: fields.text("id")?,
        older_than: fields.text("older_than")?.as_deref().map(duration::parse).transpose()?,
    })
}

/// The tasks of a bulk change: those of a filter, or all of them where that is said.
pub(in crate::face) fn bulk_tasks(fields: &mut Fields) -> Result<BulkTasks> {
    let (all, filter) = (fields.flag("all")?, filter(fields)?);
    match (all, filter == TaskFilter::default()) {
        (true, true) => Ok(BulkTasks::All),
        (true, false) => Err(Error::invalid("name all tasks or a filter, not both: field=all")),
        (false, _) => Ok(filter.into()),
    }
}

/// The token of a request that needs one.
pub(in crate::face) fn token(fields: &mut Fields) -> Result<Token> {
    let missing = || Error::invalid("missing field: field=token");
    shown_token(fields)?.ok_or_else(missing)
}

/// The token of a request that needs none.
pub(in crate::face) fn shown_token(fields: &mut Fields) -> Result<Option<Token>> {
    Ok(fields.number("token")?.map(Token))
}

/// Hides the tokens of claims in the value of a record: in a task from everybody but the holder, and in a document,
/// which may hold tasks anywhere, from those who may not see whole documents. `part` is the path of a part of a
/// document, which begins with its kind and source.
pub(in crate::face) fn hide_tokens(
    (collection, part): (&str, Option<&str>),
    value: &mut Value,
    sees_all: bool,
    bot: Option<&BotId>,
    sees_documents: bool,
) {
    let is_token = || part.is_some_and(|part| part.split('/').skip(2).any(|name| name == "token"));
    match collection {
        "queue" => hide_token_in(value, sees_all, bot),
        "documents" if !sees_documents && is_token() => *value = Value::Null,
        "documents" if !sees_documents => hide_tokens_within(value),
        _ => {}
    }
}

fn hide_tokens_within(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide_tokens_within),
        Value::Object(members) => members.iter_mut().for_each(|(name, member)| match name.as_str() {
            "token" => *member = Value::Null,
            _ => hide_tokens_within(member),
        }),
        _ => {}
    }
}

/// Hides the token of the claim in the JSON of a task from a caller who neither sees all tokens nor is the holder.
pub(in crate::face) fn hide_token_in(task: &mut Value, sees_all: bool, bot: Option<&BotId>) {
    let is_own = |holder: &Value| bot.is_some_and(|bot| holder["bot"] == bot.as_str());
    if let Some(holder) = task.get_mut("holder").filter(|holder| holder.is_object() && !sees_all && !is_own(holder)) {
        holder["token"] = Value::Null;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_in_a_document_is_hidden_wherever_it_stands_and_nothing_else_is() {
        let hidden = |part: Option<&str>, mut value: Value| {
            hide_tokens(("documents", part), &mut value, false, None, false);
            value
        };
        let document = json!({"tasks": [{"token": {"value": 1}, "n": 2}], "tokens": 3});
        assert_eq!(hidden(None, document), json!({"tasks": [{"token": null, "n": 2}], "tokens": 3}));
        assert_eq!(hidden(Some("queue/service/claims/token/value"), json!(1)), Value::Null);
        assert_eq!(hidden(Some("queue/token/n"), json!(1)), json!(1));
    }
}
