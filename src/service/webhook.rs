//! The webhook: a URL that is notified of failures. It gets the event as JSON, by POST. Over plain HTTP only: TLS would
//! bring more code along than the rest of the service, and a command such as curl does it as well.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Uri;

use crate::error::{Error, Result};

/// Stands for credentials.
const MASK: &str = "***";
/// All of it, from looking up the name to the answer, is done within this long.
const WITHIN: Duration = Duration::from_secs(10);

/// The URL that is notified of failures.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Webhook(String);

impl Webhook {
    /// Posts an event in a thread of its own, so that nothing waits for it. A failure is logged.
    pub(crate) fn tell(&self, event: &Value) {
        let (url, masked, body) = (self.0.clone(), self.to_string(), event.to_string());
        let post = move || {
            let agent = ureq::Agent::config_builder().timeout_global(Some(WITHIN)).build().new_agent();
            if let Err(error) = agent.post(&url).content_type("application/json").send(body) {
                tracing::warn!(%error, url = masked, "the URL for failures could not be notified");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("hivekeep-webhook".into()).spawn(post) {
            tracing::warn!(%error, "the URL for failures could not be notified");
        }
    }
}

impl FromStr for Webhook {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_http = |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty());
        match text.parse::<Uri>() {
            Ok(uri) if is_http(&uri) && text.contains(MASK) => Err(Error::invalid(format!(
                "the credentials of a URL for failures are masked here; write them in full: url={}",
                text.escape_debug()
            ))),
            Ok(uri) if is_http(&uri) => Ok(Self(text.to_owned())),
            _ => Err(Error::invalid(format!(
                "a URL for failures begins with http://; for https let the setting on-failure run curl: url={}",
                text.escape_debug()
            ))),
        }
    }
}

/// Without parts that may be credentials: the user, and the values of the query.
impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = host.rsplit_once('@').map_or(host.to_owned(), |(_, host)| format!("{MASK}@{host}"));
        write!(f, "{scheme}://{host}{path}")?;
        let masked = |pair: &str| pair.split_once('=').map_or(MASK.to_owned(), |(name, _)| format!("{name}={MASK}"));
        match query {
            Some(query) => write!(f, "?{}", query.split('&').map(masked).collect::<Vec<_>>().join("&")),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({self})")
    }
}

impl<'de> serde::Deserialize<'de> for Webhook {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_not_plain_http_is_refused_with_what_to_do_instead() {
        for good in ["http://localhost:9", "http://127.0.0.1:8080/hooks/hive", "http://[::1]/"] {
            assert_eq!(good.parse::<Webhook>().unwrap().to_string(), good);
        }
        for bad in ["https://example.org/x", "localhost:9", "/x", "", "http://", "ftp://x/y", "http://a b/"] {
            let said = bad.parse::<Webhook>().unwrap_err().to_string();
            assert!(said.contains("on-failure"), "{said}");
        }
    }

    #[test]
    fn credentials_are_shown_nowhere_and_a_masked_url_is_refused() {
        for (url, shown) in [
            ("http://me:secret@host:9/a?b", "http://***@host:9/a?***"),
            ("http://host/hooks?token=secret&to=secret@x", "http://host/hooks?token=***&to=***"),
            ("http://secret@host", "http://***@host"),
        ] {
            let webhook: Webhook = url.parse().unwrap();
            assert_eq!((webhook.to_string(), format!("{webhook:?}")), (shown.to_owned(), format!("Webhook({shown})")));
            assert!(shown.parse::<Webhook>().unwrap_err().to_string().contains("in full"), "{shown}");
        }
    }
}
