//! `/mcp`: the tools of agents over HTTP, by the official SDK of the Model Context Protocol.
//!
//! A request passes the layers of every other one first: hosts and origins, the key, rates, and the memory for bodies. Each
//! tool then has a role of its own, and acts with the key of the very request. A session belongs to the key that began it.

use std::collections::HashMap;
use std::sync::{Arc, Once};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use parking_lot::Mutex;
use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage, ProtocolVersion};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;

use crate::Role;
use crate::face::http::app::App;
use crate::face::http::body::bytes;
use crate::face::http::caller::Caller;
use crate::face::http::memory::Charge;
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::rates::Who;
use crate::face::mcp::agent_session::{AgentSession, FindDoor};
use crate::face::mcp::door::{Access, Boxed, Door, MakePoint, Rights, Work};
use crate::face::mcp::message::{MESSAGE_BYTES, parsed};
use crate::face::mcp::refused_call::{self, RefusedCall};
use crate::{BotId, ClaimOptions};

/// The path.
pub(super) const PATH: &str = "/mcp";
/// The sessions of all agents, and of one key or client.
const SESSIONS: usize = 256;
const SESSIONS_OF_ONE: usize = 8;
/// A session ends when it is silent for so long, and its claims go back.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// The memory that the values of a message are charged with, for each byte of its text.
const VALUES: usize = 32;
/// The header that names a session.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Adds the route.
pub(super) fn add(routes: Router<App>) -> Router<App> {
    let agents = Arc::new(Agents::new());
    routes.route(PATH, any(move |app: App, request: Request| handle(agents.clone(), app, request)))
}

/// The agents that use the service.
struct Agents {
    service: StreamableHttpService<AgentSession, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
    /// The owner of each session.
    owners: Mutex<HashMap<String, Owner>>,
    /// Sessions begin one after the other, so that they can be counted.
    begins: tokio::sync::Mutex<()>,
    stops: Once,
}

/// The key and the bot of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    who: Who,
    bot: Option<BotId>,
}

impl Owner {
    fn of(app: &App) -> Self {
        Self { who: app.who(), bot: app.own_bot() }
    }
}

impl Agents {
    fn new() -> Self {
        let mut config = SessionConfig::default();
        config.keep_alive = Some(IDLE);
        let mut sessions = LocalSessionManager::default();
        sessions.session_config = config;
        let sessions = Arc::new(sessions);
        // Hosts, origins and the length of bodies were looked at before.
        let config =
            StreamableHttpServerConfig::default().disable_allowed_hosts().with_max_request_body_bytes(usize::MAX);
        let find: FindDoor = Arc::new(door_of);
        let service = StreamableHttpService::new(move || Ok(AgentSession::new(find.clone())), sessions.clone(), config);
        Self { service, sessions, owners: Mutex::default(), begins: tokio::sync::Mutex::default(), stops: Once::new() }
    }

    /// Ends all sessions when the service stops.
    fn end_with(&self, app: &App) {
        self.stops.call_once(|| {
            let (app, token) = (app.clone(), self.service.config.cancellation_token.clone());
            tokio::spawn(async move {
                app.stops().await;
                token.cancel();
            });
        });
    }

    /// Refuses a session of somebody else as if there were none.
    fn refuse_unless_own(&self, headers: &HeaderMap, owner: &Owner) -> Result<(), Problem> {
        let Some(id) = headers.get(SESSION) else { return Ok(()) };
        let owners = self.owners.lock();
        let is_own = id.to_str().ok().and_then(|id| owners.get(id)).is_some_and(|own| own == owner);
        let detail = "there is no such session, or it has ended; begin another one: initialize";
        if is_own { Ok(()) } else { Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail)) }
    }

    /// Begins a session, if there is room for one.
    async fn begin(&self, owner: Owner, request: Request) -> Answer {
        let _one_at_a_time = self.begins.lock().await;
        {
            let open = self.sessions.sessions.read().await;
            let mut owners = self.owners.lock();
            owners.retain(|id, _| open.contains_key(id.as_str()));
            let own = owners.values().filter(|other| other.who == owner.who).count();
            if owners.len() >= SESSIONS || own >= SESSIONS_OF_ONE {
                return Err(too_many(own));
            }
        }
        let response = self.service.handle(request).await;
        if let Some(id) = response.headers().get(SESSION).and_then(|id| id.to_str().ok()) {
            self.owners.lock().insert(id.to_owned(), owner);
        }
        Ok(response.map(Body::new))
    }
}

fn too_many(own: usize) -> Problem {
    let detail = format!(
        "too many sessions are open; end one, or retry when one has ended by itself: own={own} limit={SESSIONS_OF_ONE} \
         limit_of_all={SESSIONS}"
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with(header::RETRY_AFTER, "60")
}

async fn handle(agents: Arc<Agents>, app: App, request: Request) -> Answer {
    let owner = Owner::of(&app);
    if ![Method::GET, Method::POST, Method::DELETE].contains(request.method()) {
        let detail = format!("method not allowed: method={} path={PATH}", request.method());
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail));
    }
    agents.end_with(&app);
    agents.refuse_unless_own(request.headers(), &owner)?;
    let (mut parts, body) = request.into_parts();
    let (body, begins) = match parts.method {
        Method::POST => match message(&app, Request::new(body)).await {
            Ok(message) => message,
            Err(response) => return Ok(response),
        },
        _ => (Vec::new(), false),
    };
    // The SDK has no use for them.
    [header::AUTHORIZATION, header::COOKIE].iter().for_each(|name| drop(parts.headers.remove(name)));
    parts.extensions.clear();
    parts.extensions.insert::<Arc<dyn Door>>(Arc::new(app));
    let has_session = parts.headers.contains_key(SESSION);
    let request = Request::from_parts(parts, Body::from(body));
    if begins && !has_session {
        return agents.begin(owner, request).await;
    }
    Ok(agents.service.handle(request).await.map(Body::new))
}

/// The body of a request once it is a message, and whether that begins a session.
async fn message(app: &App, request: Request) -> Result<(Vec<u8>, bool), Response> {
    let charge = Charge::current(app.memory());
    let body = bytes(request, app, &charge).await.map_err(Problem::into_response)?;
    if body.len() > MESSAGE_BYTES {
        let detail = format!(
            "the message is too long; pass long values through the routes of the service: limit_bytes={MESSAGE_BYTES}"
        );
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail).into_response());
    }
    // Its values take more memory than its text.
    charge.take(body.len().saturating_mul(VALUES)).map_err(Problem::into_response)?;
    let (body, found) = app
        .beside(move || {
            let found = parsed(&body).map(|message| begins_a_session(&message));
            (body, found)
        })
        .await
        .map_err(Problem::into_response)?;
    found.map(|begins| (body, begins)).map_err(|answer: Value| {
        (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
    })
}

fn begins_a_session(message: &ClientJsonRpcMessage) -> bool {
    let JsonRpcMessage::Request(request) = message else { return false };
    matches!(request.request, ClientRequest::InitializeRequest(_))
}

/// The way to the store of a request, and whether its session lives on when it is answered: since its version of 2026-07-28
/// the protocol has no sessions.
fn door_of(context: &RequestContext<RoleServer>) -> Option<(Arc<dyn Door>, bool)> {
    let parts = context.extensions.get::<Parts>()?;
    let door: &Arc<dyn Door> = parts.extensions.get()?;
    let version = parts.headers.get(VERSION).and_then(|version| version.to_str().ok()).unwrap_or_default();
    let has_sessions = version < ProtocolVersion::V_2026_07_28.as_str() && context.meta.protocol_version().is_none();
    Some((door.clone(), has_sessions && parts.headers.contains_key(SESSION)))
}

impl Door for App {
    fn rights(&self) -> Rights {
        let role = self.caller().and_then(Caller::role).unwrap_or(Role::Reader);
        let asks_for_keys = self.caller().is_none_or(|caller| caller.key().is_some());
        Rights { role, bot: self.own_bot(), sees_tokens: !asks_for_keys }
    }

    fn enter(&self, access: Access, work: Work) -> Boxed<Result<(), RefusedCall>> {
        let app = self.clone();
        Box::pin(async move {
            let (actor, next) = (app.caller().map(|caller| caller.actor().way("mcp")), Arc::new(Mutex::new(None)));
            let told = next.clone();
            let work = move |store: &crate::Store| {
                let own = actor.map_or_else(|| store.clone(), |actor| store.acting_as(actor));
                work(&own).inspect_err(|error| *told.lock() = Some(refused_call::next_step(error)))
            };
            let done = match access {
                Access::Reads => app.read(work).await,
                Access::LooksThrough => app.show(work).await,
                Access::Changes => app.change(work).await,
            };
            done.map_err(|problem| {
                let next = next.lock().unwrap_or("repeat the call later");
                RefusedCall::new(problem.kind(), problem.detail(), next)
            })
        })
    }

    fn claim_options(&self) -> ClaimOptions {
        self.instance().claim_options()
    }

    fn place_to_wait(&self) -> Option<Box<dyn Send + Sync>> {
        let place = self.connections().to_wait()?;
        Some(Box::new(place))
    }

    fn admit_point(&self) -> Result<(), RefusedCall> {
        let next = "make fewer points; a later one holds all changes too";
        Self::admit_point(self).map_err(|problem| RefusedCall::new(problem.kind(), problem.detail(), next))
    }

    fn point_maker(&self) -> MakePoint {
        let instance = self.instance().clone();
        Box::new(move |store, request| instance.make_point(store, request))
    }

    fn was_refused(&self, tool: &str) {
        if let Some(caller) = self.caller() {
            Self::was_refused(self, caller, format!("mcp {tool}"), StatusCode::FORBIDDEN);
        }
    }

    fn stops(&self) -> Boxed<()> {
        let app = self.clone();
        Box::pin(async move { Self::stops(&app).await })
    }
}
