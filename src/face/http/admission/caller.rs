//! The caller of a request, identified once for each request, and stored in its extensions and in those of the
//! response.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use serde_json::Value;

use crate::face::http::admission::rates::Who;
use crate::face::http::problem::Problem;
use crate::face::http::sockets::client::{Address, Client};
use crate::face::wire::task::hide_tokens;
use crate::service::keyring::{HeldKey, KeyHolder};
use crate::{Actor, BotId, Role, Task, Token};

/// The actor where the service asks for no key.
const NOBODY: &str = "http";

/// The actor who has shown no valid key, where the service asks for one.
const UNKNOWN: &str = "unknown";

/// The caller of a request. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::face) struct Caller(Arc<Asking>);

#[derive(Debug)]
struct Asking {
    key: Option<String>,
    role: Option<Role>,
    bot: Option<BotId>,
    /// The key of the store, which each write looks for again.
    held: Option<HeldKey>,
    address: Option<Address>,
    request_id: String,
}

impl Caller {
    /// Somebody who has proved nothing yet.
    pub(in crate::face::http) fn unknown(address: Option<Address>) -> Self {
        let request_id = uuid::Uuid::new_v4().to_string();
        Self(Arc::new(Asking { key: None, role: None, bot: None, held: None, address, request_id }))
    }

    /// The same caller as an admin, by the token or because nobody is asked for a key.
    pub(in crate::face::http) fn admin(&self, key: Option<String>) -> Self {
        let (address, request_id) = (self.0.address, self.0.request_id.clone());
        Self(Arc::new(Asking { key, role: Some(Role::Admin), bot: None, held: None, address, request_id }))
    }

    /// The same caller as the holder of a key.
    pub(in crate::face::http) fn holding(&self, KeyHolder { name, role, bot, created_at }: KeyHolder) -> Self {
        let (address, request_id) = (self.0.address, self.0.request_id.clone());
        let (key, role) = (Some(name.as_str().to_owned()), Some(role));
        let held = Some(HeldKey { name: name.as_str().to_owned(), created_at });
        Self(Arc::new(Asking { key, role, bot, held, address, request_id }))
    }

    /// The actor of the changes that the caller asks for.
    pub(in crate::face::http) fn actor(&self) -> Actor {
        let name = self.key().unwrap_or(if self.role().is_some() { NOBODY } else { UNKNOWN });
        let mut actor = Actor::new(name).request_id(self.request_id());
        if let Some(bot) = self.bot() {
            actor = actor.as_bot(bot.as_str());
        }
        if let Some(address) = self.address() {
            actor = actor.address(address.to_string());
        }
        match &self.0.held {
            Some(held) => actor.by_key(held.clone()),
            None => actor,
        }
    }

    /// Hides the token of the claim from everybody but its holder. Where the service asks for no key, everybody is.
    pub(in crate::face::http) fn hide_token(&self, task: &mut Task) {
        let is_own = |bot: &BotId| self.key().is_none() || self.bot() == Some(bot);
        if let Some(holder) = task.holder.as_mut().filter(|holder| !is_own(&holder.bot)) {
            holder.token = Token::HIDDEN;
        }
    }

    /// The same in the value of a record, or in a part of a document with that path.
    pub(in crate::face::http) fn hide_tokens(&self, collection: &str, part: Option<&str>, value: &mut Value) {
        let sees_documents = self.key().is_none() || self.role() >= Some(Role::Operator);
        hide_tokens((collection, part), value, self.key().is_none(), self.bot(), sees_documents);
    }

    /// The name of the key; none where the service asks for none, and where none was shown.
    pub(in crate::face) fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Whose rates the request counts towards.
    pub(in crate::face::http) fn who(&self) -> Who {
        self.key().map_or_else(|| Who::Client(Client::of(self.address())), |key| Who::Key(key.to_owned()))
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

    /// Refuses a request for which the caller's role is too low. One that needs none is let through.
    pub(in crate::face::http) fn refuse_unless(&self, needed: Option<Role>) -> Result<(), Problem> {
        let Some(needed) = needed else { return Ok(()) };
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

/// The credentials of the scheme `Bearer`.
pub(in crate::face::http) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, shown) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| shown.trim_ascii())
}

pub(in crate::face::http) fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).with(header::WWW_AUTHENTICATE, "Bearer")
}
