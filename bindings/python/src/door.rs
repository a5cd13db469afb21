//! How a verb reaches its store: at once, as a step of a transaction, or in a view of the past.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use hivekeep::{Durability, Error, ErrorKind, Result, Store, View, WriteTx};
use pyo3::prelude::*;
use serde::Serialize;
use serde_json::Value;

use crate::call::{detached, raised};
use crate::transaction::Steps;
use crate::value::Numbers;

/// An open store, and how its values become Python objects.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) numbers: Arc<Numbers>,
    /// The threads that are inside of a `with store.write()`. A write of one of them past its transaction would wait
    /// for that transaction, and so for itself.
    writing: Arc<Mutex<Vec<ThreadId>>>,
}

impl Shared {
    pub(crate) fn new(store: Store, numbers: Numbers) -> Self {
        Self { store, numbers: Arc::new(numbers), writing: Arc::default() }
    }

    /// The same store, whose writes are answered at that moment.
    pub(crate) fn with_durability(&self, durability: Durability) -> Self {
        let store = self.store.with_durability(durability);
        Self { store, numbers: self.numbers.clone(), writing: self.writing.clone() }
    }

    /// Notes that this thread is inside of a transaction, until [`Shared::leave`].
    pub(crate) fn enter(&self) -> ThreadId {
        let thread = thread::current().id();
        self.writing.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        thread
    }

    /// The transaction of that thread has ended.
    pub(crate) fn leave(&self, thread: ThreadId) {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != thread);
    }

    /// Runs a verb of the store.
    ///
    /// # Errors
    ///
    /// Its errors; `Conflict` inside of a transaction.
    pub(crate) fn call<R: Send>(&self, py: Python<'_>, verb: impl FnOnce(&Store) -> Result<R> + Send) -> PyResult<R> {
        detached(py, || {
            self.refuse_inside()?;
            verb(&self.store)
        })
    }

    /// The same, with the answer as Python objects.
    ///
    /// # Errors
    ///
    /// As [`Shared::call`].
    pub(crate) fn call_json<'py, R: Serialize>(
        &self,
        py: Python<'py>,
        verb: impl FnOnce(&Store) -> Result<R> + Send,
    ) -> PyResult<Bound<'py, PyAny>> {
        let answer = self.call(py, |store| json(&verb(store)?))?;
        self.numbers.to_python(py, &answer)
    }

    /// Runs a verb of the store that only reads, also inside of a transaction, with the answer as Python objects.
    ///
    /// # Errors
    ///
    /// Its errors.
    pub(crate) fn look_json<'py, R: Serialize>(
        &self,
        py: Python<'py>,
        verb: impl FnOnce(&Store) -> Result<R> + Send,
    ) -> PyResult<Bound<'py, PyAny>> {
        let answer = detached(py, || json(&verb(&self.store)?))?;
        self.numbers.to_python(py, &answer)
    }

    /// Refuses a write past the transaction that this thread is inside of.
    ///
    /// # Errors
    ///
    /// `Conflict` then.
    pub(crate) fn refuse_inside(&self) -> Result<()> {
        let thread = thread::current().id();
        if self.writing.lock().unwrap_or_else(PoisonError::into_inner).contains(&thread) {
            let message = "this thread is inside of a transaction; use its verbs, or leave the with block first";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(())
    }
}

/// A way to a store.
#[derive(Clone)]
pub(crate) enum Door {
    /// Every verb is a transaction of its own.
    Store(Arc<Shared>),
    /// Every verb is a step of one transaction.
    Transaction(Arc<Steps>),
    /// As of one moment, to read.
    View(Arc<Past>),
}

/// A view, until it is closed.
pub(crate) struct Past {
    pub(crate) shared: Arc<Shared>,
    view: Mutex<Option<Arc<View>>>,
}

impl Past {
    pub(crate) fn new(shared: Arc<Shared>, view: View) -> Self {
        Self { shared, view: Mutex::new(Some(Arc::new(view))) }
    }

    /// The view.
    ///
    /// # Errors
    ///
    /// `Conflict` once it is closed.
    pub(crate) fn view(&self) -> Result<Arc<View>> {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.clone().ok_or_else(|| Error::new(ErrorKind::Conflict, "the view is closed; open another with store.at()"))
    }

    /// Lets the file reuse the pages that the view sees, once the reads in progress have ended.
    pub(crate) fn close(&self) {
        drop(self.view.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Door {
    pub(crate) fn numbers(&self) -> &Arc<Numbers> {
        match self {
            Self::Store(shared) => &shared.numbers,
            Self::Transaction(steps) => &steps.shared().numbers,
            Self::View(past) => &past.shared.numbers,
        }
    }

    /// Runs a verb that writes.
    ///
    /// # Errors
    ///
    /// Its errors; `Conflict` in a view of the past.
    pub(crate) fn write<R: Send + 'static>(
        &self,
        py: Python<'_>,
        verb: impl FnOnce(&mut WriteTx<'_>) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        match self {
            Self::Store(shared) => shared.call(py, |store| store.write(verb)),
            Self::Transaction(steps) => steps.step(py, verb),
            Self::View(_) => Err(raised(py, &Error::new(ErrorKind::Conflict, "a view of the past cannot be changed"))),
        }
    }
}

impl Door {
    /// Runs a verb that writes, and gives its answer as Python objects.
    ///
    /// # Errors
    ///
    /// As [`Door::write`].
    pub(crate) fn write_json<'py, R: Serialize>(
        &self,
        py: Python<'py>,
        verb: impl FnOnce(&mut WriteTx<'_>) -> Result<R> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>> {
        let answer = self.write(py, |tx| json(&verb(tx)?))?;
        self.numbers().to_python(py, &answer)
    }

    /// The same as of this moment, so that a walk over many pages sees one state; itself, where that is so already.
    pub(crate) fn at_once(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(match self {
            Self::Store(shared) => {
                let view = detached(py, || shared.store.view())?;
                Self::View(Arc::new(Past::new(shared.clone(), view)))
            }
            door => door.clone(),
        })
    }

    /// The store itself, for a verb that no transaction and no view has.
    ///
    /// # Errors
    ///
    /// `Conflict` in a transaction and in a view.
    pub(crate) fn store(&self, py: Python<'_>) -> PyResult<&Arc<Shared>> {
        match self {
            Self::Store(shared) => Ok(shared),
            Self::Transaction(_) | Self::View(_) => {
                let message = "neither a transaction nor a view can do this; call it on the store";
                Err(raised(py, &Error::new(ErrorKind::Conflict, message)))
            }
        }
    }
}

/// An answer as JSON.
///
/// # Errors
///
/// `Invalid` for what cannot be JSON, which no answer of the crate is.
pub(crate) fn json(answer: &impl Serialize) -> Result<Value> {
    serde_json::to_value(answer).map_err(|source| {
        Error::new(ErrorKind::Invalid, format!("an answer cannot be JSON: {source}")).with_source(source)
    })
}

/// Runs a verb that reads, and gives its answer as Python objects.
macro_rules! read_json {
    ($door:expr, $py:expr, move |$from:ident| $verb:expr) => {{
        let door = $door;
        let answer = $crate::door::read!(door, $py, move |$from| $crate::door::json(&$verb))?;
        door.numbers().to_python($py, &answer)
    }};
}
pub(crate) use read_json;

/// Runs a verb that reads, through any door. It is written for each, because no type of the crate's interface stands
/// for all that can be read from.
macro_rules! read {
    ($door:expr, $py:expr, move |$from:ident| $verb:expr) => {
        match $door {
            $crate::door::Door::Store(shared) => $crate::call::detached($py, move || {
                let view = shared.store.view()?;
                let $from = &view;
                $verb
            }),
            $crate::door::Door::View(past) => $crate::call::detached($py, move || {
                let view = past.view()?;
                let $from = &*view;
                $verb
            }),
            $crate::door::Door::Transaction(steps) => steps.step($py, move |$from| $verb),
        }
    };
}
pub(crate) use read;
