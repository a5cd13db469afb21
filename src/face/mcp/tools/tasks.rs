//! Tools that enqueue tasks, and look at them.

use serde_json::{Value, json};

use crate::face::mcp::call::{Call, view_at};
use crate::face::mcp::pages::{self, AT, CURSOR, LIMIT, ON_ITS_OWN, Part};
use crate::face::mcp::tool::{Effect, Outcome, Tool};
use crate::face::wire::field::FieldType::{List, Of, Text};
use crate::face::wire::field::{optional, required};
use crate::face::wire::fields::{Fields, missing};
use crate::face::wire::shorten::shorten_fields;
use crate::face::wire::task::{AGE_FILTER, BOT_FILTER, CAN_FILTER, ID_FILTER, PRIORITY_FILTER, STATE_FILTER};
use crate::face::wire::task::{NEW_TASK, filter, task as new_task};
use crate::{BotId, Enqueued, Error, NewTask, Result, Role, Selector, Task, TaskId};

/// The most tasks of one batch.
const BATCH: usize = 1_000;
/// The fields of a task that may be long.
pub(in crate::face::mcp) const LONG: &[&str] = &["payload", "attributes", "result", "last_error", "depends_on"];

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "enqueue",
        title: "Enqueue a task",
        about: "Put a task into the queue for any bot that can do it. Give it an idempotency_key when you may call this twice.",
        needs: Role::Bot,
        effect: Effect::Adds,
        takes: NEW_TASK.fields,
        call: |call, fields| Box::pin(enqueue(call, fields)),
    },
    Tool {
        name: "enqueue_all",
        title: "Enqueue many tasks",
        about: "Put many tasks into the queue in one commit, all of them or none. They may depend on each other in any order.",
        needs: Role::Bot,
        effect: Effect::Adds,
        takes: &[required("tasks", List(&Of(&NEW_TASK)), "the tasks, at most 1,000, each as in enqueue")],
        call: |call, fields| Box::pin(enqueue_all(call, fields)),
    },
    Tool {
        name: "tasks",
        title: "List tasks",
        about: "List tasks with shortened values, all by id or those in one state in its order. Call task for one in full.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[STATE_FILTER, BOT_FILTER, CAN_FILTER, PRIORITY_FILTER, ID_FILTER, AGE_FILTER, LIMIT, CURSOR, AT],
        call: |call, fields| Box::pin(tasks(call, fields)),
    },
    Tool {
        name: "task",
        title: "Show a task",
        about: "Show a task with its payload, state, holder and result, now or as of a restore point.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[required("task", Text, "id of the task"), AT],
        call: |call, fields| Box::pin(task(call, fields)),
    },
    Tool {
        name: "why",
        title: "Explain a task",
        about: "Explain why a task is not claimed, or which bots may claim it. With bot, explain it for that bot.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[required("task", Text, "id of the task"), optional("bot", Text, "reason why the bot does not get it")],
        call: |call, fields| Box::pin(why(call, fields)),
    },
];

async fn enqueue(call: Call, fields: Fields) -> Outcome {
    let task = new_task(fields)?;
    let Enqueued { task, is_new, .. } =
        call.change(move |store| store.write(|tx| tx.queue().enqueue_once(task))).await?;
    Ok(json!({"task": task.id, "state": task.state, "existing": !is_new}))
}

async fn enqueue_all(call: Call, mut fields: Fields) -> Outcome {
    let tasks = fields.objects("tasks")?;
    fields.end()?;
    if tasks.len() > BATCH {
        let message = format!("the tasks of a batch are too many; split it: count={} max={BATCH}", tasks.len());
        return Err(Error::invalid(message).into());
    }
    let read = |(index, fields): (usize, Fields)| {
        new_task(fields).map_err(|error| error.context(format_args!("task {} of the batch", index + 1)))
    };
    let tasks = tasks.into_iter().enumerate().map(read).collect::<Result<Vec<NewTask>>>()?;
    let enqueued = call.change(move |store| store.enqueue_all(tasks)).await?;
    let brief =
        |Enqueued { task, is_new, .. }: &Enqueued| json!({"task": task.id, "state": task.state, "existing": !is_new});
    Ok(json!({"tasks": enqueued.iter().map(brief).collect::<Vec<_>>()}))
}

async fn tasks(call: Call, mut fields: Fields) -> Outcome {
    let filter = filter(&mut fields)?;
    let part = Part::of(&mut fields)?;
    fields.end()?;
    let own = call.clone();
    pages::list(&call, "tasks", part, LONG, move |view, part, limit| {
        let page = view.queue().filtered_page(&filter, part.cursor.as_deref(), limit)?;
        Ok((page.tasks.iter().map(|task| own.shown(task)).collect::<Result<_>>()?, page.next))
    })
    .await
}

async fn task(call: Call, mut fields: Fields) -> Outcome {
    let id = id_of(&mut fields)?;
    let at = fields.parsed("at")?.unwrap_or(Selector::Now);
    fields.end()?;
    one(&call, id, at).await
}

/// A task with long values cut.
pub(in crate::face::mcp) async fn one(call: &Call, id: TaskId, at: Selector) -> Outcome {
    let missing = Error::new(crate::ErrorKind::NotFound, format!("there is no such task: task={id}"));
    let task: Task = call.look_through(move |store| view_at(store, &at)?.queue().get(&id)?.ok_or(missing)).await?;
    let mut shown = call.shown(&task)?;
    shorten_fields(&mut shown, LONG, ON_ITS_OWN);
    Ok(shown)
}

async fn why(call: Call, mut fields: Fields) -> Outcome {
    let (id, bot): (_, Option<BotId>) = (id_of(&mut fields)?, fields.parsed("bot")?);
    fields.end()?;
    let options = call.door.claim_options();
    let why: Value = call
        .read(move |store| {
            let view = store.view()?;
            let why = match bot {
                Some(bot) => view.queue().why_bot(&id, &bot, &options),
                None => view.queue().why(&id, &options),
            };
            pages::value(why?)
        })
        .await?;
    Ok(why)
}

fn id_of(fields: &mut Fields) -> Result<TaskId> {
    fields.parsed("task")?.ok_or_else(|| missing("task"))
}
