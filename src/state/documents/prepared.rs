//! A prepared document. It is printed once, before the write transaction begins; that text is compared, stored and
//! hashed.

use std::fmt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::layout::{Layout, Printer};
use crate::engine::digest::hex;
use crate::error::Result;
use crate::json::{self, Container, Pieces, PythonOfCompact, Scalar};

/// A longer text is hashed on another thread, in parts of this length, while it is still being printed.
const PART: usize = 256 << 10;
/// The number of parts that may wait for that thread.
const WAITING: usize = 64;

/// A document that is ready to be stored. Clones share it.
#[derive(Clone)]
pub(crate) struct Prepared(Arc<Inner>);

struct Inner {
    layout: Layout,
    summary: OnceLock<PythonSummary>,
    hashing: Mutex<Option<JoinHandle<PythonSummary>>>,
}

/// Length and hexadecimal SHA-256 of the text that Python's `json.dumps(data, indent=2)` returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PythonSummary {
    pub(crate) bytes: u64,
    pub(crate) checksum: String,
}

/// Prepares a document piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Preparing {
    printer: Printer,
    /// The length of the text that has been passed on for hashing.
    passed_on: usize,
    hashing: Option<Hashing>,
    share: Share,
}

/// The part of a document that is printed here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Share {
    #[default]
    All,
    /// Everything except the later elements of one container.
    Earlier,
    /// Those later elements.
    Later,
}

/// A thread that hashes parts of a text as they arrive.
#[derive(Debug)]
struct Hashing {
    parts: SyncSender<Vec<u8>>,
    thread: JoinHandle<PythonSummary>,
}

impl Prepared {
    /// Prepares a value that a caller has parsed or built.
    ///
    /// # Errors
    ///
    /// `Invalid` as [`json::check`].
    pub(crate) fn of_value(value: &Value) -> Result<Self> {
        let mut preparing = Preparing::default();
        json::take_apart(value, &mut preparing)?;
        Ok(preparing.finish())
    }

    /// Prepares a JSON text.
    ///
    /// # Errors
    ///
    /// `Invalid` as [`json::parse`].
    pub(crate) fn of_text(text: &[u8]) -> Result<Self> {
        let mut preparing = Preparing { printer: Printer::with_capacity(text.len()), ..Preparing::default() };
        json::parse_into(text, &mut preparing)?;
        Ok(preparing.finish())
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// As compact JSON.
    pub(crate) fn text(&self) -> &[u8] {
        &self.0.layout.text
    }

    /// Its [`json::item_count`].
    pub(crate) fn items(&self) -> u64 {
        self.0.layout.items
    }

    /// Length and checksum of its Python text. Waits until they are computed.
    pub(crate) fn summary(&self) -> &PythonSummary {
        self.0.summary.get_or_init(|| {
            let hashing = self.0.hashing.lock().take();
            // A thread that ended in a panic has no answer: then it is made here.
            let hashed = hashing.and_then(|hashing| hashing.join().ok());
            hashed.unwrap_or_else(|| PythonSummary::of(&self.0.layout.text))
        })
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("bytes", &self.0.layout.text.len()).finish_non_exhaustive()
    }
}

impl Preparing {
    /// The document, once it is complete.
    pub(crate) fn finish(mut self) -> Prepared {
        if self.printer.text().len() > PART {
            self.pass_on();
        }
        let hashing = Mutex::new(self.hashing.map(|hashing| hashing.thread));
        let layout = self.printer.into_layout();
        Prepared(Arc::new(Inner { layout, summary: OnceLock::new(), hashing }))
    }

    /// Passes on the text since the last call for hashing. If no thread can be started, it is hashed
    /// when the summary is requested.
    fn pass_on(&mut self) {
        if self.hashing.is_none() {
            (self.passed_on, self.hashing) = (0, Hashing::start());
        }
        let Some(hashing) = &self.hashing else { return };
        let text = self.printer.text();
        let part = text.get(self.passed_on..).unwrap_or_default();
        match hashing.parts.send(part.to_vec()) {
            Ok(()) => self.passed_on = text.len(),
            Err(_) => self.hashing = None,
        }
    }
}

impl Pieces for Preparing {
    fn scalar(&mut self, scalar: Scalar<'_>) {
        self.printer.scalar(scalar);
    }

    fn open(&mut self, container: Container) {
        self.printer.open(container);
    }

    fn name(&mut self, name: &str) {
        self.printer.name(name);
    }

    fn close(&mut self) {
        self.printer.close();
        if self.share != Share::Later && self.printer.text().len() - self.passed_on > PART {
            self.pass_on();
        }
    }

    fn fork(&mut self, before: usize) -> Option<Self> {
        let is_of_use =
            self.share == Share::All && std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
        is_of_use.then(|| {
            self.share = Share::Earlier;
            Self { printer: self.printer.fork(before), share: Share::Later, ..Self::default() }
        })
    }

    fn join(&mut self, later: Self) {
        self.share = Share::All;
        if self.hashing.is_some() {
            self.pass_on();
        }
        let is_passed_on = self.passed_on == self.printer.text().len();
        let part = self.printer.join(later.printer);
        if is_passed_on
            && let Some(hashing) = &self.hashing
            && hashing.parts.send(part).is_ok()
        {
            self.passed_on = self.printer.text().len();
        }
    }
}

impl Hashing {
    fn start() -> Option<Self> {
        let (parts, waiting) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().spawn(move || PythonSummary::of_parts(waiting));
        Some(Self { parts, thread: thread.ok()? })
    }
}

impl PythonSummary {
    /// The summary of compact JSON.
    pub(crate) fn of(compact: &[u8]) -> Self {
        Self::of_parts([compact])
    }

    /// The summary of compact JSON in parts, each of which ends after a value.
    fn of_parts(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let (mut bytes, mut hasher, mut python) = (0, Sha256::new(), PythonOfCompact::default());
        let mut take = |piece: &[u8]| {
            bytes += piece.len() as u64;
            hasher.update(piece);
        };
        for part in parts {
            python.push(part.as_ref(), &mut take);
        }
        take(python.finish());
        Self { bytes, checksum: hex(&hasher.finalize()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_and_its_text_are_made_ready_alike_and_summed_up_as_python_would() {
        let rows = vec![json!({"name": "é", "tags": [], "load": 1.5}); 20_000];
        let numbers = vec![1.5; 200_000];
        let members: Value = rows.iter().enumerate().map(|(n, row)| (n.to_string(), row.clone())).collect();
        let texts = vec!["x\"[{"; 5_000];
        let lists = [json!({"tasks": rows}), json!({"a": rows, "b": {"c": numbers, "d": rows}}), json!(numbers)];
        let others = [json!({"tasks": [1, 2]}), json!(texts), json!({"bots": members}), members, json!([]), json!("x")];
        for value in lists.into_iter().chain(others) {
            let (one, other) = (Prepared::of_value(&value).unwrap(), Prepared::of_text(value.to_string().as_bytes()));
            let other = other.unwrap();
            let python = json::python_text(&value);
            let checksum = Sha256::digest(&python).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(*one.summary(), PythonSummary { bytes: python.len() as u64, checksum });
            assert_eq!(one.summary(), other.summary());
            assert_eq!((one.text(), one.items()), (other.text(), json::item_count(&value)));
            assert!(one.layout().root == other.layout().root, "other rows");
        }
    }
}
