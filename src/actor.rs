//! The actor of a change: the name under which it is written down.

use std::fmt;

use jiff::Timestamp;

/// Somebody who changes a store: a person, a program, or the holder of a key.
/// [`Store::acting_as`](crate::Store::acting_as) takes one.
///
/// # Examples
///
/// ```
/// use hivekeep::Actor;
///
/// let actor = Actor::new("deploy").address("10.0.0.7");
/// assert_eq!(actor.to_string(), "deploy");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    name: String,
    bot: Option<String>,
    key: Option<HeldKey>,
    address: Option<String>,
    request_id: Option<String>,
    way: Option<&'static str>,
}

/// The key by which an actor acts. A write checks that it is still valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldKey {
    pub(crate) name: String,
    /// When it was added, which tells it from an earlier key of that name.
    pub(crate) created_at: Timestamp,
}

impl Actor {
    /// An actor of that name, such as a user or a program.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), bot: None, key: None, address: None, request_id: None, way: None }
    }

    /// Acts as that bot only: a change for another bot is refused with
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden).
    #[must_use]
    pub fn as_bot(self, bot: impl Into<String>) -> Self {
        Self { bot: Some(bot.into()), ..self }
    }

    /// Where it acts from.
    #[must_use]
    pub fn address(self, address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..self }
    }

    /// The id of the request by which it acts.
    #[must_use]
    pub fn request_id(self, id: impl Into<String>) -> Self {
        Self { request_id: Some(id.into()), ..self }
    }

    /// The way by which it acts, such as `mcp`; the entries of its changes name it in their details.
    #[must_use]
    pub fn way(self, way: &'static str) -> Self {
        Self { way: Some(way), ..self }
    }

    /// Acts by that key, as long as it is valid.
    #[cfg(any(feature = "http", test))]
    pub(crate) fn by_key(self, key: HeldKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The only bot that it acts as.
    pub fn bot(&self) -> Option<&str> {
        self.bot.as_deref()
    }

    pub(crate) fn key(&self) -> Option<&HeldKey> {
        self.key.as_ref()
    }

    pub(crate) fn address_text(&self) -> Option<&str> {
        self.address.as_deref()
    }

    pub(crate) fn way_name(&self) -> Option<&'static str> {
        self.way
    }

    pub(crate) fn request(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl<N: Into<String>> From<N> for Actor {
    fn from(name: N) -> Self {
        Self::new(name)
    }
}
