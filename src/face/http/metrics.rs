//! What the service counts, as Prometheus reads it. The names carry their units.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;

use crate::face::http::app::App;
use crate::face::http::problem::{Answer, Problem};
use crate::{Rehearsed, Result, TaskState, Work};

/// The upper ends of the stretches that durations are counted in, in seconds.
const STRETCHES: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// A method that is longer, in bytes, is refused before anything is written of it.
const LONGEST_METHOD: usize = 32;
/// The methods that have a name of their own in the series; there are no others, whatever clients make up.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
/// All other methods.
const OTHER_METHOD: &str = "other";

/// What has been counted since the service began. Methods and paths are of our own lists, so that it stays small.
#[derive(Default)]
pub(super) struct Metrics(Mutex<BTreeMap<(&'static str, String), Counted>>);

/// The requests of one method and path.
#[derive(Default)]
struct Counted {
    by_status: BTreeMap<u16, u64>,
    by_stretch: [u64; STRETCHES.len()],
    requests: u64,
    seconds: f64,
}

/// Counts a request and logs it.
pub(super) async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = name_of(request.method());
    // The path of the route, not of the request, so that no client can make names without end.
    let path = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = match request.method().as_str().len() {
        0..=LONGEST_METHOD => next.run(request).await,
        _ => long_method().into_response(),
    };
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    tracing::info!(%method, path, status, took_us = took.as_micros(), "request");
    let method = if path == "none" { "any" } else { method };
    app.metrics().count(method, path, status, took);
    response
}

/// How the series and the log name a method.
fn name_of(method: &Method) -> &'static str {
    METHODS.into_iter().find(|known| method == *known).unwrap_or(OTHER_METHOD)
}

fn long_method() -> Problem {
    let detail = format!("no method is so long: limit_bytes={LONGEST_METHOD}");
    Problem::new(StatusCode::BAD_REQUEST, "method_not_allowed", detail)
}

/// `GET /metrics`.
pub(super) async fn metrics(State(app): State<App>) -> Answer {
    let state = app.clone();
    // There is more to tell than what the store holds, most of all when it cannot be read.
    let mut text = app.call(move |_| state_of(&state)).await.unwrap_or_default();
    service_of(&app, &mut text);
    app.metrics().write(&mut text);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

impl Metrics {
    fn count(&self, method: &'static str, path: String, status: u16, took: Duration) {
        let mut counted = self.0.lock();
        let counted = counted.entry((method, path)).or_default();
        *counted.by_status.entry(status).or_default() += 1;
        let seconds = took.as_secs_f64();
        counted.requests += 1;
        counted.seconds += seconds;
        if let Some(at) = STRETCHES.iter().position(|end| seconds <= *end)
            && let Some(count) = counted.by_stretch.get_mut(at)
        {
            *count += 1;
        }
    }

    fn write(&self, text: &mut String) {
        let counted = self.0.lock();
        head(text, "hivekeep_http_requests_total", "counter", "Requests that were answered.");
        for ((method, path), own) in counted.iter() {
            for (status, count) in &own.by_status {
                let labels = format!("method=\"{method}\",path=\"{path}\",status=\"{status}\"");
                line(text, "hivekeep_http_requests_total", &labels, count);
            }
        }
        let name = "hivekeep_http_request_duration_seconds";
        head(text, name, "histogram", "How long answers took.");
        for ((method, path), own) in counted.iter() {
            let labels = format!("method=\"{method}\",path=\"{path}\"");
            let mut sum = 0;
            for (end, count) in STRETCHES.iter().zip(own.by_stretch) {
                sum += count;
                line(text, &format!("{name}_bucket"), &format!("{labels},le=\"{end}\""), sum);
            }
            line(text, &format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), own.requests);
            line(text, &format!("{name}_sum"), &labels, own.seconds);
            line(text, &format!("{name}_count"), &labels, own.requests);
        }
    }
}

/// What the store holds, and how it is.
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
        gauge("disk_free_bytes", "What is free on the disk of the store.", &plain(free as f64));
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

/// How the service is, whether or not the store can be read.
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
    head(text, "hivekeep_reopens_total", "counter", "How often the file was opened again after a failure.");
    line(text, "hivekeep_reopens_total", "", kept.reopens);
}

fn head(text: &mut String, name: &str, kind: &str, about: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "# HELP {name} {about}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ =
        if labels.is_empty() { writeln!(text, "{name} {value}") } else { writeln!(text, "{name}{{{labels}}} {value}") };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_method_path_and_status_and_stretches_add_up() {
        let metrics = Metrics::default();
        for (status, millis) in [(200, 1), (200, 30), (404, 20_000)] {
            metrics.count("GET", "/livez".into(), status, Duration::from_millis(millis));
        }
        let mut text = String::new();
        metrics.write(&mut text);
        for line in [
            r#"hivekeep_http_requests_total{method="GET",path="/livez",status="200"} 2"#,
            r#"hivekeep_http_requests_total{method="GET",path="/livez",status="404"} 1"#,
            r#"hivekeep_http_request_duration_seconds_bucket{method="GET",path="/livez",le="0.001"} 1"#,
            r#"hivekeep_http_request_duration_seconds_bucket{method="GET",path="/livez",le="10"} 2"#,
            r#"hivekeep_http_request_duration_seconds_bucket{method="GET",path="/livez",le="+Inf"} 3"#,
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
    }
}
