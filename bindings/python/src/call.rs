//! Calls of the crate: without the GIL, and with errors and panics as exceptions.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Duration;

use hivekeep::{Error, Hint};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// How long a wait lasts before it looks for signals, so that Ctrl-C ends it.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// Runs a call of the crate while other threads of Python go on.
pub(crate) fn detached<R: Send>(py: Python<'_>, call: impl FnOnce() -> hivekeep::Result<R> + Send) -> PyResult<R> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(call))) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(raised(py, &error)),
        Err(panic) => Err(panicked(py, &panic_text(&*panic))),
    }
}

/// Waits in slices, without the GIL, until `look` finds something. A signal ends it with its exception.
pub(crate) fn waited<R: Send>(
    py: Python<'_>,
    mut look: impl FnMut(Duration) -> hivekeep::Result<Option<R>> + Send,
) -> PyResult<R> {
    loop {
        if let Some(found) = detached(py, || look(SLICE))? {
            return Ok(found);
        }
        py.check_signals()?;
    }
}

/// A text as an id, a priority, or whatever else it is.
pub(crate) fn parsed<T: FromStr<Err = Error>>(py: Python<'_>, text: &str) -> PyResult<T> {
    text.parse().map_err(|error| raised(py, &error))
}

/// The same for a text that may be absent.
pub(crate) fn parsed_or_none<T: FromStr<Err = Error>>(py: Python<'_>, text: Option<&str>) -> PyResult<Option<T>> {
    text.map(|text| parsed(py, text)).transpose()
}

/// The exception of an error.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let hint = error.hint().and_then(hint_in_words);
    exception(py, (error.kind().as_str(), error.to_string(), hint))
}

/// The exception of a panic, which is a fault of the crate.
pub(crate) fn panicked(py: Python<'_>, text: &str) -> PyErr {
    let message = format!("a fault in hivekeep itself; please report it: panic={text:?}");
    exception(py, ("panicked", message, None::<&str>))
}

/// The exception of a kind that only the binding has, or of an error that the binding finds itself.
pub(crate) fn exception<H>(py: Python<'_>, of: (&str, String, Option<H>)) -> PyErr
where
    H: for<'py> IntoPyObject<'py>,
{
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = || MAKE.import(py, "hivekeep.errors", "_of_kind")?.call1(of);
    make().map_or_else(|error| error, PyErr::from_value)
}

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "of another type".to_owned())
}

/// The way out of an error, as a Python program takes it.
fn hint_in_words(hint: &Hint) -> Option<&'static str> {
    Some(match hint {
        Hint::NameStore => "name the path of a store, or let open() create one with create=True",
        Hint::ListPoints => "store.points(all=True) lists all restore points",
        Hint::ShowPoint => "hivekeep point show POINT lists what a repair lost of it",
        Hint::ComparePoints => "store.diff(earlier, later) shows what changed",
        Hint::MakePoint => "store.point() makes a restore point",
        Hint::ReleasePoint => "store.release_point(point) releases it",
        Hint::CheckStore => "store.check() lists all damage",
        Hint::RepairStore => "hivekeep repair --dry-run shows what a repair would keep",
        Hint::AllowPartial { .. } => "look at the point first; partial=True restores what is left of it",
        Hint::DiscardLaterWork => "store.undo_discarding() undoes it anyway",
        Hint::NameCollection => "name one collection: only=[\"config\"], key=..",
        Hint::AllowDifferent => "allow_different=True takes the earlier task",
        Hint::AllowMissingDependencies => "allow_missing=True waits for tasks that are not enqueued yet",
        Hint::AskService => "if a service has it, hivekeep.remote.connect(url) reaches it",
        _ => return None,
    })
}
