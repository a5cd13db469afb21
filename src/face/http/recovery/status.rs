//! `GET /status`: how recoverable the store is.

use std::collections::BTreeMap;
use std::path::Path;

use axum::Json;
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::Serialize;

use crate::face::http::app::App;
use crate::face::http::problem::Answer;
use crate::face::http::recovery::shape::{Listed, Shown};
use crate::service::instance::Instance;
use crate::{Crash, Inventory, Kind, LastDrill, LogStatus, OutsideCopy, ReplicaState, Result, TaskCounts};

/// The bytes of a megabyte, as the replaced service counted it.
const MEBIBYTE: f64 = 1_048_576.0;

/// How recoverable the store is.
#[derive(Debug, Serialize)]
struct Status {
    #[serde(with = "crate::time")]
    timestamp: Timestamp,
    #[serde(flatten)]
    facts: Facts,
    crash_detected: bool,
    crash_reason: Option<&'static str>,
    crash: Option<Crashed>,
    backup_dir: String,
    #[serde(with = "crate::time::option")]
    next_backup: Option<Timestamp>,
    archive: Archives,
    total_bots: u64,
    total_tasks: u64,
    tasks_by_state: TaskCounts,
    last_drill: Option<LastDrill>,
    log: Option<LogStatus>,
    replica: Option<ReplicaState>,
}

/// Facts about backups and points.
#[derive(Debug, Serialize)]
struct Facts {
    total_backups: u64,
    total_restore_points: u64,
    latest_backup: Option<Listed>,
    latest_restore_point: Option<Shown>,
    backups_by_type: BTreeMap<Kind, u64>,
    disk_usage_mb: f64,
}

/// Whether archives are made, and the newest.
#[derive(Debug, Serialize)]
struct Archives {
    automatic: bool,
    #[serde(flatten)]
    copy: OutsideCopy,
}

/// A session that crashed.
#[derive(Debug, Serialize)]
struct Crashed {
    session: u64,
    program: String,
    pid: u32,
    #[serde(with = "crate::time")]
    last_alive: Timestamp,
    restore_point: Option<String>,
    tasks_returned: u64,
}

pub(super) async fn status(app: App) -> Answer {
    app.call(|instance, _| Ok(Json(Status::of(instance)?).into_response())).await
}

impl Status {
    fn of(instance: &Instance) -> Result<Self> {
        let store = instance.store();
        let view = store.view()?;
        let replica = instance.replica()?;
        let (crash, tasks) = (store.crash()?, view.queue().counts()?);
        Ok(Self {
            timestamp: store.clock().now(),
            facts: Facts::of(&*instance.inventory()?),
            crash_detected: crash.is_some(),
            crash_reason: crash.as_ref().map(|crash| crash.reason),
            crash: crash.map(Crashed::from),
            backup_dir: folder(store.path()),
            next_backup: instance.next_backup()?,
            archive: Archives {
                automatic: instance.makes_archives(),
                copy: OutsideCopy::beside(store, replica.as_ref())?,
            },
            total_bots: view.registry().count()?,
            total_tasks: tasks.total(),
            tasks_by_state: tasks,
            last_drill: view.last_drill()?,
            log: store.log_status(),
            replica,
        })
    }
}

impl Facts {
    fn of(inventory: &Inventory) -> Self {
        Self {
            total_backups: inventory.backups,
            total_restore_points: inventory.points,
            latest_backup: inventory.latest_backup.clone().map(Listed::from),
            latest_restore_point: inventory.latest_point.clone().map(Shown::from),
            backups_by_type: inventory.backups_by_kind.clone(),
            disk_usage_mb: inventory.backup_bytes as f64 / MEBIBYTE,
        }
    }
}

impl From<Crash> for Crashed {
    fn from(Crash { session, restore_point, tasks_returned, .. }: Crash) -> Self {
        Self {
            session: session.id.0,
            program: session.program,
            pid: session.pid,
            last_alive: session.alive_at,
            restore_point,
            tasks_returned,
        }
    }
}

fn folder(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.parent().unwrap_or(&path).display().to_string()
}
