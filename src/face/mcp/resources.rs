//! The state as resources, now or as of a point: `hivekeep://queue`, `hivekeep://queue/TASK?at=latest`.
//!
//! A list has the fields `at` and `cursor` in its query; it names the next page as `next`, a whole URI.

use rmcp::model::{ErrorData, ReadResourceResponse, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::{Value, json};

use crate::face::mcp::call::{Call, view_at};
use crate::face::mcp::pages::{self, IN_LIST, Items, ON_ITS_OWN, Part, fitting};
use crate::face::mcp::refused_call::RefusedCall;
use crate::face::mcp::tool::Outcome;
use crate::face::mcp::tools::{points, talk, tasks};
use crate::face::wire::shorten::shorten_fields;
use crate::{ChatFilter, Error, ErrorKind, Result, Selector, View};

const SCHEME: &str = "hivekeep://";
/// The number of items of a page.
const ITEMS: usize = 50;
/// Longer URIs are refused.
const URI_BYTES: usize = 2 << 10;
const JSON: &str = "application/json";

/// Each list, with its title and the description of one of its items.
const LISTS: [(&str, &str, Option<&str>); 5] = [
    ("registry", "The bots of the fleet", Some("A bot")),
    ("queue", "The tasks", Some("A task with its payload and result")),
    ("config", "The configuration", Some("A value of the configuration")),
    ("chat", "The messages, the newest first", None),
    ("points", "The restore points, the newest first", Some("A restore point")),
];

/// The lists, as of now.
pub(super) fn all() -> Vec<Resource> {
    let list = |(name, title, _): (&str, &str, _)| {
        Resource::new(format!("{SCHEME}{name}"), name).with_title(title).with_mime_type(JSON)
    };
    LISTS.map(list).into()
}

/// The same as of a point and in pages, and single records.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    let mut templates = Vec::new();
    for (name, title, item) in LISTS {
        let query = match name {
            "points" => "{?cursor}",
            "chat" => "{?at,cursor,conversation}",
            _ => "{?at,cursor}",
        };
        let list = ResourceTemplate::new(format!("{SCHEME}{name}{query}"), format!("{name} in pages"));
        templates.push(list.with_title(title).with_mime_type(JSON));
        if let Some(item) = item {
            let query = if name == "points" { "" } else { "{?at}" };
            let one = ResourceTemplate::new(format!("{SCHEME}{name}/{{name}}{query}"), format!("one of {name}"));
            templates.push(one.with_title(item).with_mime_type(JSON));
        }
    }
    templates
}

/// Reads a resource.
pub(super) async fn read(call: &Call, uri: &str) -> Result<ReadResourceResponse, ErrorData> {
    let answer = match Asked::parse(uri) {
        Ok(asked) => answer(call, asked).await,
        Err(error) => Err(RefusedCall::from(error)),
    };
    let answer = answer.map_err(|refusal| {
        let shown = refusal.shown();
        let message = shown["error"].as_str().unwrap_or_default().to_owned();
        ErrorData::resource_not_found(message, Some(shown))
    })?;
    let contents = ResourceContents::text(answer.to_string(), uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![contents]).into())
}

/// The parts of a URI.
struct Asked {
    list: &'static str,
    /// The record, if it names one.
    name: Option<String>,
    at: Selector,
    cursor: Option<String>,
    conversation: Option<String>,
}

impl Asked {
    fn parse(uri: &str) -> Result<Self> {
        let wrong = || {
            let uri: String = uri.chars().take(100).collect();
            let message = "there is no such resource; resources/list and resources/templates/list name them";
            Error::new(ErrorKind::NotFound, format!("{message}: uri={}", uri.escape_debug()))
        };
        let path = uri.strip_prefix(SCHEME).filter(|_| uri.len() <= URI_BYTES).ok_or_else(wrong)?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (list, name) = path.split_once('/').map_or((path, None), |(list, name)| (list, Some(name)));
        let list = LISTS.iter().find(|(own, ..)| *own == list).map(|(own, ..)| *own).ok_or_else(wrong)?;
        let name = name.map(|name| decoded(name).ok_or_else(wrong)).transpose()?;
        let mut asked = Self { list, name, at: Selector::Now, cursor: None, conversation: None };
        for (field, value) in pairs_of(query).ok_or_else(wrong)? {
            match field.as_str() {
                "at" => asked.at = value.parse()?,
                "cursor" => asked.cursor = Some(value),
                "conversation" => asked.conversation = Some(value),
                _ => return Err(wrong()),
            }
        }
        Ok(asked)
    }

    /// The URI of the page that begins with that cursor.
    fn next(&self, cursor: &str) -> String {
        let mut uri = format!("{SCHEME}{}?cursor={}", self.list, encoded(cursor));
        if self.at != Selector::Now {
            uri += &format!("&at={}", encoded(&self.at.to_string()));
        }
        if let Some(conversation) = &self.conversation {
            uri += &format!("&conversation={}", encoded(conversation));
        }
        uri
    }
}

async fn answer(call: &Call, asked: Asked) -> Outcome {
    let own = call.clone();
    call.look_through(move |store| {
        let part = Part { limit: ITEMS, cursor: asked.cursor.clone(), at: asked.at.clone() };
        if asked.list == "points" {
            return match &asked.name {
                Some(name) => {
                    let point = store.find_point(name.parse::<Selector>()?)?;
                    pages::value(point.ok_or_else(|| no_record(&asked))?)
                }
                None => paged(&asked, |limit| points::page(store, &part, limit)),
            };
        }
        let view = view_at(store, &asked.at)?;
        match &asked.name {
            Some(name) => {
                let mut record = view.record(asked.list, name)?.ok_or_else(|| no_record(&asked))?;
                if asked.list == "queue" {
                    own.rights().hide_token_in(&mut record);
                }
                shorten_fields(&mut record, tasks::LONG, ON_ITS_OWN);
                Ok(record)
            }
            None => paged(&asked, |limit| list(&view, &asked, &part, limit, &own)),
        }
    })
    .await
}

fn paged(asked: &Asked, read: impl Fn(usize) -> Result<Items>) -> Result<Value> {
    fitting(ITEMS, |limit| {
        let (mut items, next) = read(limit)?;
        for item in &mut items {
            shorten_fields(item, tasks::LONG, IN_LIST);
            shorten_fields(item, &["content", "value"], IN_LIST);
        }
        Ok(json!({ asked.list: items, "next": next.map(|next| asked.next(&next)) }))
    })
}

fn list(view: &View, asked: &Asked, part: &Part, limit: usize, call: &Call) -> Result<Items> {
    if asked.list == "chat" {
        let filter = ChatFilter { conversation: asked.conversation.clone(), bot: None };
        return talk::messages(view, &filter, part, true, limit);
    }
    let page = view.records_page(asked.list, "", part.cursor.as_deref(), limit)?;
    let shown = page.items.into_iter().map(|(key, mut value)| match asked.list {
        "config" => {
            let mut record = json!({ "key": key });
            record["value"] = value;
            record
        }
        _ => {
            call.rights().hide_token_in(&mut value);
            value
        }
    });
    Ok((shown.collect(), page.next))
}

fn no_record(asked: &Asked) -> Error {
    let name = asked.name.as_deref().unwrap_or_default().escape_debug();
    Error::new(ErrorKind::NotFound, format!("there is no such record: list={} name={name}", asked.list))
}

/// The text of a part of a URI; none if it is not UTF-8 or has an escape that is none.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The parameters of the query string of a URI that no request asks for; none if it is invalid.
fn pairs_of(query: &str) -> Option<Vec<(String, String)>> {
    let uri = format!("/?{query}").parse().ok()?;
    axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).ok().map(|pairs| pairs.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_list_or_a_record_now_or_as_of_a_point() {
        let asked = Asked::parse("hivekeep://queue/a%2Fb?at=latest~2").unwrap();
        assert_eq!((asked.list, asked.name.as_deref(), asked.at), ("queue", Some("a/b"), Selector::Latest(2)));
        let asked = Asked::parse("hivekeep://chat?conversation=a+b%26c&cursor=7").unwrap();
        assert_eq!((asked.conversation.as_deref(), asked.cursor.as_deref()), (Some("a b&c"), Some("7")));
        let next = Asked::parse(&asked.next("4")).unwrap();
        assert_eq!((next.conversation, next.cursor), (asked.conversation, Some("4".to_owned())));
    }

    #[test]
    fn a_uri_of_something_else_is_refused() {
        let long = format!("hivekeep://queue/{}", "a".repeat(4096));
        for uri in [
            "",
            "queue",
            "file:///etc/passwd",
            "hivekeep://",
            "hivekeep://keys",
            "hivekeep://queue/%zz",
            "hivekeep://queue/%f",
            "hivekeep://queue/%ff",
            "hivekeep://queue?to=now",
            "hivekeep://queue?at=yesterday",
            &long,
        ] {
            assert!(Asked::parse(uri).is_err(), "{uri}");
        }
    }
}
