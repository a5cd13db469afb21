//! `POST /api/queue/batch`: many tasks are pushed in one commit.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::json;

use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::problem::Answer;
use crate::face::wire::fields::Fields;
use crate::face::wire::task::task;
use crate::{Enqueued, NewTask, Result};

pub(super) async fn push_all(app: App, Object(mut fields): Object) -> Answer {
    let tasks = fields.objects("tasks")?;
    let is_full = fields.flag("full")?;
    fields.end()?;
    let tasks = app.beside(move || tasks.into_iter().enumerate().map(read).collect::<Result<Vec<_>>>()).await??;
    let shown = app.clone();
    app.change(move |store| {
        let row = |enqueued: Enqueued| {
            let mut row = enqueued.in_brief();
            if is_full {
                if !enqueued.differs.is_empty() {
                    row["differs"] = json!(enqueued.differs);
                }
                row["task"] = json!(shown.shown(enqueued.task));
            }
            row
        };
        let rows: Vec<_> = store.enqueue_all(tasks)?.into_iter().map(row).collect();
        // Here, on a thread that may work for long.
        Ok(Json(json!({ "tasks": rows })).into_response())
    })
    .await
}

/// Reads a task; an error names its place.
fn read((index, fields): (usize, Fields)) -> Result<NewTask> {
    task(fields).map_err(|error| error.context(format_args!("task {} of the batch", index.saturating_add(1))))
}
