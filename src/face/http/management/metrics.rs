//! `GET /metrics`: the state of the store and of the service as Prometheus reads them. The names contain their units.

use std::time::Duration;

use axum::http::header;
use axum::response::IntoResponse;
use jiff::Timestamp;

use crate::face::http::app::App;
use crate::face::http::measures::prometheus::{head, line};
use crate::face::http::problem::Answer;
use crate::{Inventory, LastArchive, LastDrill, LogStatus, Rehearsed, ReplicaState, Result, TaskState, Work};

/// `GET /metrics`.
pub(in crate::face::http) async fn metrics(app: App) -> Answer {
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
    let mut gauges = Gauges::default();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    gauges.each("build_info", "Always 1; the label says which version runs.", [(version, 1.0)]);
    backups_of(&mut gauges, &*instance.inventory()?);
    let counts = view.queue().counts()?;
    let states = TaskState::ALL.map(|state| (format!("state=\"{state}\""), counts.of(state) as f64));
    gauges.each("tasks", "Tasks in each state.", states);
    gauges.one("bots", "Bots that are registered.", view.registry().count()? as f64);
    let length = std::fs::metadata(store.path()).map_or(0, |metadata| metadata.len());
    gauges.one("store_file_bytes", "The length of the store's file.", length as f64);
    if let Some(log) = store.log_status() {
        log_of(&mut gauges, &log);
    }
    if let Some(free) = instance.room().free(store) {
        gauges.one("disk_free_bytes", "Free bytes on the disk of the store.", free as f64);
    }
    if let Some(outside) = store.outside()? {
        archives_of(&mut gauges, &outside.last, outside.lag(store.clock().now()));
    }
    if let Some(drill) = view.last_drill()? {
        drill_of(&mut gauges, &drill);
    }
    if let Some(replica) = instance.replica()? {
        replica_of(&mut gauges, &replica, store.clock().now());
    }
    gauges.one("crash_detected", "1 while a crash is not acknowledged.", of_bool(store.crash()?.is_some()));
    let checks = instance.health_checks().into_iter();
    let healthy = checks.map(|check| (format!("check=\"{}\"", check.name), of_bool(check.ok)));
    gauges.each("healthy", "1 while a check of /readyz passes.", healthy);
    Ok(gauges.text)
}

fn backups_of(gauges: &mut Gauges, inventory: &Inventory) {
    let kinds = inventory.backups_by_kind.iter().map(|(kind, count)| (format!("type=\"{kind}\""), *count as f64));
    gauges.each("backups", "Backups that are kept.", kinds);
    gauges.one("restore_points", "Restore points that were asked for or are automatic.", inventory.points as f64);
    gauges.one("backup_size_bytes", "The summed size of the backups.", inventory.backup_bytes as f64);
    if let Some(backup) = &inventory.latest_backup {
        gauges.time("last_backup_timestamp_seconds", "When the newest backup was made.", backup.timestamp);
    }
}

fn archives_of(gauges: &mut Gauges, last: &LastArchive, lag: Duration) {
    let about = "When the store had the state in the newest archive.";
    gauges.time("last_archive_state_timestamp_seconds", about, last.state_at);
    let about = "Age of the state that would be left if the file were lost; 0 while nothing has changed since the newest archive.";
    gauges.one("archive_lag_seconds", about, lag.as_secs_f64());
    gauges.time("last_archive_timestamp_seconds", "When the newest automatic archive was made.", last.at);
    let about = "1 when the newest automatic archive was read back.";
    gauges.one("last_archive_verified", about, of_bool(last.verified));
    let about = "1 when its records were read back too, not only its bytes.";
    gauges.one("last_archive_opened", about, of_bool(last.opened));
    gauges.one("last_archive_bytes", "The length of the newest automatic archive.", last.bytes as f64);
}

/// The write-ahead log of a store that the service has for itself, or that it shares.
fn log_of(gauges: &mut Gauges, log: &LogStatus) {
    gauges.one("wal_in_use", "1 while commits go into the write-ahead log.", of_bool(log.in_use));
    gauges.one("wal_sections", "Files of the write-ahead log.", log.sections as f64);
    gauges.one("wal_bytes", "The summed length of these files.", log.bytes as f64);
    let about = "Memory of rows that the store's file does not have yet.";
    gauges.one("wal_memory_bytes", about, log.memory_bytes as f64);
    if let Some(last) = log.last_checkpoint {
        let about = "When a part of the write-ahead log was moved into the store's file.";
        gauges.time("wal_last_checkpoint_timestamp_seconds", about, last.at);
        gauges.one("wal_last_checkpoint_seconds", "Time that this took.", last.took_ms as f64 / 1e3);
    }
    let about = "1 while the write-ahead log cannot be moved into the store's file.";
    gauges.one("wal_checkpoint_failing", about, of_bool(log.failing.is_some()));
    gauges.one("views", "Open views, each of which keeps the rows of its time in memory.", log.views as f64);
    if let Some(oldest) = log.oldest_view {
        gauges.time("oldest_view_timestamp_seconds", "When the oldest open view began.", oldest);
    }
}

fn drill_of(gauges: &mut Gauges, drill: &LastDrill) {
    gauges.time("last_drill_timestamp_seconds", "When disasters were rehearsed last.", drill.at);
    let each = |value: fn(&Rehearsed) -> f64| {
        drill.scenarios.iter().map(move |own| (format!("disaster=\"{}\"", own.name), value(own)))
    };
    let about = "Time until the work continued.";
    gauges.each("last_drill_recovery_seconds", about, each(|own| own.recovery_ms as f64 / 1e3));
    gauges.each("last_drill_lost_records", "Records that were lost.", each(|own| own.lost_records as f64));
    gauges.each(
        "last_drill_lost_seconds",
        "Age of the oldest record that was lost.",
        each(|own| own.lost_ms as f64 / 1e3),
    );
    gauges.each("last_drill_met", "1 where the target was met.", each(|own| of_bool(own.met)));
}

fn replica_of(gauges: &mut Gauges, replica: &ReplicaState, now: Timestamp) {
    if let Some(copy) = &replica.copy {
        if let Some(at) = copy.time {
            let about = "Time of the newest replica object applied to this copy.";
            gauges.time("copy_timestamp_seconds", about, at);
        }
        gauges.one("copy_followed", "1 while a standby keeps this copy up to date.", of_bool(copy.is_followed));
        return;
    }
    if let Some(lag) = replica.lag(now) {
        let about = "Time since the replica was last complete; a few intervals at most while all is well.";
        gauges.one("replica_lag_seconds", about, lag.as_secs_f64());
    }
    if let Some(waiting) = &replica.waiting {
        let ships = replica.shipping.as_ref().is_some_and(|shipping| !shipping.fenced);
        let is_shipped = ships || waiting.is_shipped;
        gauges.one("replica_shipped", "1 while a process ships the store.", of_bool(is_shipped));
    }
    if let Some(shipping) = &replica.shipping {
        let about = "Commits that the store keeps for the replica.";
        gauges.one("replica_kept_bytes", about, shipping.kept_bytes as f64);
        let about = "1 while no new base of the replica can be made, so that its log grows.";
        gauges.one("replica_base_failed", about, of_bool(shipping.base_error.is_some()));
        let about = "1 once another process has the history, and this one writes nothing any more.";
        gauges.one("replica_fenced", about, of_bool(shipping.fenced));
        if let Some(left) = shipping.lease_left_ms {
            let about = "Time for which the service may still write without a new answer of the replica.";
            gauges.one("replica_lease_left_seconds", about, left as f64 / 1e3);
        }
        if let Some(at) = shipping.read_back_at {
            let about = "When an object of the replica was read back last.";
            gauges.time("replica_last_read_back_timestamp_seconds", about, at);
        }
    }
    let about = "1 unless the last verification of the replica found something, or the last drill failed.";
    gauges.one("replica_sound", about, of_bool(replica.watch.trouble().is_none()));
    if let Some(verified) = &replica.watch.verified {
        let about = "When the replica was verified last, and nothing was wrong.";
        gauges.time("replica_last_verification_timestamp_seconds", about, verified.at);
        let about = "The earliest moment that could be restored then.";
        gauges.time("replica_restorable_from_timestamp_seconds", about, verified.restorable_from);
    }
    if let Some(drill) = &replica.watch.drill {
        gauges.time("replica_last_drill_timestamp_seconds", "When a restore was rehearsed last.", drill.at);
        let about = "Time until the file of that restore could have been used.";
        gauges.one("replica_last_drill_seconds", about, drill.restored_ms as f64 / 1e3);
    }
}

/// Gauges as text, each with its head.
#[derive(Default)]
struct Gauges {
    text: String,
}

impl Gauges {
    /// A gauge with a line for each set of labels.
    fn each(&mut self, name: &str, about: &str, values: impl IntoIterator<Item = (String, f64)>) {
        let name = format!("hivekeep_{name}");
        head(&mut self.text, &name, "gauge", about);
        values.into_iter().for_each(|(labels, value)| line(&mut self.text, &name, &labels, value));
    }

    fn one(&mut self, name: &str, about: &str, value: f64) {
        self.each(name, about, [(String::new(), value)]);
    }

    fn time(&mut self, name: &str, about: &str, at: Timestamp) {
        self.one(name, about, at.as_microsecond() as f64 / 1e6);
    }
}

fn of_bool(value: bool) -> f64 {
    f64::from(u8::from(value))
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
        head(text, "hivekeep_event_log_failures_total", "counter", "Number of failures to write events to their log.");
        line(text, "hivekeep_event_log_failures_total", "", log.state().failures);
    }
    let kept = instance.keeper().state();
    head(text, "hivekeep_store_open", "gauge", "1 while the store's file is open, 0 while a failure has closed it.");
    line(text, "hivekeep_store_open", "", u8::from(kept.closed_for.is_none()));
    let about = "Memory that long bodies and answers of requests take now.";
    head(text, "hivekeep_request_memory_bytes", "gauge", about);
    line(text, "hivekeep_request_memory_bytes", "", app.memory().used());
    head(text, "hivekeep_reopens_total", "counter", "Number of times that the file was opened again after a failure.");
    line(text, "hivekeep_reopens_total", "", kept.reopens);
    let about = "Damaged rows that checks got back from the replica.";
    head(text, "hivekeep_healed_rows_total", "counter", about);
    line(text, "hivekeep_healed_rows_total", "", instance.check_jobs().healed());
}
