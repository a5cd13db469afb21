//! The parameters of a URL: those in its path, and its query string.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::face::http::app::App;
use crate::face::http::problem::Problem;
use crate::face::http::route::Route;
use crate::{Error, KeyedPage, Result, Selector};

/// The limit of a page unless one is given.
const DEFAULT_LIMIT: usize = 100;
/// Maximum length of a page.
const LONGEST_PAGE: usize = 1_000;
/// A page ends behind the item with which it has this many bytes.
pub(in crate::face::http) const PAGE_BYTES: usize = 4 << 20;
/// Maximum number of items that are read before they are measured.
const AT_ONCE: usize = 16;

/// The parameters of the query string, each at most once. `routes` has refused unknown ones before a handler runs.
#[derive(Clone, Debug, Default)]
pub(in crate::face::http) struct Query(Vec<(String, String)>);

impl FromRequestParts<App> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        let wrong = |_| Error::invalid("the query string is invalid");
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(wrong)?;
        Self::of(pairs.0).map_err(Problem::from)
    }
}

impl Query {
    /// Refuses a parameter that is given twice: a proxy might look at the other one.
    fn of(pairs: Vec<(String, String)>) -> Result<Self> {
        let mut names = BTreeSet::new();
        let twice = pairs.iter().find(|(name, _)| !names.insert(name)).map(|(name, _)| name.escape_debug().to_string());
        match twice {
            None => Ok(Self(pairs)),
            Some(name) => Err(Error::invalid(format!("query parameter is given twice: name={name}"))),
        }
    }

    /// Refuses a parameter that the route does not have, such as a misspelt filter, or a `dry_run` that belongs into
    /// the body.
    pub(in crate::face::http) fn refuse_unknown(&self, route: &Route) -> Result<()> {
        let is_known = |name: &str| route.query.iter().any(|field| field.name == name);
        let Some((name, _)) = self.0.iter().find(|(name, _)| !is_known(name)) else { return Ok(()) };
        let is_of_body = route.takes.fields().iter().any(|field| field.name == name);
        let names: Vec<_> = route.query.iter().map(|field| field.name).collect();
        let (name, known) = (name.escape_debug(), names.join(","));
        Err(Error::invalid(match (is_of_body, known.is_empty()) {
            (true, _) => format!("this is a field of the body, not a query parameter: name={name}"),
            (false, true) => format!("unknown query parameter; this request has none: name={name}"),
            (false, false) => format!("unknown query parameter: name={name} known={known}"),
        }))
    }

    /// The value of a parameter; an empty value means none.
    pub(in crate::face::http) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A value, parsed.
    pub(in crate::face::http) fn parsed<T: std::str::FromStr<Err = Error>>(&self, name: &str) -> Result<Option<T>> {
        self.get(name).map(str::parse).transpose()
    }

    /// A non-negative integer.
    pub(in crate::face::http) fn number(&self, name: &str) -> Result<Option<u64>> {
        let wrong = |value: &str| {
            Error::invalid(format!(
                "query parameter must be a non-negative integer: name={name} value={}",
                value.escape_debug()
            ))
        };
        self.get(name).map(|value| value.parse().map_err(|_| wrong(value))).transpose()
    }

    /// A boolean; a parameter without a value is true.
    pub(in crate::face::http) fn flag(&self, name: &str) -> Result<bool> {
        match self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str()) {
            Some("" | "1" | "true" | "yes") => Ok(true),
            None | Some("0" | "false" | "no") => Ok(false),
            Some(value) => {
                let value = value.escape_debug();
                Err(Error::invalid(format!("query parameter must be true or false: name={name} value={value}")))
            }
        }
    }

    /// The length of the page.
    pub(in crate::face::http) fn limit(&self) -> Result<usize> {
        Ok(self.limit_or(DEFAULT_LIMIT)?.min(LONGEST_PAGE))
    }

    /// The number that is asked for, or `unset`.
    pub(in crate::face::http) fn limit_or(&self, unset: usize) -> Result<usize> {
        match self.number("limit")? {
            Some(0) => Err(Error::invalid("query parameter must be at least 1: name=limit value=0")),
            limit => Ok(limit.map_or(unset, |limit| usize::try_from(limit).unwrap_or(usize::MAX))),
        }
    }

    /// Where the page begins.
    pub(in crate::face::http) fn cursor(&self) -> Option<&str> {
        self.get("cursor")
    }

    /// The point to read.
    pub(in crate::face::http) fn at(&self) -> Result<Selector> {
        Ok(self.parsed("at")?.unwrap_or(Selector::Now))
    }
}

/// The parameters in the path, such as the id of a bot.
pub(in crate::face::http) struct Name<T = String>(pub(in crate::face::http) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Name<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let wrong = |_| Error::invalid("the path is not UTF-8");
        Ok(Self(axum::extract::Path::<T>::from_request_parts(parts, app).await.map_err(wrong)?.0))
    }
}

/// A page of numbered items, while it is filled: each item as its JSON text, which takes less memory than a value.
#[derive(Debug)]
pub(in crate::face::http) struct Filling {
    limit: usize,
    bytes: usize,
    items: Vec<Box<RawValue>>,
    /// The number of the last item, and whether there are more behind it.
    last: Option<u64>,
    more: bool,
}

impl Filling {
    pub(in crate::face::http) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, items: Vec::new(), last: None, more: false }
    }

    /// How many more items to read at once.
    pub(in crate::face::http) fn ask(&self) -> usize {
        (self.limit - self.items.len() + 1).min(AT_ONCE)
    }

    /// The number behind which to go on.
    pub(in crate::face::http) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Adds an item, or says that the page is full.
    pub(in crate::face::http) fn add(&mut self, number: u64, item: &impl Serialize) -> Result<ControlFlow<()>> {
        if self.items.len() == self.limit || self.bytes >= PAGE_BYTES {
            self.more = true;
            return Ok(ControlFlow::Break(()));
        }
        let wrong = |source| Error::invalid("an item cannot be shown as JSON").with_source(source);
        let text = serde_json::value::to_raw_value(item).map_err(wrong)?;
        self.bytes += text.get().len();
        self.items.push(text);
        self.last = Some(number);
        Ok(ControlFlow::Continue(()))
    }

    /// Ends the page at a number behind which there may be more.
    pub(in crate::face::http) fn stop_at(&mut self, number: u64) {
        (self.last, self.more) = (Some(number), true);
    }

    /// As JSON, with the items under their name.
    pub(in crate::face::http) fn named(self, name: &'static str) -> Listed<Box<RawValue>> {
        let next = self.last.filter(|_| self.more).map(|number| number.to_string());
        Listed { name, items: self.items, next }
    }
}

/// One page of a list, and the start of the next.
#[derive(Debug)]
pub(in crate::face::http) struct Listed<T> {
    name: &'static str,
    items: Vec<T>,
    next: Option<String>,
}

impl<T> Listed<T> {
    /// The page, with its items under that name.
    pub(in crate::face::http) fn of(page: KeyedPage<T>, name: &'static str) -> Self {
        Self { name, items: page.items, next: page.next }
    }
}

impl<T: Serialize> Serialize for Listed<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(Some(2))?;
        object.serialize_entry(self.name, &self.items)?;
        object.serialize_entry("next", &self.next)?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn query(of: &[(&str, &str)]) -> Query {
        Query::of(pairs(of)).unwrap()
    }

    #[test]
    fn a_parameter_that_is_given_twice_is_refused() {
        let refused = Query::of(pairs(&[("limit", ""), ("at", "now"), ("limit", "5")])).unwrap_err().to_string();
        assert_eq!(refused, "query parameter is given twice: name=limit");
    }

    #[test]
    fn a_page_is_never_too_long_and_a_limit_of_zero_is_refused() {
        for (asked, limit) in [("1", 1), ("5", 5), ("99999999999", LONGEST_PAGE), ("", DEFAULT_LIMIT)] {
            assert_eq!(query(&[("limit", asked)]).limit().unwrap(), limit);
        }
        let refused = |limit| query(&[("limit", limit)]).limit().unwrap_err().to_string();
        assert_eq!(refused("-1"), "query parameter must be a non-negative integer: name=limit value=-1");
        assert_eq!(refused("0"), "query parameter must be at least 1: name=limit value=0");
    }

    #[test]
    fn a_boolean_is_true_or_false_and_anything_else_is_refused() {
        for (asked, means) in [("", true), ("true", true), ("1", true), ("false", false), ("0", false)] {
            assert_eq!(query(&[("all", asked)]).flag("all").unwrap(), means, "{asked}");
        }
        assert!(!query(&[]).flag("all").unwrap());
        let refused = query(&[("all", "null")]).flag("all").unwrap_err().to_string();
        assert_eq!(refused, "query parameter must be true or false: name=all value=null");
    }

    #[test]
    fn a_read_without_a_point_shows_the_present() {
        assert_eq!(query(&[]).at().unwrap(), Selector::Now);
        assert_eq!(query(&[("at", "latest~2")]).at().unwrap(), Selector::Latest(2));
        assert!(query(&[("at", "yesterday")]).at().is_err());
    }
}
