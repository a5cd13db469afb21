//! `GET /status`: how recoverable the store is. Asked often, so what follows from the backups is kept until they change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::engine::epoch::Epochs;
use crate::engine::records::Records;
use crate::engine::schema::{CollectionId, Table};
use crate::face::http::app::App;
use crate::face::http::problem::Answer;
use crate::face::http::recovery::shape::{Listed, Shown};
use crate::face::summary::Copy;
use crate::service::instance::Instance;
use crate::{Crash, Kind, LastDrill, Point, Result, Store, TaskCounts, View};

/// Bytes in what the replaced service called a megabyte.
const MEBIBYTE: f64 = 1_048_576.0;

/// How recoverable the store is.
#[derive(Debug, Serialize)]
struct Status<'f> {
    #[serde(with = "crate::time")]
    timestamp: Timestamp,
    #[serde(flatten)]
    facts: &'f Facts,
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
}

/// What follows from backups and points.
#[derive(Debug, Serialize)]
pub(in crate::face::http) struct Facts {
    pub(in crate::face::http) total_backups: u64,
    pub(in crate::face::http) total_restore_points: u64,
    latest_backup: Option<Listed>,
    latest_restore_point: Option<Shown>,
    /// When the newest backup was made.
    #[serde(skip)]
    pub(in crate::face::http) latest_at: Option<Timestamp>,
    pub(in crate::face::http) backups_by_type: BTreeMap<Kind, u64>,
    pub(in crate::face::http) disk_usage_mb: f64,
}

/// Whether archives are made, and the newest.
#[derive(Debug, Serialize)]
struct Archives {
    automatic: bool,
    #[serde(flatten)]
    copy: Copy,
}

/// A session that did not end well.
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

/// The facts, and what the store looked like when they were gathered: every change of backups or points moves one of
/// these numbers.
#[derive(Default)]
pub(in crate::face) struct StatusCache(Mutex<Option<(Mark, Arc<Facts>)>>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    epochs: Epochs,
    points: u64,
    backups: u64,
}

pub(super) async fn status(State(app): State<App>) -> Answer {
    let cache = app.clone();
    app.call(move |instance| {
        let view = instance.store().view()?;
        let facts = facts(instance.store(), &view, cache.status())?;
        Ok(Json(Status::of(instance, &view, &facts)?).into_response())
    })
    .await
}

impl<'f> Status<'f> {
    fn of(instance: &Instance, view: &View, facts: &'f Facts) -> Result<Self> {
        let store = instance.store();
        let (crash, tasks) = (store.crash()?, view.queue().counts()?);
        Ok(Self {
            timestamp: store.clock().now(),
            facts,
            crash_detected: crash.is_some(),
            crash_reason: crash.as_ref().map(|crash| crash.reason),
            crash: crash.map(Crashed::from),
            backup_dir: folder(store.path()),
            next_backup: instance.next_backup()?,
            archive: Archives { automatic: instance.makes_archives(), copy: Copy::of(store)? },
            total_bots: view.stats(CollectionId::REGISTRY)?.count,
            total_tasks: tasks.total(),
            tasks_by_state: tasks,
            last_drill: view.last_drill()?,
        })
    }
}

/// What follows from backups and points, gathered anew only when these have changed.
pub(in crate::face::http) fn facts(store: &Store, view: &View, cache: &StatusCache) -> Result<Arc<Facts>> {
    let mark = Mark {
        epochs: view.epochs(),
        points: view.count_rows(Table::Points)?,
        backups: view.count_rows(Table::Backups)?,
    };
    if let Some((of, facts)) = cache.0.lock().as_ref()
        && *of == mark
    {
        return Ok(facts.clone());
    }
    let facts = Arc::new(Facts::gather(store)?);
    *cache.0.lock() = Some((mark, facts.clone()));
    Ok(facts)
}

impl Facts {
    fn gather(store: &Store) -> Result<Self> {
        let backups = store.backups(None)?;
        let mut points = store.all_points()?;
        points.retain(Point::counts);
        let mut backups_by_type = BTreeMap::new();
        for backup in &backups {
            *backups_by_type.entry(backup.backup_type).or_default() += 1;
        }
        let bytes: u64 = backups.iter().map(|backup| backup.size_bytes).sum();
        Ok(Self {
            total_backups: backups.len() as u64,
            total_restore_points: points.len() as u64,
            latest_at: backups.first().map(|backup| backup.timestamp),
            latest_backup: backups.into_iter().next().map(Listed::from),
            latest_restore_point: points.into_iter().next().map(Shown::from),
            backups_by_type,
            disk_usage_mb: bytes as f64 / MEBIBYTE,
        })
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
