//! Sends requests to a service, and reads their answers.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_rustls::rustls::ClientConfig;

use crate::face::remote::address::{Address, Socket};
use crate::face::remote::ask::Ask;
use crate::face::remote::connect::{Sender, connect};
use crate::face::remote::credentials::Access;
use crate::face::remote::exchange::{Answer, NoAnswer, exchange};
use crate::face::remote::refusal::{Meant, meant};
use crate::{Clock, Error, ErrorKind, Result, SystemClock};

/// This program, as services see it in their logs.
const AGENT: &str = concat!("hivekeep/", env!("CARGO_PKG_VERSION"));
/// How often a request is sent that may be repeated, or was refused because the service is busy.
const TRIES: u32 = 3;
/// The longest pause before a request is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause where the service asks for none.
const PAUSE: Duration = Duration::from_millis(200);
/// The most items that one request asks for.
const ITEMS_PER_REQUEST: usize = 1_000;

/// The number of pages of a list that may have no item. A service looks at thousands of records for each.
const EMPTY_PAGES: u32 = 1_000;

/// A client of one service.
#[derive(Debug)]
pub(in crate::face) struct Client {
    runtime: Runtime,
    address: Address,
    key: Option<HeaderValue>,
    tls: Option<Arc<ClientConfig>>,
    within: Duration,
    /// The connection of the last read.
    open: RefCell<Option<Sender>>,
    /// The time of the service, as its last answer said.
    now: RefCell<Option<Timestamp>>,
    /// Whether the last answer was that of a change.
    has_changed: Cell<bool>,
}

/// No answer.
enum Lost {
    /// Nothing was sent.
    NotSent(Error),
    /// The request may have arrived.
    NoAnswer(NoAnswer),
}

impl Client {
    /// A client of the service at that address. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// As [`Access::header`] and [`Access::tls`].
    pub(in crate::face) fn new(address: &Address, access: &Access) -> Result<Self> {
        let is_tls = matches!(address.socket, Socket::Tcp { tls: true, .. });
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            address: address.clone(),
            key: access.header(address)?,
            tls: is_tls.then(|| access.tls()).transpose()?,
            within: access.within,
            open: RefCell::default(),
            now: RefCell::default(),
            has_changed: Cell::default(),
        })
    }

    /// The time of the service, as its last answer said; that of this machine before the first.
    pub(in crate::face) fn now(&self) -> Timestamp {
        self.now.borrow().unwrap_or_else(|| SystemClock.now())
    }

    /// How long work of the service may stand still before it is no longer watched: ten times
    /// as long as an answer may take.
    pub(in crate::face) fn patience(&self) -> Duration {
        self.within.saturating_mul(10)
    }

    /// Sends a request, again where that is safe, and returns the answer.
    ///
    /// # Errors
    ///
    /// The error of the service, by its kind; `Io` when there is no service; `Uncertain` when a change was sent and not
    /// answered.
    pub(in crate::face) fn ask(&self, ask: &Ask) -> Result<Value> {
        let mut tries = 1;
        loop {
            match self.once(ask) {
                Ok(answer) => match meant(&answer, &self.address) {
                    Meant::Value(value) => {
                        self.has_changed.set(!ask.is_read());
                        return Ok(value);
                    }
                    Meant::Refused(_) if tries < TRIES && is_busy(&answer) => SystemClock.sleep(pause(&answer)),
                    Meant::Refused(error) => return Err(error),
                    Meant::Unknown => return Err(self.of_another_version(&format!("{} {}", ask.method, ask.target))),
                    // A proxy in between may have lost the answer of the service, or put its own in its place.
                    Meant::Strange(error)
                        if !ask.is_read() && (answer.status.is_server_error() || answer.status.is_success()) =>
                    {
                        return Err(self.uncertain(&error.to_string()));
                    }
                    Meant::Strange(error) => return Err(error),
                },
                Err(Lost::NotSent(error)) => return Err(error),
                Err(Lost::NoAnswer(none)) if none.may_come && ask.repeatable && tries < TRIES => {
                    SystemClock.sleep(PAUSE);
                }
                Err(Lost::NoAnswer(NoAnswer { why, .. })) if ask.is_read() => {
                    return Err(Error::new(ErrorKind::Io, format!("{why}: address={}", self.address)));
                }
                Err(Lost::NoAnswer(NoAnswer { why, .. })) => return Err(self.uncertain(&why)),
            }
            tries += 1;
        }
    }

    /// The items of a list, which is read page by page.
    pub(in crate::face) fn list(&self, ask: Ask, name: &'static str) -> impl Iterator<Item = Result<Value>> {
        self.pages(ask, name, ITEMS_PER_REQUEST, None).flat_map(|page| match page {
            Ok(items) => items.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    /// The pages of a list, from a cursor on.
    pub(in crate::face) fn pages(
        &self,
        ask: Ask,
        name: &'static str,
        length: usize,
        cursor: Option<String>,
    ) -> impl Iterator<Item = Result<Vec<Value>>> {
        let (mut next, mut empty) = (Some(cursor), 0);
        std::iter::from_fn(move || {
            let cursor = next.take()?;
            let asked =
                ask.clone().with("limit", Some(length.clamp(1, ITEMS_PER_REQUEST))).with("cursor", cursor.as_ref());
            let page = self.ask(&asked).and_then(|mut page| {
                let items = page.get_mut(name).map(Value::take);
                let (Some(Value::Array(items)), Some(behind)) = (items, page.get("next")) else {
                    return Err(self.not_understood(&format!("a page lacks the field {name}")));
                };
                next = behind.as_str().map(|behind| Some(behind.to_owned()));
                if next.is_some() && next.as_ref() == Some(&cursor) {
                    return Err(self.not_understood("a page goes on at its own beginning"));
                }
                if items.is_empty() {
                    self.go_on(&mut empty)?;
                }
                Ok(items)
            });
            if page.is_err() {
                next = None;
            }
            Some(page)
        })
    }

    /// Goes on behind a page without items, unless the list has had too many of them.
    pub(in crate::face) fn go_on(&self, empty: &mut u32) -> Result<()> {
        *empty += 1;
        match *empty > EMPTY_PAGES {
            true => Err(self.not_understood("the list does not end: pages without items follow each other")),
            false => Ok(()),
        }
    }

    /// The error of an answer with other members than this version knows.
    pub(in crate::face) fn not_understood(&self, why: &str) -> Error {
        if self.has_changed.get() {
            return self.uncertain(&format!("its answer is not understood: {why}"));
        }
        self.of_another_version(why)
    }

    fn uncertain(&self, why: &str) -> Error {
        let message = "the change may have been made, but no answer says so; look before you repeat it";
        Error::new(ErrorKind::Uncertain, format!("{message} ({why}): address={}", self.address))
    }

    fn of_another_version(&self, why: &str) -> Error {
        let own = env!("CARGO_PKG_VERSION");
        let theirs = self.version().unwrap_or_else(|| "unknown".to_owned());
        let message = "the service and this program are of different versions; use the program of its version";
        let address = &self.address;
        Error::new(ErrorKind::Io, format!("{message} ({why}): address={address} service={theirs} program={own}"))
    }

    /// The version of the service, if it says one.
    fn version(&self) -> Option<String> {
        let answer = self.once(&Ask::get(&["openapi.json"])).ok()?;
        match meant(&answer, &self.address) {
            Meant::Value(described) => {
                described["info"]["version"].as_str().map(|version| version.chars().take(40).collect())
            }
            _ => None,
        }
    }

    /// Sends a request once.
    fn once(&self, ask: &Ask) -> Result<Answer, Lost> {
        let request = self.request(ask).map_err(Lost::NotSent)?;
        // A connection that was open for long may just be closed, which must not make a change uncertain.
        let kept = if ask.is_read() { self.open.take() } else { None };
        let within = self.within.saturating_add(ask.wait);
        let (answer, sender) = self.runtime.block_on(async {
            let mut sender = match still_open(kept).await {
                Some(sender) => sender,
                None => connect(&self.address, self.tls.as_ref(), self.within).await.map_err(Lost::NotSent)?,
            };
            let answer = tokio::time::timeout(within, exchange(&mut sender, request)).await;
            let late = |_| NoAnswer { why: format!("no answer within {} ms", within.as_millis()), may_come: true };
            let answer = answer.map_err(late).and_then(|answer| answer).map_err(Lost::NoAnswer)?;
            Ok((answer, sender))
        })?;
        if ask.is_read() {
            self.open.replace(Some(sender));
        }
        if let Ok(now) = rfc2822::parse(answer.header(&header::DATE)) {
            self.now.replace(Some(now.timestamp()));
        }
        Ok(answer)
    }

    fn request(&self, ask: &Ask) -> Result<Request<Body>> {
        let target = format!("{}{}", self.address.prefix, ask.target);
        let mut request = Request::builder()
            .method(ask.method)
            .uri(target)
            .header(header::HOST, self.address.authority())
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT, "application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key);
        }
        let body = match &ask.body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        request.body(body).map_err(|error| Error::invalid("the request cannot be sent").with_source(error))
    }
}

/// The connection of the read before, if it is still open. A service may have closed it since, which is noticed only
/// while the runtime looks at it.
async fn still_open(kept: Option<Sender>) -> Option<Sender> {
    let kept = kept?;
    tokio::time::sleep(Duration::from_millis(1)).await;
    Some(kept).filter(|sender| !sender.is_closed())
}

/// Whether the service did nothing, and may do it soon.
fn is_busy(answer: &Answer) -> bool {
    [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&answer.status)
        && asked_pause(answer).is_some_and(|pause| pause <= LONGEST_PAUSE)
}

/// The pause that the service asks for.
fn asked_pause(answer: &Answer) -> Option<Duration> {
    answer.header(&header::RETRY_AFTER).parse().ok().map(Duration::from_secs)
}

fn pause(answer: &Answer) -> Duration {
    asked_pause(answer).unwrap_or(PAUSE)
}
