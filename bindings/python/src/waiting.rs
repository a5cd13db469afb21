//! Waits for a claim in async code: no thread waits with them. The runtime begins with the first wait.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hivekeep::{AsyncStore, BotId, Claim, ClaimOptions, Error, Result};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

use crate::call::raised;
use crate::door::{Shared, json};

/// The runtime of this process. That of its parent is not used in a forked child, where its threads are not.
static RUNTIME: Mutex<Option<(u32, Runtime)>> = Mutex::new(None);

/// The runtime, which is started first if there is none.
fn runtime() -> Result<Handle> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    match &*runtime {
        Some((process, runtime)) if *process == process::id() => Ok(runtime.handle().clone()),
        _ => {
            let new = Builder::new_multi_thread().worker_threads(1).enable_time().thread_name("hivekeep-wait").build();
            let new = new.map_err(Error::from)?;
            let handle = new.handle().clone();
            // To drop that of a parent would wait for its threads.
            std::mem::forget(runtime.replace((process::id(), new)));
            Ok(handle)
        }
    }
}

/// A wait in progress.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct ClaimWait {
    wait: AbortHandle,
}

#[pymethods]
impl ClaimWait {
    /// Ends the wait. Claims that are on their way go back, unless they were handed over already.
    fn cancel(&self, py: Python<'_>) {
        py.detach(|| self.wait.abort());
    }
}

impl ClaimWait {
    /// Begins a wait. `told` is called with the claims or with an exception, on a thread of the runtime,
    /// unless the wait is cancelled before.
    pub(crate) fn begin(
        py: Python<'_>,
        shared: &Arc<Shared>,
        (bot, options, timeout): (BotId, ClaimOptions, Duration),
        told: Py<PyAny>,
    ) -> PyResult<Self> {
        let (store, answers) = (AsyncStore::from(shared.store.clone()), shared.clone());
        let begun = py.detach(|| {
            let work = async move {
                let claims = store.claim_wait(&bot, &options, timeout).await;
                tell(&answers, claims, &told);
            };
            runtime().map(|runtime| runtime.spawn(work).abort_handle())
        });
        Ok(Self { wait: begun.map_err(|error| raised(py, &error))? })
    }
}

/// Hands over the claims, or the error. If nobody takes them, as the interpreter ends, or if they cannot become Python
/// objects, they go back.
fn tell(shared: &Shared, claims: Result<Vec<Claim>>, told: &Py<PyAny>) {
    let told = Python::try_attach(|py| {
        let answer = match &claims {
            Ok(claims) => json(claims).map_err(|error| raised(py, &error)),
            Err(error) => Err(raised(py, error)),
        };
        match answer.and_then(|answer| shared.numbers.to_python(py, &answer)) {
            Ok(answer) => told.call1(py, (answer, py.None())).is_ok(),
            Err(error) => {
                drop(told.call1(py, (py.None(), error)));
                false
            }
        }
    });
    if let (false, Ok(claims)) = (told.unwrap_or_default(), claims)
        && let Err(error) = shared.store.give_back(&claims)
    {
        tracing::warn!(%error, "claims that nobody has received could not be given back");
    }
}
