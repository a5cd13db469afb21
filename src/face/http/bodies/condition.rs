//! The conditions of a change: `If-Match` and `If-None-Match`, against the `ETag` of a value. A route takes them if it
//! declares 412; all other changes refuse them, as a condition that is passed over is worse than none.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use crate::face::http::app::App;
use crate::face::http::problem::Problem;
use crate::face::http::route::Route;
use crate::{Result, WriteTx};

/// The conditions of a request.
#[derive(Clone, Debug, Default)]
pub(in crate::face::http) struct Condition {
    /// The version that the value must have; `*` for any.
    matches: Option<Tags>,
    /// The versions that it must not have.
    matches_none: Option<Tags>,
}

/// The tags of a header, in all of its lists.
#[derive(Clone, Debug)]
struct Tags(Vec<Vec<u8>>);

impl FromRequestParts<App> for Condition {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

impl Condition {
    pub(in crate::face::http) fn of(headers: &HeaderMap) -> Self {
        Self { matches: Tags::of(headers, header::IF_MATCH), matches_none: Tags::of(headers, header::IF_NONE_MATCH) }
    }

    /// Whether there is one.
    pub(in crate::face::http) fn is_set(&self) -> bool {
        self.matches.is_some() || self.matches_none.is_some()
    }

    /// Refuses one where the request has no value with an `ETag`.
    pub(in crate::face::http) fn refuse_unless_taken(&self, route: &Route) -> Result<(), Problem> {
        let is_taken = route.method == Method::GET || route.refuses.contains(&StatusCode::PRECONDITION_FAILED.as_u16());
        if is_taken { Ok(()) } else { self.refuse_any() }
    }

    /// Refuses one about something without an `ETag`.
    pub(in crate::face::http) fn refuse_any(&self) -> Result<(), Problem> {
        let detail = "this resource has no ETag; remove If-Match and If-None-Match";
        if self.is_set() { Err(refused(detail)) } else { Ok(()) }
    }

    /// Makes a change in the transaction that has seen that the value in the configuration is as it must be; none where
    /// it is not.
    pub(in crate::face::http) fn change<R>(
        &self,
        tx: &mut WriteTx<'_>,
        key: &str,
        change: impl FnOnce(&mut WriteTx<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        if self.is_set() && !self.holds(tx.config().get(key)?.as_ref()) {
            return Ok(None);
        }
        change(tx).map(Some)
    }

    /// The answer where it does not hold.
    pub(in crate::face::http) fn refusal(&self) -> Problem {
        refused(match self.matches {
            Some(_) => "the value has changed since it was read, so nothing was written; read it again",
            None => "If-None-Match names the value that is there, so nothing was written",
        })
    }

    /// Whether a value fits; none if there is no value.
    fn holds(&self, now: Option<&Value>) -> bool {
        let own = now.map(|now| version(now.to_string().as_bytes()));
        let named = |tags: &Tags| own.as_ref().is_some_and(|own| tags.name(own));
        self.matches.as_ref().is_none_or(named) && !self.matches_none.as_ref().is_some_and(named)
    }
}

impl Tags {
    fn of(headers: &HeaderMap, name: HeaderName) -> Option<Self> {
        let lists = headers.get_all(name);
        let tags = lists.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
        let tags = tags.map(|tag| tag.trim_ascii().to_vec()).collect();
        lists.iter().next().map(|_| Self(tags))
    }

    /// Whether they name a version, or any (`*`). A proxy that compresses answers makes their tags weak.
    fn name(&self, own: &HeaderValue) -> bool {
        let is_own = |tag: &Vec<u8>| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == own.as_bytes();
        self.0.iter().any(is_own)
    }
}

/// The version of a value, as it stands in `ETag`.
pub(in crate::face::http) fn version(json: &[u8]) -> HeaderValue {
    let tag = format!("\"{}\"", blake3::hash(json).to_hex());
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
}

fn refused(detail: &str) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "conflict", detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(name: HeaderName, lists: &[String], now: Option<&Value>) -> bool {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(name.clone(), HeaderValue::from_str(list).unwrap());
        }
        Condition::of(&headers).holds(now)
    }

    #[test]
    fn a_value_is_named_by_its_tag_in_any_list_also_a_weak_one_and_by_a_star_while_it_is_there() {
        let value = json!({"builds": 3});
        let tag = version(value.to_string().as_bytes());
        let tag = tag.to_str().unwrap();
        let one = |list: &str| vec![list.to_owned()];
        let two = vec!["\"a\"".to_owned(), tag.to_owned()];
        for lists in [one(tag), one("*"), one(&format!("W/{tag}")), one(&format!("\"a\" ,{tag}")), two] {
            assert!(holds(header::IF_MATCH, &lists, Some(&value)), "{lists:?}");
            assert!(!holds(header::IF_MATCH, &lists, None), "{lists:?}");
            assert!(!holds(header::IF_NONE_MATCH, &lists, Some(&value)), "{lists:?}");
            assert!(holds(header::IF_NONE_MATCH, &lists, None), "{lists:?}");
        }
        let other = one("\"a\", W/\"b\"");
        assert!(!holds(header::IF_MATCH, &other, Some(&value)));
        assert!(holds(header::IF_NONE_MATCH, &other, Some(&value)));
        assert!(Condition::default().holds(None) && !Condition::default().is_set());
    }
}
