//! A transaction of a `with` block. The crate's closure runs on a thread of its own and takes steps from a channel: the
//! block ends it with a commit, or hangs up, which takes everything back. One that is held too long is taken back too,
//! so that a debugger does not stop the fleet.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use hivekeep::{Error, ErrorKind, Result, WriteTx};
use pyo3::prelude::*;

use crate::call::{detached, panic_text, panicked, raised, waited};
use crate::door::{Door, Shared};
use crate::state::State;

/// A message to the thread of a transaction.
enum Order {
    Step(Box<dyn FnOnce(&mut WriteTx<'_>) + Send>),
    Commit,
}

/// The end of a transaction: its result, or the text of its panic.
type End = std::result::Result<Result<()>, String>;

/// The steps of one transaction.
pub(crate) struct Steps {
    shared: Arc<Shared>,
    orders: Mutex<Option<Sender<Order>>>,
    end: Mutex<Receiver<End>>,
    /// The thread that is inside of the block; none in async code, where a thread runs many blocks by turns.
    thread: Option<ThreadId>,
    /// A forked child does not have the thread of the transaction.
    process: u32,
    max_hold: Duration,
}

/// A transaction that nobody ended is taken back, and its thread may write again.
impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(thread) = self.thread {
            self.shared.leave(thread);
        }
    }
}

impl Steps {
    /// Begins a transaction, once those before it have ended.
    fn begin(py: Python<'_>, shared: &Arc<Shared>, max_hold: Duration, in_thread: bool) -> PyResult<Arc<Self>> {
        detached(py, || shared.refuse_inside())?;
        let (orders, taken) = mpsc::channel();
        let (begins, begun) = mpsc::channel();
        let (ends, end) = mpsc::channel();
        let store = shared.store.clone();
        let run = move || {
            let run = || store.write(|tx| take(tx, &taken, &begins, max_hold));
            let end = catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panic_text(&*panic));
            drop(ends.send(end));
        };
        let started = thread::Builder::new().name("hivekeep-write".to_owned()).spawn(run);
        detached(py, || Ok(started.map(drop)?))?;
        // Dropping `orders` on the way out, as a signal comes, takes the transaction back.
        let is_begun = waited(py, move |slice| match begun.recv_timeout(slice) {
            Ok(()) => Ok(Some(true)),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(false)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
        })?;
        if !is_begun {
            return Err(ended(py, end.recv().ok()));
        }
        let (orders, end) = (Mutex::new(Some(orders)), Mutex::new(end));
        let (shared, thread) = (shared.clone(), in_thread.then(|| shared.enter()));
        Ok(Arc::new(Self { shared, orders, end, thread, process: process::id(), max_hold }))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Runs a verb as the next step.
    ///
    /// # Errors
    ///
    /// Its errors; `Conflict` once the transaction has ended, `NotCommitted` once it was taken back.
    pub(crate) fn step<R: Send + 'static>(
        &self,
        py: Python<'_>,
        verb: impl FnOnce(&mut WriteTx<'_>) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        self.refuse_forked(py)?;
        let (answers, answer) = mpsc::channel();
        let step = move |tx: &mut WriteTx<'_>| match catch_unwind(AssertUnwindSafe(|| verb(tx))) {
            Ok(done) => drop(answers.send(Ok(done))),
            Err(panic) => {
                drop(answers.send(Err(panic_text(&*panic))));
                // The transaction is not what it was, so it ends here.
                resume_unwind(panic);
            }
        };
        let sent = py.detach(|| {
            let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(orders) = &*orders else { return Err(over()) };
            orders.send(Order::Step(Box::new(step))).map_err(|_| self.taken_back())
        });
        sent.map_err(|error| raised(py, &error))?;
        match py.detach(move || answer.recv()) {
            Ok(Ok(done)) => done.map_err(|error| raised(py, &error)),
            Ok(Err(panic)) => Err(panicked(py, &panic)),
            Err(_) => Err(raised(py, &self.taken_back())),
        }
    }

    /// Ends the transaction, and waits until it has ended.
    fn end(&self, py: Python<'_>, commit: bool) -> PyResult<()> {
        self.refuse_forked(py)?;
        let end = py.detach(|| {
            let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            if commit {
                // Where nobody takes it, the transaction has ended already, and tells why.
                drop(orders.send(Order::Commit));
            }
            drop(orders);
            self.end.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
        });
        if let Some(thread) = self.thread {
            self.shared.leave(thread);
        }
        match end {
            Some(Ok(Ok(()))) => Ok(()),
            _ if !commit => Ok(()),
            Some(Ok(Err(error))) if error.kind() == ErrorKind::NotCommitted => Err(raised(py, &error)),
            end => Err(ended(py, end)),
        }
    }

    fn refuse_forked(&self, py: Python<'_>) -> PyResult<()> {
        if self.process == process::id() {
            return Ok(());
        }
        let message = "the transaction was begun before a fork; open the store again in this process";
        Err(raised(py, &Error::new(ErrorKind::Forked, message)))
    }

    fn taken_back(&self) -> Error {
        taken_back(self.max_hold)
    }
}

/// Takes orders until the transaction ends.
fn take(tx: &mut WriteTx<'_>, orders: &Receiver<Order>, begins: &Sender<()>, max_hold: Duration) -> Result<()> {
    // Dropping it afterwards would look like an end before the begin.
    begins.send(()).map_err(|_| over())?;
    let until = Instant::now() + max_hold;
    loop {
        match orders.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Order::Step(step)) => step(tx),
            Ok(Order::Commit) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => return Err(taken_back(max_hold)),
            Err(RecvTimeoutError::Disconnected) => return Err(over()),
        }
    }
}

fn taken_back(max_hold: Duration) -> Error {
    let held = hivekeep::duration::exact(max_hold);
    let message = "the transaction was held for too long and was taken back; do slow work before it, or raise max_hold";
    Error::new(ErrorKind::NotCommitted, format!("{message}: max_hold={held}"))
}

fn over() -> Error {
    Error::new(ErrorKind::Conflict, "the transaction has ended; begin another with store.write()")
}

/// The exception of a transaction that did not commit.
fn ended(py: Python<'_>, end: Option<End>) -> PyErr {
    match end {
        Some(Ok(Err(error))) => raised(py, &error),
        Some(Err(panic)) => panicked(py, &panic),
        Some(Ok(Ok(()))) | None => raised(py, &over()),
    }
}

/// A transaction that has begun.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Transaction {
    steps: Arc<Steps>,
}

impl Transaction {
    pub(crate) fn begin(py: Python<'_>, shared: &Arc<Shared>, max_hold: Duration, in_thread: bool) -> PyResult<Self> {
        Ok(Self { steps: Steps::begin(py, shared, max_hold, in_thread)? })
    }
}

#[pymethods]
impl Transaction {
    /// Commits, and returns once everything is on the disk.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.steps.end(py, true)
    }

    /// Takes everything back.
    fn take_back(&self, py: Python<'_>) -> PyResult<()> {
        self.steps.end(py, false)
    }

    /// The state that is read and changed here.
    #[getter]
    fn state(&self) -> State {
        State::new(Door::Transaction(self.steps.clone()))
    }
}
