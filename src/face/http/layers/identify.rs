//! Finds out who asks, by the key, the token or the session that a request shows.

use axum::http::{HeaderMap, Method, StatusCode, header};

use crate::face::http::admission::caller::{Caller, bearer, unauthorized};
use crate::face::http::admission::sessions::{self, Cookie, SignedIn};
use crate::face::http::app::App;
use crate::face::http::problem::Problem;
use crate::face::http::sockets::client::Client;
use crate::service::keyring::{HeldKey, KeyHolder, KeyRing, NoHolder};

/// The name of a caller that shows the service's token.
const TOKEN_HOLDER: &str = "token";

/// The method and headers of a request.
pub(in crate::face::http) struct Asked<'r> {
    pub(in crate::face::http) method: &'r Method,
    pub(in crate::face::http) headers: &'r HeaderMap,
}

/// Whether requests must show a key or the token.
pub(super) fn keys_are_asked_for(app: &App, ring: &KeyRing) -> bool {
    app.live().asks_always || app.live().token.is_some() || ring.is_used()
}

/// Finds out who asks. A request that shows nothing is of somebody unknown, and one that shows something wrong is
/// refused.
pub(in crate::face::http) fn identify(
    app: &App,
    ring: &KeyRing,
    caller: &Caller,
    request: &Asked<'_>,
) -> Result<Caller, Problem> {
    if !keys_are_asked_for(app, ring) {
        return Ok(caller.admin(None));
    }
    match shown(request.headers)? {
        Some(shown) => by_key(app, ring, caller, shown).map(|(caller, _)| caller),
        None => by_session(app, ring, caller, request),
    }
}

/// Finds the holder of a key or of the token, and the data that a session keeps of it, if keys are required.
pub(in crate::face::http) fn by_key(
    app: &App,
    ring: &KeyRing,
    caller: &Caller,
    shown: &[u8],
) -> Result<(Caller, Option<SignedIn>), Problem> {
    if !keys_are_asked_for(app, ring) {
        return Ok((caller.admin(None), None));
    }
    let text = str::from_utf8(shown).unwrap_or_default();
    let client = Client::of(caller.address());
    let claimed = (client, ring.claimed(text).map(|name| name.as_str().to_owned()));
    let may_guess = app.rates().may_show(&claimed);
    // A token may be a text that can be guessed, so it is not looked at while wrong ones wait.
    let looks = may_guess.is_ok() || app.rates().knows_token(client);
    if looks && app.live().token.as_ref().is_some_and(|token| token.is(shown)) {
        app.rates().token_was_right(client);
        return Ok((caller.admin(Some(TOKEN_HOLDER.to_owned())), Some(SignedIn::Token(blake3::hash(shown)))));
    }
    let holder = match holder(app, ring, text) {
        // The secret of a key cannot be guessed, so a right one never waits.
        Ok(holder) => holder,
        Err(problem) => {
            may_guess?;
            app.key_was_wrong(claimed, caller.address());
            return Err(problem);
        }
    };
    app.key_was_used(&holder.name);
    let held = HeldKey { name: holder.name.as_str().to_owned(), created_at: holder.created_at };
    Ok((caller.holding(holder), Some(SignedIn::Key(held))))
}

/// Finds out whose session the cookie of a request is of.
fn by_session(app: &App, ring: &KeyRing, caller: &Caller, request: &Asked<'_>) -> Result<Caller, Problem> {
    let session = match sessions::cookie(request.headers) {
        Cookie::None => return Ok(caller.clone()),
        Cookie::One(session) => session,
        Cookie::Several => return Err(unauthorized("the request has several cookies of a session; sign in again")),
    };
    let ended = || unauthorized("the session has ended; sign in again, or show a key: Authorization: Bearer KEY");
    let known = match app.sessions().find(&session, app.now()).ok_or_else(ended)? {
        SignedIn::Key(held) => ring.find(&held, app.now()).map(|holder| caller.holding(holder)),
        SignedIn::Token(hash) => {
            let is_same = app.live().token.as_ref().is_some_and(|token| token.hash() == hash);
            is_same.then(|| caller.admin(Some(TOKEN_HOLDER.to_owned())))
        }
    };
    let known = known.ok_or_else(ended)?;
    if !sessions::is_of_own_page(request.method, request.headers) {
        let detail =
            "a cookie changes something only for the service's own page; show a key: Authorization: Bearer KEY";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    Ok(known)
}

/// The holder of the key that is shown.
fn holder(app: &App, ring: &KeyRing, text: &str) -> Result<KeyHolder, Problem> {
    ring.holder(text, app.now()).map_err(|why| {
        unauthorized(match why {
            NoHolder::Unknown => "the key is not valid; show a valid one in a header: Authorization: Bearer KEY",
            NoHolder::Expired => "the key has expired; ask an admin for another one: hivekeep key add",
        })
    })
}

/// The credentials in the only header `Authorization`; none without it.
pub(in crate::face::http) fn shown(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(unauthorized("the request has several Authorization headers; send exactly one")),
        (Some(value), None) => bearer(value.as_bytes())
            .map(Some)
            .ok_or_else(|| unauthorized("the Authorization header is of another kind; send Authorization: Bearer KEY")),
    }
}
