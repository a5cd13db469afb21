//! A request before it is sent.

use std::fmt::{Display, Write};
use std::time::Duration;

use serde_json::Value;

/// A request.
#[derive(Clone, Debug)]
pub(in crate::face) struct Ask {
    pub(super) method: &'static str,
    /// The path and the query.
    pub(super) target: String,
    pub(super) body: Option<Value>,
    /// Whether a second one changes nothing more.
    pub(super) repeatable: bool,
    /// How much longer the answer may take, since the service waits for something.
    pub(super) wait: Duration,
}

impl Ask {
    /// A read of that path, whose parts are encoded.
    pub(in crate::face) fn get(parts: &[&str]) -> Self {
        Self { repeatable: true, ..Self::new("GET", parts) }
    }

    /// A change that is not repeated.
    pub(in crate::face) fn post(parts: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new("POST", parts) }
    }

    /// A change to a value. A second one might overwrite a later change by somebody else, so it is not repeated.
    pub(in crate::face) fn put(parts: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new("PUT", parts) }
    }

    /// A removal, which is not repeated: the second one would find nothing.
    pub(in crate::face) fn delete(parts: &[&str]) -> Self {
        Self::new("DELETE", parts)
    }

    fn new(method: &'static str, parts: &[&str]) -> Self {
        let mut target = String::new();
        for part in parts {
            target.push('/');
            encode(part, &mut target);
        }
        Self { method, target, body: None, repeatable: false, wait: Duration::ZERO }
    }

    /// With a parameter, if there is a value for it.
    pub(in crate::face) fn with(mut self, name: &str, value: Option<impl Display>) -> Self {
        if let Some(value) = value {
            self.target.push(if self.target.contains('?') { '&' } else { '?' });
            self.target.push_str(name);
            self.target.push('=');
            encode(&value.to_string(), &mut self.target);
        }
        self
    }

    /// With a parameter that is on or absent.
    pub(in crate::face) fn flag(self, name: &str, is_on: bool) -> Self {
        self.with(name, is_on.then_some(1))
    }

    /// A second one changes nothing more, so it may be repeated.
    pub(in crate::face) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// The service may wait that long before it answers.
    pub(in crate::face) fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Whether it changes nothing.
    pub(super) fn is_read(&self) -> bool {
        self.method == "GET"
    }
}

/// Appends a text with every byte escaped that has a meaning in a URL. A part that is only dots would be resolved.
fn encode(text: &str, to: &mut String) {
    let is_dots = !text.is_empty() && text.bytes().all(|byte| byte == b'.');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !is_dots) {
            to.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_with_a_meaning_is_escaped() {
        let ask = Ask::get(&["api", "config", "a/b c?#%\u{e9}.."]).with("at", Some("10m ago")).with("to", None::<u8>);
        assert_eq!(ask.target, "/api/config/a%2Fb%20c%3F%23%25%C3%A9..?at=10m%20ago");
        assert_eq!(Ask::get(&["a", ".."]).flag("x", false).flag("y", true).target, "/a/%2E%2E?y=1");
    }
}
