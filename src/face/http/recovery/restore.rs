//! `POST /restore/{backup_id}`: returns the content of a backup, or restores it in place.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::bodies::query::Name;
use crate::face::http::problem::Answer;
use crate::face::wire::fields::Fields;
use crate::{RestoreOptions, Result, Store, show_time};

/// The options of a restore.
struct Wanted {
    apply: bool,
    only: Vec<String>,
    dry_run: bool,
    data: bool,
    keep_finished: bool,
}

pub(super) async fn restore(app: App, Name(id): Name, Object(fields): Object) -> Answer {
    let wanted = Wanted::read(fields)?;
    let changes = wanted.apply && !wanted.dry_run;
    let work = move |store: &Store| answer(store, &id, wanted).map(|answer| Json(answer).into_response());
    if changes { app.change(work).await } else { app.show(work).await }
}

impl Wanted {
    const NAMES: [&str; 5] = ["apply", "only", "dry_run", "data", "keep_finished"];

    /// No client of the replaced service sends these fields. A request with one of them has no unknown ones: behind
    /// a misspelt `dry_run` the restore would happen.
    fn read(mut fields: Fields) -> Result<Self> {
        let is_new = Self::NAMES.iter().any(|name| fields.has(name));
        let wanted = Self {
            apply: fields.flag("apply")?,
            only: fields.list("only")?,
            dry_run: fields.flag("dry_run")?,
            data: fields.flag("data")?,
            keep_finished: fields.flag("keep_finished")?,
        };
        if is_new { fields.end().map(|()| wanted) } else { Ok(wanted) }
    }

    fn options(self) -> RestoreOptions {
        RestoreOptions::new().only(self.only).keep_finished(self.keep_finished)
    }
}

fn answer(store: &Store, id: &str, wanted: Wanted) -> Result<Value> {
    let mut answer = if wanted.dry_run {
        plan(store, id, wanted)?
    } else if wanted.apply {
        apply(store, id, wanted)?
    } else {
        with_data(json!({"success": true}), store.restore_data(id)?)
    };
    answer["timestamp"] = show_time(store.clock().now()).into();
    Ok(answer)
}

/// The plan of a restore in place.
fn plan(store: &Store, id: &str, wanted: Wanted) -> Result<Value> {
    let plan = store.plan_restore_backup(id, wanted.options())?;
    Ok(json!({
        "success": true, "dry_run": true, "restored": plan.collections, "tasks_run_again": plan.tasks_run_again,
        "tasks_forgotten": plan.tasks_forgotten, "keep_finished": plan.keep_finished,
    }))
}

/// Restores in place. The content is returned only on request, and is read before the restore.
fn apply(store: &Store, id: &str, wanted: Wanted) -> Result<Value> {
    let with = wanted.data;
    let (report, data) = store.restore_backup(id, wanted.options(), with)?;
    let mut answer = json!({
        "success": true, "restored": report.collections, "verified": report.verified, "claims_returned": report.claims_returned, "tasks_run_again": report.tasks_run_again,
        "tasks_forgotten": report.tasks_forgotten, "keep_finished": report.keep_finished,
    });
    if let Some(undo) = report.undo {
        answer["undo"] = undo.to_string().into();
    }
    Ok(match data {
        Some(data) => with_data(answer, data),
        None => answer,
    })
}

/// Moves the content into the response: `json!` would write its numbers in another way.
fn with_data(mut answer: Value, data: Value) -> Value {
    answer["data"] = data;
    answer
}
