//! Stands in for the client of a service in a program that is built without the service. There are no values of these
//! types, except for the options.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::face::remote::ask::Ask;
use crate::{Error, Result};

/// No address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::face) enum Address {}

/// No client.
#[derive(Debug)]
pub(in crate::face) enum Client {}

/// How a service is reached, besides its address.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "the options are read, and no client uses them")]
pub(in crate::face) struct Access {
    pub(in crate::face) key_file: Option<PathBuf>,
    pub(in crate::face) ca: Option<PathBuf>,
    pub(in crate::face) key_in_clear: bool,
    pub(in crate::face) within: Duration,
}

impl Address {
    pub(in crate::face) fn is_meant(text: &OsStr) -> bool {
        text.to_string_lossy().contains("://")
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(_: &str) -> Result<Self> {
        Err(Error::invalid("this program is built without the client of a service; name a file"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Client {
    pub(in crate::face) fn new(address: &Address, _: &Access) -> Result<Self> {
        match *address {}
    }

    pub(in crate::face) fn now(&self) -> Timestamp {
        match *self {}
    }

    pub(in crate::face) fn patience(&self) -> Duration {
        match *self {}
    }

    pub(in crate::face) fn ask(&self, _: &Ask) -> Result<Value> {
        match *self {}
    }

    pub(in crate::face) fn list(&self, _: Ask, _: &'static str) -> std::iter::Empty<Result<Value>> {
        match *self {}
    }

    pub(in crate::face) fn go_on(&self, _: &mut u32) -> Result<()> {
        match *self {}
    }

    pub(in crate::face) fn not_understood(&self, _: &str) -> Error {
        match *self {}
    }
}
