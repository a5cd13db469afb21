//! Events of the crate for Python's `logging`. They go through a queue to a thread of Python, so that no thread
//! that commits waits for the GIL.

use std::fmt::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// So many lines may wait; further ones are left out.
const WAITING_MAX: usize = 1024;
/// A thread that waits for a line looks so often whether the program ends.
const WAIT: Duration = Duration::from_secs(3600);

/// A line: its level as a number of `logging`, its target, its text.
type Line = (u8, &'static str, String);

/// Where lines go. It is never waited for: a fork may have copied it while it was locked.
static LINES: Mutex<Option<SyncSender<Line>>> = Mutex::new(None);

/// The lines that are still to be logged.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Logs {
    lines: Mutex<Receiver<Line>>,
}

#[pymethods]
impl Logs {
    /// Lines go here from now on.
    #[new]
    fn new() -> Self {
        let (sender, lines) = sync_channel(WAITING_MAX);
        if let Ok(mut other) = LINES.try_lock() {
            *other = Some(sender);
        }
        // Another library of this process may have set one; its lines are its own matter.
        drop(tracing::subscriber::set_global_default(Lines));
        Self { lines: Mutex::new(lines) }
    }

    /// Waits for a line; none once lines go elsewhere.
    fn next(&self, py: Python<'_>) -> Option<Line> {
        py.detach(|| {
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                match lines.recv_timeout(WAIT) {
                    Err(RecvTimeoutError::Timeout) => {}
                    line => return line.ok(),
                }
            }
        })
    }
}

/// Takes events as lines.
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("hivekeep")
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            _ => 20,
        };
        if let Ok(lines) = LINES.try_lock()
            && let Some(lines) = &*lines
        {
            drop(lines.try_send((level, metadata.target(), text.message + &text.fields)));
        }
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

/// The message of an event, and its fields as `key=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
