//! Restore points, restores, guards and backups.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hivekeep::{
    BackupRequest, Error, ErrorKind, GuardOptions, Kind, PointRequest, RestoreOptions, RestorePlan, Result, Selector,
};
use pyo3::prelude::*;
use serde::Serialize;

use crate::call::{detached, parsed, parsed_or_none, raised};
use crate::door::{Past, Shared, json};
use crate::store::View;
use crate::value::to_json;

/// The part of the state that a restore is about.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Wanted {
    only: Vec<String>,
    key: Option<String>,
    keep_finished: bool,
    verify: bool,
    partial: bool,
}

impl From<Wanted> for RestoreOptions {
    fn from(wanted: Wanted) -> Self {
        let options = Self::new()
            .only(wanted.only)
            .keep_finished(wanted.keep_finished)
            .verify(wanted.verify)
            .partial(wanted.partial);
        wanted.key.into_iter().fold(options, Self::key)
    }
}

/// Restore points of a store, and restores to them.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Recovery {
    shared: Arc<Shared>,
}

impl Recovery {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs a verb, and gives its answer as Python objects.
    fn call<'py, R: Serialize>(
        &self,
        py: Python<'py>,
        verb: impl FnOnce(&hivekeep::Store) -> Result<R> + Send,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.shared.call_json(py, verb)
    }
}

#[pymethods]
impl Recovery {
    /// Makes a point of the live state.
    fn point<'py>(
        &self,
        py: Python<'py>,
        description: String,
        tags: BTreeMap<String, String>,
        held: bool,
        automatic: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut request = PointRequest::new(description).held(held);
        if automatic {
            request = request.automatic();
        }
        let request = tags.into_iter().fold(request, |request, (name, value)| request.tag(name, value));
        self.call(py, |store| store.make_point(request))
    }

    /// Makes a point of documents, each a backup of its kind.
    fn point_of_documents<'py>(
        &self,
        py: Python<'py>,
        description: String,
        documents: Vec<(String, Bound<'py, PyAny>)>,
        automatic: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut request = PointRequest::new(description);
        if automatic {
            request = request.automatic();
        }
        for (kind, data) in documents {
            request = request.document(parsed::<Kind>(py, &kind)?, to_json(&data)?);
        }
        self.call(py, |store| store.make_point(request))
    }

    /// The points, the newest first, also those of restores, documents and single commits if `all`.
    fn points<'py>(&self, py: Python<'py>, all: bool) -> PyResult<Bound<'py, PyAny>> {
        self.shared.look_json(py, |store| if all { store.all_points() } else { store.points() })
    }

    /// The point that a selector names; none for now.
    fn find<'py>(&self, py: Python<'py>, selector: &str) -> PyResult<Bound<'py, PyAny>> {
        let selector: Selector = parsed(py, selector)?;
        self.shared.look_json(py, |store| store.find_point(selector))
    }

    /// A view as of a point.
    fn at(&self, py: Python<'_>, selector: &str) -> PyResult<View> {
        let selector: Selector = parsed(py, selector)?;
        let view = detached(py, || self.shared.store.at(selector))?;
        Ok(View::new(Past::new(self.shared.clone(), view)))
    }

    /// Holds a point until it is released.
    fn hold<'py>(&self, py: Python<'py>, selector: &str) -> PyResult<Bound<'py, PyAny>> {
        let selector: Selector = parsed(py, selector)?;
        self.call(py, |store| store.hold(selector))
    }

    /// Releases a point.
    fn release<'py>(&self, py: Python<'py>, selector: &str) -> PyResult<Bound<'py, PyAny>> {
        let selector: Selector = parsed(py, selector)?;
        self.call(py, |store| store.release(selector))
    }

    /// Forgets points.
    fn forget<'py>(&self, py: Python<'py>, selectors: Vec<String>) -> PyResult<Bound<'py, PyAny>> {
        let selectors: Vec<Selector> = selectors.iter().map(|text| parsed(py, text)).collect::<PyResult<_>>()?;
        self.call(py, |store| store.forget(&selectors))
    }

    /// The changes from one point to another.
    fn diff<'py>(&self, py: Python<'py>, earlier: &str, later: &str) -> PyResult<Bound<'py, PyAny>> {
        let (earlier, later): (Selector, Selector) = (parsed(py, earlier)?, parsed(py, later)?);
        self.shared.look_json(py, |store| store.diff(earlier, later))
    }

    /// Plans a restore.
    fn plan(&self, py: Python<'_>, selector: &str, wanted: Wanted) -> PyResult<Plan> {
        let selector: Selector = parsed(py, selector)?;
        let plan = detached(py, || self.shared.store.plan_restore(selector, wanted.into()))?;
        Ok(Plan { shared: self.shared.clone(), plan })
    }

    /// Plans to undo the last restore.
    fn plan_undo(&self, py: Python<'_>) -> PyResult<Plan> {
        let plan = detached(py, || self.shared.store.plan_undo())?;
        Ok(Plan { shared: self.shared.clone(), plan })
    }

    /// Undoes the last restore, even if records have changed since if `discard`.
    fn undo<'py>(&self, py: Python<'py>, discard: bool) -> PyResult<Bound<'py, PyAny>> {
        self.call(py, |store| if discard { store.undo_discarding() } else { store.undo() })
    }

    /// Begins a guard.
    fn guard(&self, py: Python<'_>, description: String, only: Vec<String>, keep_finished: bool) -> PyResult<Guard> {
        let options = GuardOptions::new(description).only(only).keep_finished(keep_finished);
        let guard = self.shared.call(py, |store| store.begin_guard(options))?;
        let point = guard.point().to_string();
        Ok(Guard { shared: self.shared.clone(), point, guard: Mutex::new(Some(guard)) })
    }

    /// Makes a backup of a part of the live state, or of a document.
    #[pyo3(signature = (kind, source, tags, *data))]
    fn backup<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        source: Option<String>,
        tags: BTreeMap<String, String>,
        data: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = BackupRequest::new(parsed(py, kind)?);
        let request = source.into_iter().fold(request, BackupRequest::source);
        let request = tags.into_iter().fold(request, |request, (name, value)| request.tag(name, value));
        let request = match data.first() {
            Some(data) => request.data(to_json(data)?),
            None => request,
        };
        self.call(py, |store| store.backup(request))
    }

    /// The backups, of a kind or of all.
    fn backups<'py>(&self, py: Python<'py>, kind: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let kind = parsed_or_none(py, kind)?;
        self.shared.look_json(py, |store| store.backups(kind))
    }

    /// A backup.
    fn find_backup<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyAny>> {
        self.shared.look_json(py, |store| store.find_backup(id))
    }

    /// The content of a backup. A failure is an event of the store.
    fn backup_data<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyAny>> {
        self.call(py, |store| store.restore_data(id))
    }
}

/// A planned restore.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Plan {
    shared: Arc<Shared>,
    plan: RestorePlan,
}

#[pymethods]
impl Plan {
    /// The plan as JSON.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let plan = detached(py, || json(&self.plan))?;
        self.shared.numbers.to_python(py, &plan)
    }

    /// The plan in words.
    fn text(&self) -> String {
        self.plan.to_string()
    }

    /// Restores.
    fn apply<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shared.call_json(py, |store| store.apply(&self.plan))
    }
}

/// Guarded work in progress.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Guard {
    shared: Arc<Shared>,
    /// The id of its point.
    #[pyo3(get)]
    point: String,
    guard: Mutex<Option<hivekeep::Guard>>,
}

impl Guard {
    fn take(&self, py: Python<'_>) -> PyResult<hivekeep::Guard> {
        let guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner).take();
        guard.ok_or_else(|| raised(py, &Error::new(ErrorKind::Conflict, "the guard has ended")))
    }
}

#[pymethods]
impl Guard {
    /// The work has succeeded.
    fn pass_(&self, py: Python<'_>) -> PyResult<()> {
        let guard = self.take(py)?;
        self.shared.call(py, |store| guard.pass(store))
    }

    /// The work has failed.
    fn roll_back<'py>(&self, py: Python<'py>, reason: &str) -> PyResult<Bound<'py, PyAny>> {
        let guard = self.take(py)?;
        self.shared.call_json(py, |store| guard.roll_back(store, reason))
    }
}
