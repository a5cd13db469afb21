//! A task in the hands of a worker's function, and the ways in which the function fails it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::state::ids::TaskId;
use crate::state::queue::{Claim, Retry, Task};

/// A task that a worker's function works on.
#[derive(Debug)]
pub struct Job {
    pub(super) claim: Claim,
    /// Whether the worker stops.
    pub(super) stopping: Arc<AtomicBool>,
    /// Whether the claim has ended.
    pub(super) lost: AtomicBool,
}

impl Job {
    /// The task.
    pub fn id(&self) -> &TaskId {
        &self.claim.id
    }

    /// The payload, as its producer wrote it.
    pub fn payload(&self) -> &Value {
        &self.claim.payload
    }

    /// The payload as a type of yours.
    ///
    /// # Errors
    ///
    /// As [`Claim::payload_as`].
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T> {
        self.claim.payload_as()
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.claim.attempts
    }

    /// The attributes that the producer gave.
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.claim.attributes
    }

    /// The claim, with its token.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Whether a long function should return early: the worker stops, or the claim has ended, so that nobody takes the
    /// result.
    pub fn should_stop(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) || self.is_lost()
    }

    /// Whether the claim has ended: the task was cancelled, or its lease ran out.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Claim {
    /// The payload as a type of yours.
    ///
    /// # Errors
    ///
    /// `Invalid` when the payload is not of that type.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BotId, ClaimOptions, NewTask, Store};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Build { commit: String }
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let bot = BotId::new("BOT-1")?;
    /// let claims = store.write(|tx| {
    ///     tx.queue().enqueue(NewTask::new(serde_json::json!({"commit": "4f2a"})))?;
    ///     tx.queue().claim(&bot, &ClaimOptions::default())
    /// })?;
    /// assert_eq!(claims[0].payload_as::<Build>()?.commit, "4f2a");
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T> {
        typed(&self.id, &self.payload)
    }
}

impl Task {
    /// The payload as a type of yours.
    ///
    /// # Errors
    ///
    /// `Invalid` when the payload is not of that type.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T> {
        typed(&self.id, &self.payload)
    }
}

fn typed<T: DeserializeOwned>(id: &TaskId, payload: &Value) -> Result<T> {
    T::deserialize(payload).map_err(|source| {
        Error::invalid(format!("the payload is of another type: {source}: task={id}")).with_source(source)
    })
}

/// A failed attempt: its reason, and when the task is retried. Every error becomes one that is retried later.
///
/// # Examples
///
/// ```
/// use hivekeep::{JobFailure, Retry};
///
/// fn build() -> Result<&'static str, JobFailure> {
///     std::fs::read("/no/such/file")?;
///     Err(JobFailure::new("no such branch").retry(Retry::Never))
/// }
/// assert!(build().unwrap_err().reason().contains("No such file"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFailure {
    pub(super) reason: String,
    pub(super) retry: Retry,
}

impl JobFailure {
    /// A failure for that reason, which is retried later.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry: Retry::Later }
    }

    /// Sets when the task is retried, or that it is not.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl<E: std::error::Error> From<E> for JobFailure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}
