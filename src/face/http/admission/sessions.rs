//! Sessions of the page, in memory: signing in with a key gives a cookie, which is worth the key for twelve hours.
//!
//! A page cannot keep a key: whatever script runs in it could read it. The cookie is random, no script can read it
//! (`HttpOnly`), and no page of another site makes a browser send it (`SameSite=Strict`, and the checks of `access`).
//! Its name has the port, since browsers share cookies between the ports of a host.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::face::http::admission::authority::Authority;
use crate::service::keyring::{HeldKey, random_name};

/// How long a session lasts.
const LASTS: SignedDuration = SignedDuration::from_hours(12);
/// The most sessions at once. When there would be more, the oldest one ends.
const MOST: usize = 1_000;
/// The most sessions of one holder. When there would be more, the oldest one of that holder ends.
const MOST_OF_ONE: usize = 50;
/// The beginning of the cookie's name; the port follows.
const COOKIE: &str = "hivekeep_";
/// The characters of a session's name.
const NAME_CHARS: usize = 64;

/// The holder of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::face::http) enum SignedIn {
    /// The holder of a key of the store.
    Key(HeldKey),
    /// The holder of the service's token, by its hash, so that another token ends the session.
    Token(blake3::Hash),
}

#[derive(Debug)]
struct Session {
    by: SignedIn,
    ends: Timestamp,
}

/// The sessions, by the hash of their names, so that looking for one takes as long for every guess. The threads that
/// answer requests add and remove them.
#[derive(Debug, Default)]
pub(in crate::face::http) struct Sessions(Mutex<BTreeMap<[u8; 32], Session>>);

impl Sessions {
    /// Begins a session, and gives its name.
    pub(in crate::face::http) fn begin(&self, by: SignedIn, now: Timestamp) -> String {
        let name = random_name();
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| now < session.ends);
        let is_own = |session: &Session| session.by == by;
        let has_too_many = sessions.values().filter(|session| is_own(session)).count() >= MOST_OF_ONE;
        if has_too_many || sessions.len() >= MOST {
            let may_end = sessions.iter().filter(|(_, session)| !has_too_many || is_own(session));
            let oldest = may_end.min_by_key(|(_, session)| session.ends).map(|(hash, _)| *hash);
            if let Some(oldest) = oldest {
                sessions.remove(&oldest);
            }
        }
        let ends = now.saturating_add(LASTS).unwrap_or(Timestamp::MAX);
        sessions.insert(hash(&name), Session { by, ends });
        name
    }

    /// The holder of the session of that name, while it lasts.
    pub(in crate::face::http) fn find(&self, name: &str, now: Timestamp) -> Option<SignedIn> {
        let sessions = self.0.lock();
        sessions.get(&hash(name)).filter(|session| now < session.ends).map(|session| session.by.clone())
    }

    /// Ends a session.
    pub(in crate::face::http) fn end(&self, name: &str) {
        self.0.lock().remove(&hash(name));
    }
}

fn hash(name: &str) -> [u8; 32] {
    *blake3::hash(name.as_bytes()).as_bytes()
}

/// The cookies of a request that may be of a session: the values of the name with the port of its host.
pub(in crate::face::http) enum Cookie {
    /// There is none.
    None,
    /// There is one.
    One(String),
    /// There are several, of which one may be another site's.
    Several,
}

/// The cookie of a session in these headers.
pub(in crate::face::http) fn cookie(headers: &HeaderMap) -> Cookie {
    let name = cookie_name(headers);
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut own = pairs.flat_map(|text| values(text, &name));
    match (own.next(), own.next()) {
        (None, _) => Cookie::None,
        (Some(value), None) => Cookie::One(value.to_owned()),
        _ => Cookie::Several,
    }
}

/// The values of a cookie in the text of a header, `a=1; b=2`. A value that no session can have is passed over.
pub(in crate::face::http) fn values<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    text.split(';').filter_map(move |pair| pair.trim_matches([' ', '\t']).strip_prefix(name)?.strip_prefix('=')).filter(
        |value| {
            value.len() == NAME_CHARS
                && value.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        },
    )
}

/// The name of the cookie for the host that the request names.
fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(Authority::parse);
    format!("{COOKIE}{}", host.and_then(|host| host.port()).unwrap_or(80))
}

/// The header that gives a session to the browser. Over TLS the browser sends it over TLS only: other
/// services of the host may have none.
pub(in crate::face::http) fn given(headers: &HeaderMap, session: &str, is_tls: bool) -> (HeaderName, HeaderValue) {
    set(headers, session, LASTS.as_secs(), is_tls)
}

/// The header that takes it back.
pub(in crate::face::http) fn taken_back(headers: &HeaderMap, is_tls: bool) -> (HeaderName, HeaderValue) {
    set(headers, "", 0, is_tls)
}

fn set(headers: &HeaderMap, value: &str, seconds: i64, is_tls: bool) -> (HeaderName, HeaderValue) {
    let name = cookie_name(headers);
    let behind_tls = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let secure = if is_tls || behind_tls { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    // A port and hexadecimal digits are visible ASCII.
    (header::SET_COOKIE, HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("")))
}

/// Whether a request that shows only a cookie says that it is of the service's own page. Browsers say so of every
/// request that is no GET, and `access` has checked what they say.
pub(in crate::face::http) fn is_of_own_page(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
        || headers.contains_key(header::ORIGIN)
        || headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> SignedIn {
        SignedIn::Token(blake3::hash(b"t"))
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_session_lasts_twelve_hours_and_ends_with_its_sign_out() {
        let sessions = Sessions::default();
        let [one, other] = [(); 2].map(|()| sessions.begin(token(), time(0)));
        assert!(one != other && one.len() == NAME_CHARS);
        assert_eq!(sessions.find(&one, time(12 * 3600 - 1)), Some(token()));
        assert_eq!(sessions.find(&one, time(12 * 3600)), None);
        sessions.end(&one);
        assert_eq!((sessions.find(&one, time(0)), sessions.find(&other, time(0))), (None, Some(token())));
    }

    #[test]
    fn no_number_of_sessions_takes_more_memory_and_the_oldest_one_ends_first() {
        let sessions = Sessions::default();
        let first = sessions.begin(token(), time(0));
        let second = sessions.begin(token(), time(1));
        let holder = |number: usize| SignedIn::Token(blake3::hash(&number.to_be_bytes()));
        (0..MOST - 1).for_each(|number| drop(sessions.begin(holder(number), time(2))));
        assert_eq!((sessions.find(&first, time(3)), sessions.find(&second, time(3))), (None, Some(token())));
        assert_eq!(sessions.0.lock().len(), MOST);
    }

    #[test]
    fn a_holder_who_signs_in_without_end_ends_only_sessions_of_its_own() {
        let sessions = Sessions::default();
        let other = SignedIn::Token(blake3::hash(b"other"));
        let (theirs, own) = (sessions.begin(other.clone(), time(0)), sessions.begin(token(), time(1)));
        (0..2 * MOST).for_each(|_| drop(sessions.begin(token(), time(2))));
        assert_eq!((sessions.find(&theirs, time(3)), sessions.find(&own, time(3))), (Some(other), None));
        assert_eq!(sessions.0.lock().len(), MOST_OF_ONE + 1);
    }

    #[test]
    fn a_cookie_that_was_given_over_tls_is_sent_over_tls_only() {
        let text = |headers: &HeaderMap, is_tls| given(headers, "s", is_tls).1.to_str().unwrap().to_owned();
        assert!(!text(&headers(&[(header::ORIGIN, "http://a")]), false).contains("Secure"));
        assert!(text(&headers(&[]), true).ends_with("; SameSite=Strict; Secure"));
        assert!(
            text(&headers(&[(header::ORIGIN, "https://fleet.example")]), false).ends_with("; Secure"),
            "by a proxy"
        );
    }

    #[test]
    fn only_the_cookie_of_the_own_port_counts_and_two_of_them_are_none() {
        let name = "a".repeat(NAME_CHARS);
        let of = |cookies: &[&str]| {
            let pairs: Vec<_> = cookies.iter().map(|text| (header::COOKIE, *text)).collect();
            let mut all = headers(&[(header::HOST, "localhost:8001")]);
            for (key, text) in pairs {
                all.append(key, HeaderValue::from_str(text).unwrap());
            }
            match cookie(&all) {
                Cookie::None => 0,
                Cookie::One(value) => {
                    assert_eq!(value, name);
                    1
                }
                Cookie::Several => 2,
            }
        };
        let own = format!("hivekeep_8001={name}");
        for one in
            [own.clone(), format!("a=b; {own};c=d"), format!("x; {own}"), format!(" {own} ; hivekeep_8001=short")]
        {
            assert_eq!(of(&[&one]), 1, "{one}");
        }
        for none in
            [format!("hivekeep_8002={name}"), format!("x{own}"), format!("hivekeep_8001 ={name}"), own.to_uppercase()]
        {
            assert_eq!(of(&[&none]), 0, "{none}");
        }
        assert_eq!(of(&[&format!("{own}; {own}")]), 2);
        assert_eq!(of(&[&own, &own]), 2);
    }
}
