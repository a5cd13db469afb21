//! The types of the library, read from answers. Free JSON keeps its numbers as they were
//! written, which a conversion does not.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::face::remote::Client;
use crate::{
    Assignment, Backup, Bot, BulkJob, Change, CheckReport, Claim, Diagnosis, Entry, Event, Key, Memory, Message, Point,
    PointSize, RestoreReport, Result, StoredPolicy, Summary, Task, Version, Weights,
};

/// A type that services answer.
pub(in crate::face) trait Told: DeserializeOwned {
    /// The members that are free JSON.
    const FREE: &'static [&'static str] = &[];

    /// Takes these members as they were written.
    fn keep(&mut self, _free: &mut Map<String, Value>) {}
}

impl Client {
    /// The value that an answer, or a part of it, tells.
    ///
    /// # Errors
    ///
    /// As for a service of another version, when it is another one.
    pub(in crate::face) fn told<T: Told>(&self, mut value: Value) -> Result<T> {
        let mut free = Map::new();
        if let Value::Object(members) = &mut value {
            for name in T::FREE {
                if let Some(member) = members.get_mut(*name) {
                    // A conversion needs a value of the same form in its place.
                    let empty = if member.is_object() { Value::Object(Map::new()) } else { Value::Null };
                    free.insert((*name).to_owned(), std::mem::replace(member, empty));
                }
            }
        }
        let mut told: T = serde_json::from_value(value).map_err(|error| self.not_understood(&error.to_string()))?;
        told.keep(&mut free);
        Ok(told)
    }
}

/// Types without free JSON.
macro_rules! told {
    ($($type:ty,)*) => {$(impl Told for $type {})*};
}

told! {
    Assignment, Backup, BulkJob, CheckReport, Diagnosis, Key, Memory, Point, PointSize, RestoreReport, StoredPolicy, Summary,
    Weights,
}

/// Types with free JSON: members that are any value, and those that are objects.
macro_rules! told_with {
    ($($type:ty: [$($value:ident),*], [$($object:ident),*];)*) => {$(
        impl Told for $type {
            const FREE: &'static [&'static str] = &[$(stringify!($value),)* $(stringify!($object),)*];

            fn keep(&mut self, free: &mut Map<String, Value>) {
                $(self.$value = free.remove(stringify!($value)).unwrap_or_default();)*
                $(if let Some(Value::Object(object)) = free.remove(stringify!($object)) {
                    self.$object = object;
                })*
            }
        }
    )*};
}

told_with! {
    Bot: [], [attributes];
    Change: [before, after], [];
    Claim: [payload], [attributes];
    Entry: [details], [];
    Message: [], [attributes];
    Task: [payload, result], [attributes];
    Version: [value], [];
}

/// The number of an event is no part of its own JSON.
impl Told for Event {
    const FREE: &'static [&'static str] = &["details", "sequence"];

    fn keep(&mut self, free: &mut Map<String, Value>) {
        self.details = free.remove("details").unwrap_or_default();
        self.sequence = free.get("sequence").and_then(Value::as_u64).unwrap_or_default();
    }
}
