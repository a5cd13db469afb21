//! `POST /restore-point`, `GET /restore-point/{id}` and `POST /auto-backup`.

use axum::Json;
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::bodies::document_body::DocumentBody;
use crate::face::http::bodies::query::Name;
use crate::face::http::problem::Answer;
use crate::face::http::recovery::shape::Details;
use crate::face::wire::fields::is_empty;
use crate::state::documents::Prepared;
use crate::{Kind, PointRequest, Result, show_time};

/// The fields of the three kinds of documents.
const DOCUMENTS: [(&str, Kind); 3] =
    [("registry_data", Kind::Registry), ("queue_data", Kind::Queue), ("assignments_data", Kind::BotAssignments)];

pub(super) async fn make(app: App, handed: DocumentBody) -> Answer<Json<Value>> {
    app.admit_point()?;
    let request = request(handed, true, "")?;
    app.change_by(move |instance, store| {
        let point = instance.make_point(store, request)?;
        let timestamp = show_time(store.clock().now());
        Ok(Json(json!({"success": true, "restore_point_id": point.id, "timestamp": timestamp})))
    })
    .await
}

pub(super) async fn auto_backup(app: App, handed: DocumentBody) -> Answer<Json<Value>> {
    app.admit_point()?;
    let request = request(handed, false, "automatic-backup")?;
    app.change_by(move |instance, store| {
        let mut answer = match instance.auto_backup(store, request)? {
            Ok(point) => json!({"success": true, "restore_point_id": point.id}),
            Err(reason) => json!({"success": false, "reason": reason}),
        };
        answer["timestamp"] = show_time(store.clock().now()).into();
        Ok(Json(answer))
    })
    .await
}

pub(super) async fn details(app: App, Name(id): Name) -> Answer<Json<Value>> {
    app.read(move |store| {
        let details = Details::from(store.point_with_backups(&id)?);
        Ok(Json(json!({"details": details, "timestamp": show_time(store.clock().now())})))
    })
    .await
}

/// Reads a request for a point. Empty documents make no backup; without any document the point is of the live state.
fn request(mut handed: DocumentBody, manual: bool, description: &str) -> Result<PointRequest> {
    let documents: Vec<_> = DOCUMENTS.iter().map(|(name, kind)| (*kind, handed.document(name))).collect();
    let mut fields = handed.fields;
    let description = fields.any_text("description").unwrap_or_else(|| description.to_owned());
    let mut request = PointRequest::new(description);
    if !fields.truth("manual").unwrap_or(manual) {
        request = request.automatic();
    }
    for (kind, document) in documents {
        request = match document {
            Some(document) if holds_nothing(&document) => request.document(kind, json!({})),
            Some(document) => request.prepared(kind, Ok(document)),
            None => request,
        };
    }
    Ok(fields.tags("tags")?.into_iter().fold(request, |request, (name, value)| request.tag(name, value)))
}

/// Whether a document is falsy in Python.
fn holds_nothing(document: &Prepared) -> bool {
    match document.text() {
        [b'[' | b'{', _, _, ..] => false,
        text => crate::json::parse(text).is_ok_and(|value| is_empty(&value)),
    }
}
