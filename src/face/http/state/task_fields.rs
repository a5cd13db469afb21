//! The fields of a request that describe a new task, and the token of a claim.

use crate::face::http::fields::Fields;
use crate::{Error, NewTask, Result, Token};

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

/// The token of a request that needs one.
pub(super) fn token(fields: &mut Fields) -> Result<Token> {
    let missing = || Error::invalid("missing field: field=token");
    shown_token(fields)?.ok_or_else(missing)
}

/// The token of a request that needs none.
pub(super) fn shown_token(fields: &mut Fields) -> Result<Option<Token>> {
    Ok(fields.number("token")?.map(Token))
}
