//! The parameters of a URL: those in its path, and its query string.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::face::http::app::App;
use crate::face::http::problem::Problem;
use crate::{Error, KeyedPage, Result, Selector};

/// Length of a page unless set.
const PAGE: usize = 100;
/// Maximum length of a page.
const LONGEST_PAGE: usize = 1_000;

/// The parameters of the query string. Unknown ones are ignored.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl FromRequestParts<App> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        let wrong = |_| Error::invalid("the query string is invalid");
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(wrong)?;
        Ok(Self(pairs.0))
    }
}

impl Query {
    /// The value of a parameter; an empty value means none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A value, parsed.
    pub(super) fn parsed<T: std::str::FromStr<Err = Error>>(&self, name: &str) -> Result<Option<T>> {
        self.get(name).map(str::parse).transpose()
    }

    /// A non-negative integer.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        let wrong = |value: &str| {
            Error::invalid(format!(
                "query parameter must be a non-negative integer: name={name} value={}",
                value.escape_debug()
            ))
        };
        self.get(name).map(|value| value.parse().map_err(|_| wrong(value))).transpose()
    }

    /// A boolean; a parameter without a value is true.
    pub(super) fn flag(&self, name: &str) -> bool {
        let value = self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        matches!(value, Some("" | "1" | "true" | "yes"))
    }

    /// The length of the page.
    pub(super) fn limit(&self) -> Result<usize> {
        let limit = self.number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(LONGEST_PAGE));
        Ok(limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE))
    }

    /// Where the page begins.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.get("cursor")
    }

    /// The point to read.
    pub(super) fn at(&self) -> Result<Selector> {
        Ok(self.parsed("at")?.unwrap_or(Selector::Now))
    }
}

/// The parameters in the path, such as the id of a bot.
pub(super) struct Name<T = String>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Name<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let wrong = |_| Error::invalid("the path is not UTF-8");
        Ok(Self(axum::extract::Path::<T>::from_request_parts(parts, app).await.map_err(wrong)?.0))
    }
}

/// One page of a list, and the start of the next.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) items: Vec<Value>,
    pub(super) next: Option<String>,
}

impl<T: Serialize> From<KeyedPage<T>> for Listed {
    fn from(page: KeyedPage<T>) -> Self {
        Self { items: page.items.iter().map(|item| serde_json::json!(item)).collect(), next: page.next }
    }
}

impl Listed {
    /// As JSON, with the items under their name.
    pub(super) fn named(self, name: &str) -> Value {
        serde_json::json!({ name: self.items, "next": self.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_page_is_never_empty_and_never_too_long() {
        for (asked, limit) in [("0", 1), ("5", 5), ("99999999999", LONGEST_PAGE), ("", PAGE)] {
            assert_eq!(query(&[("limit", asked)]).limit().unwrap(), limit);
        }
        let error = query(&[("limit", "-1")]).limit().unwrap_err().to_string();
        assert_eq!(error, "query parameter must be a non-negative integer: name=limit value=-1");
    }

    #[test]
    fn a_read_without_a_point_is_of_now() {
        assert_eq!(query(&[]).at().unwrap(), Selector::Now);
        assert_eq!(query(&[("at", "latest~2")]).at().unwrap(), Selector::Latest(2));
        assert!(query(&[("at", "yesterday")]).at().is_err());
    }
}
