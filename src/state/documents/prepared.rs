//! A document on its way into a store, made ready before the write transaction begins: printed once, and that text is
//! what is compared, stored and hashed.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::layout::{Layout, Printer};
use crate::error::Result;
use crate::json::{self, Container, Pieces, Scalar};

/// A longer text is hashed on a thread of its own while the caller goes on.
const HASHED_HERE: usize = 256 << 10;

/// A document that is ready to be put. Clones share it.
#[derive(Clone)]
pub(crate) struct Prepared(Arc<Inner>);

struct Inner {
    layout: Arc<Layout>,
    summary: OnceLock<Summary>,
    hashing: Mutex<Option<JoinHandle<Summary>>>,
}

/// Length and SHA-256, in hexadecimal, of the text that Python's `json.dumps(data, indent=2)` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) bytes: u64,
    pub(crate) checksum: String,
}

/// Makes a document ready, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Preparing(Printer);

impl Prepared {
    /// Of a value that a caller has parsed or built.
    ///
    /// # Errors
    ///
    /// `Invalid` as [`json::check`].
    pub(crate) fn of_value(value: &Value) -> Result<Self> {
        let mut preparing = Preparing::default();
        json::take_apart(value, &mut preparing)?;
        Ok(preparing.finish())
    }

    /// Of a JSON text.
    ///
    /// # Errors
    ///
    /// `Invalid` as [`json::parse`].
    pub(crate) fn of_text(text: &[u8]) -> Result<Self> {
        let mut preparing = Preparing(Printer::with_capacity(text.len()));
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

    /// What [`json::item_count`] says of it.
    pub(crate) fn items(&self) -> u64 {
        self.0.layout.items
    }

    /// Length and checksum of its Python text; waits for them.
    pub(crate) fn summary(&self) -> &Summary {
        self.0.summary.get_or_init(|| {
            let hashing = self.0.hashing.lock().take();
            // A thread that ended in a panic has no answer: then it is made here.
            let hashed = hashing.and_then(|hashing| hashing.join().ok());
            hashed.unwrap_or_else(|| Summary::of(&self.0.layout.text))
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
    pub(crate) fn finish(self) -> Prepared {
        let layout = Arc::new(self.0.into_layout());
        let hashing = if layout.text.len() > HASHED_HERE {
            let layout = layout.clone();
            // Where no thread can be started, the summary is made when it is asked for.
            std::thread::Builder::new().spawn(move || Summary::of(&layout.text)).ok()
        } else {
            None
        };
        Prepared(Arc::new(Inner { layout, summary: OnceLock::new(), hashing: Mutex::new(hashing) }))
    }
}

impl Pieces for Preparing {
    fn scalar(&mut self, scalar: Scalar<'_>) {
        self.0.scalar(scalar);
    }

    fn open(&mut self, container: Container) {
        self.0.open(container);
    }

    fn name(&mut self, name: &str) {
        self.0.name(name);
    }

    fn close(&mut self) {
        self.0.close();
    }
}

impl Summary {
    /// Of compact JSON.
    pub(crate) fn of(compact: &[u8]) -> Self {
        let (mut bytes, mut hasher) = (0, Sha256::new());
        json::python_of_compact(compact, |piece| {
            bytes += piece.len() as u64;
            hasher.update(piece);
        });
        Self { bytes, checksum: hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_and_its_text_are_made_ready_alike_and_summed_up_as_python_would() {
        let rows = vec![json!({"name": "é", "tags": [], "load": 1.5}); 20_000];
        for value in [json!({"tasks": [1, 2]}), json!({"tasks": rows}), json!([]), json!("x")] {
            let (one, other) = (Prepared::of_value(&value).unwrap(), Prepared::of_text(value.to_string().as_bytes()));
            let other = other.unwrap();
            let python = json::python_text(&value);
            let checksum = Sha256::digest(&python).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(*one.summary(), Summary { bytes: python.len() as u64, checksum });
            assert_eq!(one.summary(), other.summary());
            assert_eq!((one.text(), one.items()), (other.text(), json::item_count(&value)));
        }
    }
}
