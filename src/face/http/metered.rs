//! A value that is counted while it is parsed, so that a body of many small values takes no more memory than it may.

use serde_json::Value;

use crate::Result;
use crate::face::http::memory::Meter;
use crate::json::{Container, Pieces, Scalar, Whole};

/// About what a value takes: a place in a list that grows twofold, and its text.
const SCALAR: usize = 128;
/// The same for a list or an object, which begins with room for four values.
const CONTAINER: usize = 512;
/// The same for the name of a member, with its place in the index of the object.
const NAME: usize = 64;

/// Puts a value together, and counts it.
pub(super) struct MeteredValue {
    whole: Whole,
    meter: Meter,
}

impl MeteredValue {
    pub(super) fn new(meter: Meter) -> Self {
        Self { whole: Whole::default(), meter }
    }

    /// The value, once it is complete.
    pub(super) fn finish(self, parsed: Result<()>) -> (Result<Value>, Meter) {
        (parsed.map(|()| self.whole.into_value()), self.meter)
    }

    /// Without the meter, as a part of something else that counts.
    pub(super) fn into_parts(self) -> (Value, Meter) {
        (self.whole.into_value(), self.meter)
    }

    pub(super) fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }
}

/// The bytes of a scalar beside those of the value itself.
pub(super) fn text_of(scalar: Scalar<'_>) -> usize {
    match scalar {
        Scalar::Null | Scalar::Flag(_) => 0,
        Scalar::Number(text) | Scalar::Text(text) => text.len(),
    }
}

impl Pieces for MeteredValue {
    fn scalar(&mut self, scalar: Scalar<'_>) {
        self.meter.count(SCALAR + text_of(scalar));
        self.whole.scalar(scalar);
    }

    fn open(&mut self, container: Container) {
        self.meter.count(CONTAINER);
        self.whole.open(container);
    }

    fn name(&mut self, name: &str) {
        self.meter.count(NAME + name.len());
        self.whole.name(name);
    }

    fn close(&mut self) {
        self.whole.close();
    }

    fn is_full(&self) -> bool {
        self.meter.is_full()
    }
}
