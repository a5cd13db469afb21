//! An open store, and views of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hivekeep::{Durability, Options, Sharing, VerifyOnOpen};
use pyo3::prelude::*;

use crate::call::{detached, exception, parsed};
use crate::door::{Door, Past, Shared};
use crate::recovery::Recovery;
use crate::state::State;
use crate::transaction::Transaction;
use crate::upkeep::Upkeep;
use crate::value::Numbers;

/// The moment of an answer. Nothing here ships a store, so nobody waits for a replica.
fn offered(py: Python<'_>, durability: &str) -> PyResult<Durability> {
    match parsed(py, durability)? {
        Durability::Replicated => {
            let message = "a service ships a store: hivekeep serve --replica LOCATION --durability replicated";
            Err(exception(py, ("invalid", message.to_owned(), None::<&str>)))
        }
        durability => Ok(durability),
    }
}

/// Opens a store, or creates one.
#[pyfunction]
#[pyo3(signature = (path, *, create, read_only, exclusive, shared_log, durability, verify, cache_bytes, lock_timeout_ms, history_ms, session, parse_float))]
#[expect(clippy::too_many_arguments, reason = "they have names in Python, where one function calls this")]
pub(crate) fn open(
    py: Python<'_>,
    path: PathBuf,
    create: bool,
    read_only: bool,
    exclusive: bool,
    shared_log: bool,
    durability: &str,
    verify: Option<bool>,
    cache_bytes: usize,
    lock_timeout_ms: u64,
    history_ms: Option<u64>,
    session: bool,
    parse_float: Option<Py<PyAny>>,
) -> PyResult<Store> {
    let durability = offered(py, durability)?;
    let sharing = match (exclusive, shared_log) {
        (true, true) => {
            let message =
                "exclusive=True lets no other process open the store, and shared_log=True shares its log with them";
            return Err(exception(py, ("invalid", message.to_owned(), None::<&str>)));
        }
        (true, false) => Sharing::Exclusive,
        (false, true) => Sharing::SharedLog,
        (false, false) => Sharing::Shared,
    };
    if durability == Durability::System && !exclusive {
        let message = "durability=\"system\" needs a log of one process, which a store has with exclusive=True";
        return Err(exception(py, ("invalid", message.to_owned(), None::<&str>)));
    }
    let options = hivekeep::Store::options()
        .create(create)
        .read_only(read_only)
        .sharing(sharing)
        .durability(durability)
        .verify_on_open(verify_of(verify))
        .cache_bytes(cache_bytes)
        .lock_timeout(Duration::from_millis(lock_timeout_ms))
        .session(session);
    let options = history_ms.map(Duration::from_millis).into_iter().fold(options, Options::history);
    let store = detached(py, || options.open(path))?;
    Ok(Store { shared: Arc::new(Shared::new(store, Numbers::new(parse_float))) })
}

fn verify_of(verify: Option<bool>) -> VerifyOnOpen {
    match verify {
        None => VerifyOnOpen::Auto,
        Some(true) => VerifyOnOpen::Always,
        Some(false) => VerifyOnOpen::Never,
    }
}

/// An open store.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

#[pymethods]
impl Store {
    /// The absolute path of the file.
    #[getter]
    fn path(&self, py: Python<'_>) -> PyResult<PathBuf> {
        let path = self.shared.store.path();
        detached(py, || Ok(std::path::absolute(path)?))
    }

    /// Closes the file for every clone.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.call(py, hivekeep::Store::close)
    }

    /// Whether the file is closed.
    fn is_closed(&self) -> bool {
        self.shared.store.is_closed()
    }

    /// Opens the file again after a failure has closed it.
    fn reopen(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.shared.store.reopen())
    }

    /// When a write is answered.
    #[getter]
    fn durability(&self) -> &'static str {
        self.shared.store.durability().as_str()
    }

    /// The same store, whose writes are answered at that moment.
    fn with_durability(&self, py: Python<'_>, durability: &str) -> PyResult<Self> {
        let durability = offered(py, durability)?;
        Ok(Self { shared: Arc::new(self.shared.with_durability(durability)) })
    }

    /// Begins a transaction, which this thread is inside of if `in_thread`.
    fn write(&self, py: Python<'_>, max_hold_ms: u64, in_thread: bool) -> PyResult<Transaction> {
        if max_hold_ms == 0 {
            return Err(exception(py, ("invalid", "max_hold must be longer than 0".to_owned(), None::<&str>)));
        }
        Transaction::begin(py, &self.shared, Duration::from_millis(max_hold_ms), in_thread)
    }

    /// A view of now.
    fn view(&self, py: Python<'_>) -> PyResult<View> {
        let view = detached(py, || self.shared.store.view())?;
        Ok(View::new(Past::new(self.shared.clone(), view)))
    }

    /// Restore points, and restores to them.
    #[getter]
    fn recovery(&self) -> Recovery {
        Recovery::new(self.shared.clone())
    }

    /// The care of the store.
    #[getter]
    fn upkeep(&self) -> Upkeep {
        Upkeep::new(self.shared.clone())
    }

    /// The state that is read and changed here.
    #[getter]
    fn state(&self) -> State {
        State::new(Door::Store(self.shared.clone()))
    }
}

/// A view of now, or as of a restore point.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct View {
    past: Arc<Past>,
}

impl View {
    pub(crate) fn new(past: Past) -> Self {
        Self { past: Arc::new(past) }
    }
}

#[pymethods]
impl View {
    /// Lets the file reuse the pages that it sees.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.past.close());
    }

    /// The state that is read and changed here.
    #[getter]
    fn state(&self) -> State {
        State::new(Door::View(self.past.clone()))
    }
}
