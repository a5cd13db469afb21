//! The caller of a request, identified once for each request, and stored in its extensions and in those of the response.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};

use crate::face::http::app::App;
use crate::face::http::problem::Problem;
use crate::face::http::route::Needs;
use crate::service::keyring::{KeyHolder, KeyRing, NoHolder};
use crate::{BotId, Role};

/// The name of whoever shows the service's token.
const TOKEN_HOLDER: &str = "token";

/// The caller of a request. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::face) struct Caller(Arc<Asking>);

#[derive(Debug)]
struct Asking {
    key: Option<String>,
    role: Option<Role>,
    bot: Option<BotId>,
    address: Option<Address>,
    request_id: String,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::face) enum Address {
    /// A socket of the network.
    Tcp(SocketAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.ip().fmt(f),
        }
    }
}

impl Caller {
    /// Somebody who has proved nothing yet.
    pub(super) fn unknown(address: Option<Address>) -> Self {
        let request_id = uuid::Uuid::new_v4().to_string();
        Self(Arc::new(Asking { key: None, role: None, bot: None, address, request_id }))
    }

    fn with(&self, key: Option<String>, role: Role, bot: Option<BotId>) -> Self {
        let (address, request_id) = (self.0.address, self.0.request_id.clone());
        Self(Arc::new(Asking { key, role: Some(role), bot, address, request_id }))
    }

    /// The name of the key; none where the service asks for none, and where none was shown.
    pub(in crate::face) fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The role; none for somebody who has proved nothing. Where the service asks for no key, it is that of an admin.
    pub(in crate::face) fn role(&self) -> Option<Role> {
        self.0.role
    }

    /// The only bot that the caller acts as.
    pub(in crate::face) fn bot(&self) -> Option<&BotId> {
        self.0.bot.as_ref()
    }

    /// Where the request comes from.
    pub(in crate::face) fn address(&self) -> Option<Address> {
        self.0.address
    }

    /// The id of the request, which its response has too.
    pub(in crate::face) fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// Refuses a request for which the caller's role is too low.
    pub(super) fn refuse_unless(&self, needs: Needs) -> Result<(), Problem> {
        let Some(needed) = needs.role() else { return Ok(()) };
        match self.role() {
            Some(role) if role >= needed => Ok(()),
            Some(role) => {
                let key = self.key().unwrap_or_default();
                let detail = format!(
                    "this needs a key of the role {needed} or a higher one: key={key} role={role} needs={needed}"
                );
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
            }
            None => Err(unauthorized("show a key in a header: Authorization: Bearer KEY")),
        }
    }
}

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
    if app.live().token.as_ref().is_some_and(|token| token.is(shown)) {
        return Ok(caller.with(Some(TOKEN_HOLDER.to_owned()), Role::Admin, None));
    }
    let KeyHolder { name, role, bot } = holder(app, ring, shown)?;
    app.key_was_used(&name);
    Ok(caller.with(Some(name.as_str().to_owned()), role, bot))
}

/// The holder of the key that is shown.
fn holder(app: &App, ring: &KeyRing, shown: &[u8]) -> Result<KeyHolder, Problem> {
    let text = str::from_utf8(shown).unwrap_or_default();
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

/// The credentials of the scheme `Bearer`.
pub(super) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, shown) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| shown.trim_ascii())
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).with(header::WWW_AUTHENTICATE, "Bearer")
}
