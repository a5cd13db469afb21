//! A value that is counted while it is parsed, so that a body of many small values takes no more memory than it may.

use serde_json::Value;

use crate::Result;
use crate::face::http::sockets::memory::Meter;
use crate::json::{CONTAINER_BYTES, Container, NAME_BYTES, Pieces, SCALAR_BYTES, Scalar, Whole};

/// Puts a value together, and counts it.
pub(super) struct MeteredValue {
    whole: Whole,
    meter: Meter,
}

impl MeteredValue {
    pub(in crate::face::http) fn new(meter: Meter) -> Self {
        Self { whole: Whole::default(), meter }
    }

    /// The value, once it is complete.
    pub(super) fn finish(self, parsed: Result<()>) -> (Result<Value>, Meter) {
        (parsed.map(|()| self.whole.into_value()), self.meter)
    }

    /// Without the meter, as a part of something else that counts.
    pub(in crate::face::http) fn into_parts(self) -> (Value, Meter) {
        (self.whole.into_value(), self.meter)
    }

    pub(super) fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }
}

impl Pieces for MeteredValue {
    fn scalar(&mut self, scalar: Scalar<'_>) {
        self.meter.count(SCALAR_BYTES + scalar.text_bytes());
        self.whole.scalar(scalar);
    }

    fn open(&mut self, container: Container) {
        self.meter.count(CONTAINER_BYTES);
        self.whole.open(container);
    }

    fn name(&mut self, name: &str) {
        self.meter.count(NAME_BYTES + name.len());
        self.whole.name(name);
    }

    fn close(&mut self) {
        self.whole.close();
    }

    fn is_full(&self) -> bool {
        self.meter.is_full()
    }
}
