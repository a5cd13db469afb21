//! The care of a store: checks, its size, crashes, automatic restore points, files of other programs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hivekeep::{AdoptOptions, Error, ErrorKind, Scheduler, SchedulerOptions, Selector};
use jiff::tz::TimeZone;
use pyo3::prelude::*;

use crate::call::{detached, parsed, raised};
use crate::door::Shared;

/// The care of a store.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Upkeep {
    shared: Arc<Shared>,
}

impl Upkeep {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[pymethods]
impl Upkeep {
    /// The content of the store in numbers.
    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shared.look_json(py, |store| store.summary())
    }

    /// Verifies the store, or a point of it.
    fn check<'py>(&self, py: Python<'py>, at: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let at: Option<Selector> = at.map(|text| parsed(py, text)).transpose()?;
        self.shared.look_json(py, |store| match at {
            Some(at) => store.check_at(at),
            None => store.check(),
        })
    }

    /// Makes the file as small as its content; says whether anything changed.
    fn compact(&self, py: Python<'_>) -> PyResult<bool> {
        self.shared.call(py, hivekeep::Store::compact)
    }

    /// Takes over what the replaced service has left behind.
    fn adopt<'py>(
        &self,
        py: Python<'py>,
        paths: Vec<PathBuf>,
        time_zone: Option<&str>,
        again: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut options = AdoptOptions { again, ..AdoptOptions::default() };
        if let Some(name) = time_zone {
            options.time_zone = TimeZone::get(name).map_err(|source| {
                let message = format!("no such time zone; use a name such as Europe/Vienna: time_zone={name}");
                raised(py, &Error::new(ErrorKind::Invalid, message).with_source(source))
            })?;
        }
        self.shared.call_json(py, |store| store.adopt(&paths, &options))
    }

    /// The newest crash that nobody has acknowledged.
    fn crash<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shared.look_json(py, |store| store.crash())
    }

    /// Acknowledges every crash; gives their number.
    fn acknowledge_crashes(&self, py: Python<'_>) -> PyResult<usize> {
        self.shared.call(py, hivekeep::Store::acknowledge_crashes)
    }

    /// Takes back what dead processes have claimed, and does the other small work of a store.
    fn upkeep(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.call(py, hivekeep::Store::upkeep)
    }

    /// Takes back what crashed processes have claimed.
    fn notice_crashes(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.call(py, |store| store.notice_crashes().map(drop))
    }

    /// Fires the schedules that are due; gives the new tasks.
    fn fire_schedules(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let tasks = self.shared.call(py, hivekeep::Store::fire_schedules)?;
        Ok(tasks.iter().map(ToString::to_string).collect())
    }

    /// Starts a thread that makes restore points, forgets old ones, fires schedules, and does the upkeep.
    fn scheduler(
        &self,
        py: Python<'_>,
        backup_ms: Option<u64>,
        retain: bool,
        purge_ms: Option<u64>,
        fire_schedules: bool,
    ) -> PyResult<Background> {
        let options = SchedulerOptions {
            backup_interval: backup_ms.map(Duration::from_millis),
            retain,
            purge_finished: purge_ms.map(Duration::from_millis),
            fire_schedules,
            ..SchedulerOptions::default()
        };
        let store = self.shared.store.clone();
        let scheduler = detached(py, || Scheduler::start(store, options))?;
        Ok(Background { scheduler: Mutex::new(Some(scheduler)) })
    }
}

/// A thread that does due work, until it is stopped.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Background {
    scheduler: Mutex<Option<Scheduler>>,
}

#[pymethods]
impl Background {
    /// The errors of the last backup, retention and upkeep, where one has failed.
    fn errors(&self) -> Vec<String> {
        let scheduler = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        let health = scheduler.as_ref().map(Scheduler::health).unwrap_or_default();
        [health.backup_error, health.retention_error, health.upkeep_error, health.schedules_error]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Ends the thread.
    fn stop(&self, py: Python<'_>) {
        let scheduler = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner).take();
        py.detach(|| drop(scheduler));
    }
}
