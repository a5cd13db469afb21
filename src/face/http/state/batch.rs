//! `POST /api/queue/batch`: many tasks are pushed in one commit.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::json;

use crate::face::http::app::App;
use crate::face::http::body::Object;
use crate::face::http::fields::Fields;
use crate::face::http::problem::Answer;
use crate::face::http::state::task_fields::task;
use crate::{Enqueued, NewTask, Result};

pub(super) async fn push_all(app: App, Object(mut fields): Object) -> Answer {
    let tasks = fields.objects("tasks")?;
    let is_full = fields.flag("full")?;
    fields.end()?;
    let tasks = app.beside(move || tasks.into_iter().enumerate().map(read).collect::<Result<Vec<_>>>()).await??;
    let enqueued = app.change(move |store| store.enqueue_all(tasks)).await?;
    let shown = |enqueued: Enqueued| {
        let mut row = enqueued.in_brief();
        if is_full {
            if !enqueued.differs.is_empty() {
                row["differs"] = json!(enqueued.differs);
            }
            row["task"] = json!(app.shown(enqueued.task));
        }
        row
    };
    Ok(Json(json!({"tasks": enqueued.into_iter().map(shown).collect::<Vec<_>>()})).into_response())
}

/// Reads a task; an error names its place.
fn read((index, fields): (usize, Fields)) -> Result<NewTask> {
    task(fields).map_err(|error| error.context(format_args!("task {} of the batch", index.saturating_add(1))))
}
