//! `POST /backup`.

use axum::Json;
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::bodies::document_body::DocumentBody;
use crate::face::http::problem::Answer;
use crate::{BackupRequest, Kind, Result, show_time};

pub(super) async fn backup(app: App, handed: DocumentBody) -> Answer<Json<Value>> {
    app.admit_point()?;
    let request = request(handed)?;
    app.change_by(move |instance, store| {
        let backup = instance.backup(store, request)?;
        let timestamp = show_time(store.clock().now());
        Ok(Json(json!({"success": true, "backup_id": backup.backup_id, "timestamp": timestamp})))
    })
    .await
}

fn request(mut handed: DocumentBody) -> Result<BackupRequest> {
    let data = handed.document("data");
    let mut fields = handed.fields;
    let kind = fields.parsed("backup_type")?.unwrap_or(Kind::Registry);
    let mut request = BackupRequest::new(kind);
    if let Some(data) = data {
        request = request.document(data);
    }
    if let Some(source) = fields.any_text("source") {
        request = request.source(source);
    }
    Ok(fields.tags("tags")?.into_iter().fold(request, |request, (name, value)| request.tag(name, value)))
}
