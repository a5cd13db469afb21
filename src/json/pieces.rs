//! JSON in pieces, in the order of its text. A reader or a value passes them to a receiver.

use std::ops::Range;
use std::thread;

use serde_json::{Map, Number, Value};

use super::fault::{self, Fault};
use super::number::number_len;

/// The greatest depth of nested arrays and objects. It limits the stack of readers and writers.
pub const MAX_DEPTH: usize = 128;

/// A container with more elements may be passed on in two halves, by two threads.
const MANY: usize = 4_096;

/// A receiver of a JSON value, piece by piece.
pub(crate) trait Pieces: Send + Sized {
    /// Receives a value that is no container.
    fn scalar(&mut self, scalar: Scalar<'_>);
    /// Begins an array or an object.
    fn open(&mut self, container: Container);
    /// Receives the name of the member whose value comes next.
    fn name(&mut self, name: &str);
    /// Ends the array or object that began last.
    fn close(&mut self);

    /// Whether the receiver refuses more pieces. The reader then stops with an error.
    fn is_full(&self) -> bool {
        false
    }

    /// A second receiver for the elements from number `before` on of the container that has just begun, while this one
    /// receives the earlier elements; none if this does not help.
    fn fork(&mut self, _before: usize) -> Option<Self> {
        None
    }

    /// Appends the elements that a [`fork`](Self::fork) received.
    fn join(&mut self, _later: Self) {}
}

/// A value that is no container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    Null,
    Flag(bool),
    /// The number as it is written.
    Number(&'a str),
    Text(&'a str),
}

#[cfg(feature = "http")]
impl Scalar<'_> {
    /// The bytes of its text, beside those of the value itself.
    pub(crate) fn text_bytes(self) -> usize {
        match self {
            Self::Null | Self::Flag(_) => 0,
            Self::Number(text) | Self::Text(text) => text.len(),
        }
    }
}

/// A kind of container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Array,
    Object,
}

impl Container {
    /// Its brackets.
    pub(crate) fn brackets(self) -> [u8; 2] {
        match self {
            Self::Array => *b"[]",
            Self::Object => *b"{}",
        }
    }
}

/// Passes a value on in pieces, and checks that it can be read back unchanged.
pub(super) fn take_apart(value: &Value, depth: usize, to: &mut impl Pieces) -> Result<(), Fault> {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => return Err(Fault::new(fault::TOO_DEEP)),
        Value::Null => to.scalar(Scalar::Null),
        Value::Bool(flag) => to.scalar(Scalar::Flag(*flag)),
        Value::Number(number) if number_len(number.as_str().as_bytes()) != Some(number.as_str().len()) => {
            return Err(Fault::new(fault::BAD_NUMBER));
        }
        Value::Number(number) => to.scalar(Scalar::Number(number.as_str())),
        Value::String(text) => to.scalar(Scalar::Text(text)),
        Value::Array(elements) => {
            to.open(Container::Array);
            in_halves(elements.len(), to, |Range { start, end }, to| {
                for (index, element) in elements.iter().enumerate().take(end).skip(start) {
                    take_apart(element, depth + 1, to).map_err(|fault| fault.inside(&index.to_string()))?;
                }
                Ok(())
            })?;
            to.close();
        }
        Value::Object(members) => {
            to.open(Container::Object);
            in_halves(members.len(), to, |Range { start, end }, to| {
                for (name, member) in members.iter().take(end).skip(start) {
                    to.name(name);
                    take_apart(member, depth + 1, to).map_err(|fault| fault.inside(name))?;
                }
                Ok(())
            })?;
            to.close();
        }
    }
    Ok(())
}

/// Passes on the elements of a container. If there are many, another thread passes on the later half: most of the time
/// is spent waiting for memory, and two cores wait in parallel.
fn in_halves<P: Pieces>(
    count: usize,
    to: &mut P,
    give: impl Fn(Range<usize>, &mut P) -> Result<(), Fault> + Sync,
) -> Result<(), Fault> {
    let half = count / 2;
    let Some(mut later) = (count > MANY).then(|| to.fork(half)).flatten() else { return give(0..count, to) };
    let give = &give;
    let (earlier, later) = thread::scope(|scope| {
        let work = move || give(half..count, &mut later).map(|()| later);
        let thread = thread::Builder::new().spawn_scoped(scope, work);
        (give(0..half, to), thread.ok().and_then(|thread| thread.join().ok()))
    });
    earlier?;
    match later {
        Some(later) => to.join(later?),
        // No thread could be started, or it ended in a panic.
        None => give(half..count, to)?,
    }
    Ok(())
}

/// Builds a value from pieces.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    open: Vec<(Value, String)>,
    name: String,
    value: Value,
}

impl Whole {
    /// The complete value.
    pub(crate) fn into_value(self) -> Value {
        self.value
    }

    fn add(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.value = value,
            Some((Value::Array(elements), _)) => elements.push(value),
            Some((container, _)) => {
                if let Value::Object(members) = container {
                    members.insert(std::mem::take(&mut self.name), value);
                }
            }
        }
    }
}

impl Pieces for Whole {
    fn scalar(&mut self, scalar: Scalar<'_>) {
        self.add(match scalar {
            Scalar::Null => Value::Null,
            Scalar::Flag(flag) => Value::Bool(flag),
            // Every public way to a `Number` writes exponents its own way.
            Scalar::Number(number) => Value::Number(Number::from_string_unchecked(number.to_owned())),
            Scalar::Text(text) => Value::String(text.to_owned()),
        });
    }

    fn open(&mut self, container: Container) {
        let empty = match container {
            Container::Array => Value::Array(Vec::new()),
            Container::Object => Value::Object(Map::new()),
        };
        self.open.push((empty, std::mem::take(&mut self.name)));
    }

    fn name(&mut self, name: &str) {
        self.name.push_str(name);
    }

    fn close(&mut self) {
        if let Some((container, name)) = self.open.pop() {
            self.name = name;
            self.add(container);
        }
    }
}
