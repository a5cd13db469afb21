//! Protects from pages of other sites (DNS rebinding and cross-site requests). A page in a browser reaches everything
//! that its machine reaches, so a request must name this service as its host, and must not come from a page of another
//! origin. Programs other than browsers do not send `Origin` and `Sec-Fetch-Site`, and are let through.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};

use crate::face::http::admission::authority::{AllowedHost, Authority, Origin};
use crate::face::http::problem::Problem;

/// Maximum number of characters of a header in an error message.
const SHOWN: usize = 100;

/// Which hosts and origins are let in beside the service's own.
#[derive(Clone, Debug, Default)]
pub(in crate::face) struct Access {
    pub(in crate::face) hosts: Vec<AllowedHost>,
    pub(in crate::face) origins: Vec<Origin>,
    /// Whether the service has a certificate, so that its own origin is one of https.
    pub(in crate::face) is_tls: bool,
}

impl Access {
    /// Lets a request through, or says why not. With a token set, a request may name any host: a page that reaches the
    /// service under another name does not know the token.
    pub(in crate::face::http) fn admit<B>(
        &self,
        request: &axum::http::Request<B>,
        any_host: bool,
    ) -> Result<(), Problem> {
        let host = only_host(request, any_host)?;
        let target = request.uri().authority().map(|authority| authority.as_str());
        if !any_host {
            for named in host.into_iter().chain(target) {
                self.admit_host(named)?;
            }
        }
        self.admit_page(request, target.or(host).and_then(Authority::parse).as_ref())
    }

    /// A name that leads here by a page's own DNS is not one of ours.
    fn admit_host(&self, named: &str) -> Result<(), Problem> {
        let is_ours = |named: &Authority| named.is_loopback() || self.hosts.iter().any(|allowed| allowed.admits(named));
        if Authority::parse(named).is_some_and(|named| is_ours(&named)) {
            return Ok(());
        }
        let detail = format!(
            "without a token the service only accepts the hosts localhost, 127.0.0.1 and [::1]; to allow another one: \
             hivekeep serve --allow-host HOST: host={}",
            shown(named)
        );
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", detail))
    }

    /// Browsers say for which page they ask.
    fn admit_page<B>(&self, request: &axum::http::Request<B>, named: Option<&Authority>) -> Result<(), Problem> {
        if let Some(text) = the_only(request.headers(), header::ORIGIN.as_str()) {
            let origin = text.and_then(Origin::parse);
            let scheme = if self.is_tls { "https" } else { "http" };
            let is_own = |origin: &Origin| named.is_some_and(|named| origin.is_of(named, scheme));
            let is_allowed = |origin: &Origin| self.origins.iter().any(|allowed| allowed.is_the_same_as(origin));
            match origin {
                // Its page is of another site to the browser, as was said to be right.
                Some(origin) if is_allowed(&origin) => return Ok(()),
                Some(origin) if is_own(&origin) => {}
                _ => return Err(another_site("origin", text)),
            }
        }
        match the_only(request.headers(), "sec-fetch-site") {
            None | Some(Some("same-origin" | "none")) => Ok(()),
            Some(_) if is_navigation_to_the_page(request) => Ok(()),
            Some(text) => Err(another_site("sec-fetch-site", text)),
        }
    }
}

/// The host that the request names; it does so once.
fn only_host<B>(request: &axum::http::Request<B>, any_host: bool) -> Result<Option<&str>, Problem> {
    let refused = |detail| Err(Problem::new(StatusCode::BAD_REQUEST, "invalid", detail));
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Ok(Some(text(host))),
        // HTTP/1.0 asks for no host. Where a token is shown, none is needed.
        (None, _) if any_host && request.version() == Version::HTTP_10 => Ok(None),
        (None, _) => refused("the request has no Host header; send exactly one"),
        (Some(_), Some(_)) => refused("the request has several Host headers; send exactly one"),
    }
}

/// The text of a header that may stand once: none where it is not there, and none inside where it is not one text.
fn the_only<'h>(headers: &'h HeaderMap, name: &str) -> Option<Option<&'h str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(values.next().is_none().then(|| text(first)))
}

/// A header that is not ASCII equals no known value.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// Whether it is a navigation, by a link or a typed address: any site may cause one, and it changes nothing.
fn is_navigation_to_the_page<B>(request: &axum::http::Request<B>) -> bool {
    let says = |name: &str, text: &str| the_only(request.headers(), name) == Some(Some(text));
    request.method() == Method::GET
        && request.uri().path() == "/"
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

fn another_site(header: &str, said: Option<&str>) -> Problem {
    let said = said.map_or("twice".to_owned(), shown);
    let detail = format!(
        "requests from pages of other sites are refused; to allow one: hivekeep serve --allow-origin ORIGIN: {header}={said}"
    );
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

/// The beginning of a text of the client's.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}
