//! `/api/check`: verifying everything takes a while, so it is a job, whose progress can be asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::problem::Answer;
use crate::face::http::query::Name;
use crate::face::http::route::{Gives, OK, Route, Takes};
use crate::face::http::shapes::JOB;
use crate::service::instance::Instance;
use crate::{Attendant, CheckReport, Error, Result, Work, show_time};

/// So many jobs are remembered.
const REMEMBERED: usize = 16;

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/api/check",
        about: "Verify every record, every point and every digest; 202 with the job, or the one that runs already",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&JOB),
        statuses: &[202],
        refuses: &[],
        handler: || post(start),
    },
    Route {
        method: Method::GET,
        path: "/api/check/{id}",
        about: "Say how far a job has come, and what it found",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&JOB),
        statuses: OK,
        refuses: &[404],
        handler: || get(one),
    },
];

/// The jobs of this service, newest first.
#[derive(Default)]
pub(in crate::face::http) struct Jobs(Mutex<VecDeque<Arc<Job>>>);

struct Job {
    id: String,
    started_at: Timestamp,
    done: AtomicU64,
    of: AtomicU64,
    end: Mutex<Option<End>>,
}

struct End {
    at: Timestamp,
    report: Result<CheckReport>,
}

async fn start(State(app): State<App>) -> Answer {
    let (job, is_new) = app.jobs().start(app.instance().store().clock().now());
    if is_new {
        let (own, instance) = (job.clone(), app.instance().clone());
        // Not through the one door: it would take a turn for as long as it runs, and there is only one at a time.
        tokio::task::spawn_blocking(move || own.run(&instance));
    }
    Ok((StatusCode::ACCEPTED, Json(job.shown())).into_response())
}

async fn one(State(app): State<App>, Name(id): Name) -> Answer {
    let job = app
        .jobs()
        .find(&id)
        .ok_or_else(|| Error::not_found(format!("there is no such check: id={}", id.escape_debug())))?;
    Ok(Json(job.shown()).into_response())
}

impl Jobs {
    /// The job that runs, or else a new one.
    fn start(&self, now: Timestamp) -> (Arc<Job>, bool) {
        let mut jobs = self.0.lock();
        if let Some(running) = jobs.iter().find(|job| job.end.lock().is_none()) {
            return (running.clone(), false);
        }
        let job = Arc::new(Job {
            id: crate::clock::new_id().to_string(),
            started_at: now,
            done: AtomicU64::new(0),
            of: AtomicU64::new(0),
            end: Mutex::new(None),
        });
        jobs.push_front(job.clone());
        jobs.truncate(REMEMBERED);
        (job, true)
    }

    fn find(&self, id: &str) -> Option<Arc<Job>> {
        self.0.lock().iter().find(|job| job.id == id).cloned()
    }

    /// What the last job that has ended found wrong, if anything.
    pub(in crate::face::http) fn last_problem(&self) -> Option<String> {
        let jobs = self.0.lock();
        jobs.iter().find_map(|job| job.end.lock().as_ref().map(End::problem)).flatten()
    }
}

impl Job {
    fn run(&self, instance: &Instance) {
        let store = instance.store();
        let report = store.check_with(|done, of| {
            self.done.fetch_max(done, Ordering::Relaxed);
            self.of.store(of, Ordering::Relaxed);
        });
        if let Ok(report) = &report {
            store.note_check_if_possible(report);
        }
        let end = End { at: store.clock().now(), report };
        if let Some(problem) = end.problem() {
            tracing::error!(work = Work::Check.as_str(), error = problem, "work failed");
            instance.steward().failed(Work::Check, &problem);
        }
        *self.end.lock() = Some(end);
    }

    fn shown(&self) -> Value {
        let end = self.end.lock();
        let state = match end.as_ref().map(|end| &end.report) {
            None => "running",
            Some(Ok(_)) => "done",
            Some(Err(_)) => "failed",
        };
        json!({
            "id": self.id,
            "state": state,
            "done": self.done.load(Ordering::Relaxed),
            "of": self.of.load(Ordering::Relaxed),
            "started_at": show_time(self.started_at),
            "finished_at": end.as_ref().map(|end| show_time(end.at)),
            "report": end.as_ref().and_then(|end| end.report.as_ref().ok()),
            "error": end.as_ref().and_then(|end| end.report.as_ref().err()).map(|error| error.kind().as_str()),
        })
    }
}

impl End {
    fn problem(&self) -> Option<String> {
        match &self.report {
            Ok(report) if report.is_sound() => None,
            Ok(report) => Some(format!("the last check found damage; run hivekeep check: found={}", report.found)),
            Err(error) => Some(format!("the last check could not be carried out: kind={}", error.kind().as_str())),
        }
    }
}
