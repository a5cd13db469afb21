//! Finds out who asks, by the key or the token that a request shows.

use axum::http::{HeaderMap, header};

use crate::Role;
use crate::face::http::app::App;
use crate::face::http::caller::{Caller, bearer, unauthorized};
use crate::face::http::client::Client;
use crate::face::http::problem::Problem;
use crate::service::keyring::{KeyHolder, KeyRing, NoHolder};

/// The name of whoever shows the service's token.
const TOKEN_HOLDER: &str = "token";

/// Whether requests must show a key or the token.
pub(super) fn keys_are_asked_for(app: &App, ring: &KeyRing) -> bool {
    app.live().token.is_some() || ring.is_used()
}

/// Finds out who asks. A request that shows nothing is of somebody unknown, and one that shows something wrong is refused.
pub(super) fn identify(app: &App, ring: &KeyRing, caller: &Caller, headers: &HeaderMap) -> Result<Caller, Problem> {
    if !keys_are_asked_for(app, ring) {
        return Ok(caller.with(None, Role::Admin, None));
    }
    let Some(shown) = shown(headers)? else { return Ok(caller.clone()) };
    let text = str::from_utf8(shown).unwrap_or_default();
    let claimed = (Client::of(caller.address()), ring.claimed(text).map(|name| name.as_str().to_owned()));
    app.rates().may_show(&claimed)?;
    if app.live().token.as_ref().is_some_and(|token| token.is(shown)) {
        return Ok(caller.with(Some(TOKEN_HOLDER.to_owned()), Role::Admin, None));
    }
    let KeyHolder { name, role, bot } =
        holder(app, ring, text).inspect_err(|_| app.key_was_wrong(claimed, caller.address()))?;
    app.key_was_used(&name);
    Ok(caller.with(Some(name.as_str().to_owned()), role, bot))
}

/// The holder of the key that is shown.
fn holder(app: &App, ring: &KeyRing, text: &str) -> Result<KeyHolder, Problem> {
    ring.holder(text, app.instance().store().clock().now()).map_err(|why| {
        unauthorized(match why {
            NoHolder::Unknown => "that is no valid key; show one in a header: Authorization: Bearer KEY",
            NoHolder::Expired => "that key has expired; ask an admin for another one: hivekeep key add",
        })
    })
}

/// The credentials in the only header `Authorization`; none without it.
fn shown(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(unauthorized("the request has several Authorization headers; send exactly one")),
        (Some(value), None) => bearer(value.as_bytes())
            .map(Some)
            .ok_or_else(|| unauthorized("the Authorization header is of another kind; send Authorization: Bearer KEY")),
    }
}
