//! `GET /metrics`: the state of the store and of the service as Prometheus reads them. The names contain their units.

use axum::http::header;
use axum::response::IntoResponse;

use crate::face::http::app::App;
use crate::face::http::problem::Answer;
use crate::face::http::prometheus::{head, line};
use crate::{Rehearsed, Result, TaskState, Work};

/// `GET /metrics`.
pub(super) async fn metrics(app: App) -> Answer {
    let state = app.clone();
    // The other metrics matter most when the store cannot be read.
    let mut text = app.call(move |_, _| state_of(&state)).await.unwrap_or_default();
    service_of(&app, &mut text);
    app.request_counts().write(&mut text);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Metrics of the store.
fn state_of(app: &App) -> Result<String> {
    let instance = app.instance();
    let store = instance.store();
    let view = store.view()?;
    let inventory = instance.inventory()?;
    let mut text = String::new();
    let mut gauge = |name: &str, about: &str, values: &[(String, f64)]| {
        let name = format!("hivekeep_{name}");
        head(&mut text, &name, "gauge", about);
        values.iter().for_each(|(labels, value)| line(&mut text, &name, labels, value));
    };
    let plain = |value: f64| [(String::new(), value)];
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    gauge("build_info", "Always 1; the label says which version runs.", &[(version, 1.0)]);
    let kinds = inventory.backups_by_kind.iter().map(|(kind, count)| (format!("type=\"{kind}\""), *count as f64));
    gauge("backups", "Backups that are kept.", &kinds.collect::<Vec<_>>());
    gauge("restore_points", "Restore points that were asked for or are automatic.", &plain(inventory.points as f64));
    gauge("backup_size_bytes", "The summed size of the backups.", &plain(inventory.backup_bytes as f64));
    if let Some(backup) = &inventory.latest_backup {
        let seconds = backup.timestamp.as_microsecond() as f64 / 1e6;
        gauge("last_backup_timestamp_seconds", "When the newest backup was made.", &plain(seconds));
    }
    let counts = view.queue().counts()?;
    let states = TaskState::ALL.map(|state| (format!("state=\"{state}\""), counts.of(state) as f64));
    gauge("tasks", "Tasks in each state.", &states);
    gauge("bots", "Bots that are registered.", &plain(view.registry().count()? as f64));
    let length = std::fs::metadata(store.path()).map_or(0, |metadata| metadata.len());
    gauge("store_file_bytes", "The length of the store's file.", &plain(length as f64));
    if let Some(free) = instance.room().free(store) {
        gauge("disk_free_bytes", "Free bytes on the disk of the store.", &plain(free as f64));
    }
    if let Some(outside) = store.outside()? {
        let (lag, last) = (outside.lag(store.clock().now()), outside.last);
        let state = last.state_at.as_microsecond() as f64 / 1e6;
        gauge(
            "last_archive_state_timestamp_seconds",
            "When the store had the state in the newest archive.",
            &plain(state),
        );
        let about =
            "How far back the loss of the file would reach; 0 while nothing has changed since the newest archive.";
        gauge("archive_lag_seconds", about, &plain(lag.as_secs_f64()));
        let seconds = last.at.as_microsecond() as f64 / 1e6;
        gauge("last_archive_timestamp_seconds", "When the newest automatic archive was made.", &plain(seconds));
        let verified = f64::from(u8::from(last.verified));
        gauge("last_archive_verified", "1 when the newest automatic archive was read back.", &plain(verified));
        let opened = f64::from(u8::from(last.opened));
        gauge("last_archive_opened", "1 when its records were read back too, not only its bytes.", &plain(opened));
        gauge("last_archive_bytes", "The length of the newest automatic archive.", &plain(last.bytes as f64));
    }
    if let Some(drill) = view.last_drill()? {
        let seconds = drill.at.as_microsecond() as f64 / 1e6;
        gauge("last_drill_timestamp_seconds", "When disasters were rehearsed last.", &plain(seconds));
        let each = |value: fn(&Rehearsed) -> f64| {
            let line = |own: &Rehearsed| (format!("disaster=\"{}\"", own.name), value(own));
            drill.scenarios.iter().map(line).collect::<Vec<_>>()
        };
        let recovery = each(|own| own.recovery_ms as f64 / 1e3);
        gauge("last_drill_recovery_seconds", "How long the work took to go on.", &recovery);
        gauge("last_drill_lost_records", "Records that were lost.", &each(|own| own.lost_records as f64));
        gauge("last_drill_lost_seconds", "How far back was lost.", &each(|own| own.lost_ms as f64 / 1e3));
        gauge("last_drill_met", "1 where the target was met.", &each(|own| f64::from(u8::from(own.met))));
    }
    gauge(
        "crash_detected",
        "1 while a crash is not acknowledged.",
        &plain(f64::from(u8::from(store.crash()?.is_some()))),
    );
    let healthy = instance
        .health_checks()
        .into_iter()
        .map(|check| (format!("check=\"{}\"", check.name), f64::from(u8::from(check.ok))));
    gauge("healthy", "1 while a check of /readyz passes.", &healthy.collect::<Vec<_>>());
    Ok(text)
}

/// Metrics of the service, available even if the store cannot be read.
fn service_of(app: &App, text: &mut String) {
    let instance = app.instance();
    head(text, "hivekeep_failures_total", "counter", "Work that failed, by what it was.");
    for work in Work::ALL {
        let labels = format!("work=\"{}\"", work.as_str());
        line(text, "hivekeep_failures_total", &labels, instance.steward().failures(work));
    }
    if let Some(log) = instance.store().sink().get() {
        head(
            text,
            "hivekeep_event_log_failures_total",
            "counter",
            "How often events could not be written to their log.",
        );
        line(text, "hivekeep_event_log_failures_total", "", log.state().failures);
    }
    let kept = instance.keeper().state();
    head(text, "hivekeep_store_open", "gauge", "1 while the store's file is open, 0 while a failure has closed it.");
    line(text, "hivekeep_store_open", "", u8::from(kept.closed_for.is_none()));
    let about = "Memory that long bodies and answers of requests take now.";
    head(text, "hivekeep_request_memory_bytes", "gauge", about);
    line(text, "hivekeep_request_memory_bytes", "", app.memory().used());
    head(text, "hivekeep_reopens_total", "counter", "How often the file was opened again after a failure.");
    line(text, "hivekeep_reopens_total", "", kept.reopens);
}
