//! Tools for the bots of the fleet, and for the caller itself.

use serde_json::json;

use crate::face::mcp::call::Call;
use crate::face::mcp::pages::{self, AT, CURSOR, LIMIT, Part};
use crate::face::mcp::tool::{Effect, Outcome, Tool};
use crate::face::wire::field::FieldType::{List, Number, Object, Text};
use crate::face::wire::field::{Field, optional};
use crate::face::wire::fields::Fields;
use crate::{Bot, Result, Role, show_time};

const BOT: Field = optional("bot", Text, "the bot; the one that you act as unless set");

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "me",
        title: "Show who you are",
        about: "Show the bot that you act as, your role, and the tasks that this session keeps. Call it when you have lost the \
                thread.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[],
        call: |call, fields| Box::pin(me(call, fields)),
    },
    Tool {
        name: "bots",
        title: "List the bots",
        about: "List the registered bots, and when each was last heard of. Read it to find out who can do what.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[LIMIT, CURSOR, AT],
        call: |call, fields| Box::pin(bots(call, fields)),
    },
    Tool {
        name: "register",
        title: "Register your bot",
        about: "Register your bot, replacing its earlier registration. Its specializations decide which tasks it gets.",
        needs: Role::Bot,
        effect: Effect::Sets,
        takes: &[
            BOT,
            optional("kind", Text, "the kind of bot, such as claude-code"),
            optional("status", Text, "the status that it reports"),
            optional("repo", Text, "the repository that it works on"),
            optional("specializations", List(&Text), "its capabilities, as tasks name them"),
            optional("max_concurrent", Number, "number of tasks that it may hold; three unless set"),
            optional("attributes", Object, "additional fields"),
        ],
        call: |call, fields| Box::pin(register(call, fields)),
    },
    Tool {
        name: "heartbeat",
        title: "Report that your bot is alive",
        about: "Report that your registered bot is alive. Others consider a bot without heartbeats dead.",
        needs: Role::Bot,
        effect: Effect::Sets,
        takes: &[BOT],
        call: |call, fields| Box::pin(heartbeat(call, fields)),
    },
];

async fn me(call: Call, fields: Fields) -> Outcome {
    fields.end()?;
    let rights = call.rights();
    let tasks = call.leases.claims().tasks();
    Ok(json!({"bot": rights.bot, "role": rights.role, "tasks": tasks, "lease_is_extended": call.lasts}))
}

async fn bots(call: Call, mut fields: Fields) -> Outcome {
    let part = Part::of(&mut fields)?;
    fields.end()?;
    pages::list(&call, "bots", part, &["attributes"], |view, part, limit| {
        let page = view.registry().page(part.cursor.as_deref(), limit)?;
        Ok((page.items.iter().map(pages::value).collect::<Result<_>>()?, page.next))
    })
    .await
}

async fn register(call: Call, mut fields: Fields) -> Outcome {
    let id = call.bot(&mut fields)?;
    let bot = Bot::from_fields(id.clone(), fields.rest())?;
    call.change(move |store| {
        store.write(|tx| tx.registry().put(&bot))?;
        pages::value(store.view()?.registry().get(&id)?)
    })
    .await
}

/// A heartbeat says that a bot lives, not that the state has changed, so it is a read of the service.
async fn heartbeat(call: Call, mut fields: Fields) -> Outcome {
    let id = call.bot(&mut fields)?;
    fields.end()?;
    let at = call.read(move |store| store.heartbeat(&id)).await?;
    Ok(json!({"timestamp": show_time(at)}))
}
