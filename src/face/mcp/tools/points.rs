//! Tools for restore points, differences and restores.

use serde_json::{Value, json};

use crate::face::mcp::call::Call;
use crate::face::mcp::pages::{self, CURSOR, IN_LIST, Items, LIMIT, Part, fitting};
use crate::face::mcp::tool::{Effect, Outcome, Tool};
use crate::face::wire::field::FieldType::{Flag, List, Map, Text};
use crate::face::wire::field::{Field, optional, required};
use crate::face::wire::fields::{Fields, missing};
use crate::face::wire::shorten::shorten_fields;
use crate::{DiffFilter, Epoch, PointRequest, RestoreOptions, Result, Role, Selector, Store};

const POINT: Field = required("point", Text, "the restore point: an id, latest, latest~3, a time, or '10m ago'");
const ONLY: Field = optional("only", List(&Text), "only these collections, such as config and queue; all unless set");
const KEY: Field = optional("key", Text, "only the record of this key, in the one collection of only");
const KEEP_FINISHED: Field =
    optional("keep_finished", Flag, "whether tasks that finished since the point stay finished, and do not run again");

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "points",
        title: "List restore points",
        about: "List the restore points, the newest first. Every tool with at reads the state as of one of them.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[LIMIT, CURSOR],
        call: |call, fields| Box::pin(points(call, fields)),
    },
    Tool {
        name: "point_make",
        title: "Make a restore point",
        about: "Make a restore point of the whole state, before something risky. It needs the role operator.",
        needs: Role::Operator,
        effect: Effect::Adds,
        takes: &[
            required("description", Text, "its purpose, as others will read it"),
            optional("held", Flag, "whether no rule of retention may forget it"),
            optional("tags", Map(&Text), "tags by name"),
        ],
        call: |call, fields| Box::pin(point_make(call, fields)),
    },
    Tool {
        name: "diff",
        title: "Show what changed",
        about: "Show what changed since a restore point, or between two, with shortened values and the numbers of all changes.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[
            POINT,
            optional("to", Text, "the other end, another restore point; now unless set"),
            optional("collection", Text, "only changes of this collection"),
            optional("prefix", Text, "only records whose key begins with this text"),
            LIMIT,
            CURSOR,
        ],
        call: |call, fields| Box::pin(diff(call, fields)),
    },
    Tool {
        name: "restore_plan",
        title: "Plan a restore",
        about: "Show what a restore would change, and change nothing. Its state is what restore expects.",
        needs: Role::Reader,
        effect: Effect::Reads,
        takes: &[POINT, ONLY, KEY, KEEP_FINISHED],
        call: |call, fields| Box::pin(restore_plan(call, fields)),
    },
    Tool {
        name: "restore",
        title: "Restore a point",
        about: "Put the state back to a restore point, as restore_plan showed it. It needs the role operator. It can be undone.",
        needs: Role::Operator,
        effect: Effect::Destroys,
        takes: &[POINT, ONLY, KEY, KEEP_FINISHED, required("expect", Text, "state of the plan")],
        call: |call, fields| Box::pin(restore(call, fields)),
    },
    Tool {
        name: "undo",
        title: "Undo the last restore",
        about: "Undo the last restore, unless records have changed since. It needs the role operator.",
        needs: Role::Operator,
        effect: Effect::Destroys,
        takes: &[],
        call: |call, fields| Box::pin(undo(call, fields)),
    },
];

async fn points(call: Call, mut fields: Fields) -> Outcome {
    let part = Part::of(&mut fields)?;
    fields.end()?;
    call.look_through(move |store| {
        fitting(part.limit, |limit| {
            let (points, next) = page(store, &part, limit)?;
            Ok(json!({"points": points, "next": next}))
        })
    })
    .await
}

/// A page of restore points, the newest first.
pub(in crate::face::mcp) fn page(store: &Store, part: &Part, limit: usize) -> Result<Items> {
    let mut points = store.brief_points(part.number()?.map(Epoch), false, limit.saturating_add(1))?;
    let more = points.len() > limit;
    points.truncate(limit);
    let next = points.last().filter(|_| more).map(|point| point.epoch.0.to_string());
    let brief = points.iter().map(|point| {
        let mut shown = json!({"id": point.point, "timestamp": crate::show_time(point.timestamp), "manual": point.manual,
            "description": point.description, "tags": point.tags, "held": point.held, "partial": point.partial});
        shorten_fields(&mut shown, &["description", "tags"], IN_LIST);
        shown
    });
    Ok((brief.collect(), next))
}

async fn point_make(call: Call, mut fields: Fields) -> Outcome {
    let mut request = PointRequest::new(fields.required_text("description")?).held(fields.flag("held")?);
    for (name, value) in fields.tags("tags")? {
        request = request.tag(name, value);
    }
    fields.end()?;
    call.door.admit_point()?;
    let make = call.door.point_maker();
    let point = call.change(move |store| make(store, request)).await?;
    Ok(json!({"point": point.id, "timestamp": crate::show_time(point.timestamp)}))
}

async fn diff(call: Call, mut fields: Fields) -> Outcome {
    let from = point_of(&mut fields)?;
    let to = fields.parsed("to")?.unwrap_or(Selector::Now);
    let filter = DiffFilter { collection: fields.text("collection")?, prefix: fields.text("prefix")? };
    let part = Part::of(&mut fields)?;
    fields.end()?;
    let rights = call.rights();
    call.look_through(move |store| {
        fitting(part.limit, |limit| {
            let ends = (from.clone(), to.clone());
            let mut page = store.diff_page(ends, &filter, part.cursor.as_deref(), limit)?;
            for change in &mut page.changes {
                rights.hide_tokens(&change.collection, Some(&change.key), &mut change.before);
                rights.hide_tokens(&change.collection, Some(&change.key), &mut change.after);
            }
            let mut shown = pages::value(page)?;
            let changes = shown.get_mut("changes").and_then(Value::as_array_mut);
            changes.into_iter().flatten().for_each(|change| shorten_fields(change, &["before", "after"], IN_LIST));
            Ok(shown)
        })
    })
    .await
}

async fn restore_plan(call: Call, mut fields: Fields) -> Outcome {
    let (point, options) = (point_of(&mut fields)?, options_of(&mut fields)?);
    fields.end()?;
    call.look_through(move |store| {
        let plan = store.plan_restore(point, options)?;
        Ok(json!({
            "point": plan.point.id, "collections": plan.collections, "total": plan.total(),
            "tasks_run_again": plan.tasks_run_again, "tasks_forgotten": plan.tasks_forgotten,
            "keep_finished": plan.keep_finished, "state": plan.state,
            "next": "to apply it, an operator calls restore with the same arguments, and with state as expect",
        }))
    })
    .await
}

async fn restore(call: Call, mut fields: Fields) -> Outcome {
    let (point, options) = (point_of(&mut fields)?, options_of(&mut fields)?);
    let options = options.expect(fields.required_text("expect")?);
    fields.end()?;
    call.change(move |store| pages::value(store.restore(point, options)?)).await
}

async fn undo(call: Call, fields: Fields) -> Outcome {
    fields.end()?;
    call.change(move |store| pages::value(store.undo()?)).await
}

fn point_of(fields: &mut Fields) -> Result<Selector> {
    fields.parsed("point")?.ok_or_else(|| missing("point"))
}

fn options_of(fields: &mut Fields) -> Result<RestoreOptions> {
    let mut options = RestoreOptions::new().only(fields.list("only")?).keep_finished(fields.flag("keep_finished")?);
    if let Some(key) = fields.text("key")? {
        options = options.key(key);
    }
    Ok(options)
}
