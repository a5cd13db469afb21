//! The router of `/mcp`, and the limits of messages and streams.

use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use parking_lot::Mutex;
use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage, ProtocolVersion};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;

use super::sessions::{Owner, SESSION, SESSIONS, SESSIONS_OF_ONE, STREAMS_OF_ONE, Session, Sessions};
use super::way::Way;
use crate::face::http::app::App;
use crate::face::http::bodies::body::bytes;
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::sockets::memory::{Charge, Holding};
use crate::face::mcp::agent_session::{AgentSession, FindDoor};
use crate::face::mcp::door::Door;
use crate::face::mcp::leases::Leases;
use crate::face::mcp::message::{MESSAGE_BYTES, parsed};

/// The path.
pub(in crate::face::http) const PATH: &str = "/mcp";
/// A session without a stream of events ends when its client has been silent for this long.
const SILENCE: Duration = Duration::from_secs(15 * 60);
/// How often silent sessions are looked for within that time.
const LOOKS: u32 = 15;
/// The memory that the values of a message are charged with, for each byte of its text.
const VALUES: usize = 32;
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

tokio::task_local! {
    /// The leases of the session that the SDK makes for a request.
    static MADE: Mutex<Weak<Leases>>;
}

/// Adds the route.
pub(in crate::face::http) fn add(routes: Router<App>) -> Router<App> {
    let agents = Arc::new(Agents::new(SILENCE));
    routes.route(PATH, any(move |app: App, request: Request| handle(agents.clone(), app, request)))
}

/// The agents that use the service.
pub(super) struct Agents {
    pub(super) service: StreamableHttpService<AgentSession, LocalSessionManager>,
    /// The sessions as the SDK has them, and as they are known here.
    pub(super) inner: Arc<LocalSessionManager>,
    pub(super) sessions: Sessions,
    pub(super) silence: Duration,
    /// Sessions begin one after the other, so that they can be counted.
    begins: tokio::sync::Mutex<()>,
    attended: Once,
}

impl Agents {
    pub(super) fn new(silence: Duration) -> Self {
        let mut config = SessionConfig::default();
        config.keep_alive = None;
        let mut inner = LocalSessionManager::default();
        inner.session_config = config;
        let inner = Arc::new(inner);
        // Hosts, origins and the length of bodies were looked at before.
        let config =
            StreamableHttpServerConfig::default().disable_allowed_hosts().with_max_request_body_bytes(usize::MAX);
        let find: FindDoor = Arc::new(door_of);
        let make = move || {
            let session = AgentSession::new(find.clone());
            // Outside of a request that begins a session nobody asks.
            let _asked = MADE.try_with(|made| *made.lock() = Arc::downgrade(session.leases()));
            Ok(session)
        };
        let service = StreamableHttpService::new(make, inner.clone(), config);
        let (sessions, begins) = (Sessions::default(), tokio::sync::Mutex::default());
        Self { service, inner, sessions, silence, begins, attended: Once::new() }
    }

    /// Ends silent sessions, and all of them when the service stops.
    pub(super) fn attend(self: &Arc<Self>, stops: impl Future<Output = ()> + Send + 'static) {
        self.attended.call_once(|| {
            let agents = self.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stops => {}
                    () = agents.end_silent() => {}
                }
                agents.service.config.cancellation_token.cancel();
            });
        });
    }

    async fn end_silent(&self) {
        loop {
            tokio::time::sleep(self.silence / LOOKS).await;
            for id in self.sessions.take_silent(self.silence) {
                // One that has ended needs no end.
                drop(self.inner.close_session(&id.into()).await);
            }
        }
    }

    /// The session of a request, if it names one. That of somebody else is refused as if there were none.
    pub(super) fn session(&self, request: &Request, owner: &Owner) -> Answer<Option<Arc<Session>>> {
        if !request.headers().contains_key(SESSION) {
            return Ok(None);
        }
        let detail = "there is no such session, or it has ended; begin another one: initialize";
        let missing = || Problem::new(StatusCode::NOT_FOUND, "not_found", detail);
        self.sessions.of(request.headers(), owner).map(Some).ok_or_else(missing)
    }

    /// Begins a session, if there is room for one.
    pub(super) async fn begin(&self, owner: Owner, request: Request) -> Answer {
        let _one_at_a_time = self.begins.lock().await;
        {
            let open = self.inner.sessions.read().await;
            let (all, own) = self.sessions.count(|id| open.contains_key(id), &owner.who);
            if all >= SESSIONS || own >= SESSIONS_OF_ONE {
                return Err(too_many(own));
            }
        }
        let begun = async {
            let response = self.service.handle(request).await;
            (response, MADE.with(|made| made.lock().clone()))
        };
        let (response, leases) = MADE.scope(Mutex::default(), begun).await;
        if let Some(id) = response.headers().get(SESSION).and_then(|id| id.to_str().ok()) {
            self.sessions.add(id, owner, leases);
        }
        Ok(response.map(Body::new))
    }

    /// Begins a stream of events, if there is room for one. It counts as one that waits.
    pub(super) async fn stream(&self, app: &App, session: &Arc<Session>, request: Request) -> Answer {
        let stream = session.stream().ok_or_else(too_many_streams)?;
        let place = app.connections().to_wait().ok_or_else(all_wait)?;
        let response = self.service.handle(request).await;
        Ok(response.map(|body| Holding::body(Body::new(body), (stream, place))))
    }
}

fn too_many(own: usize) -> Problem {
    let detail = format!(
        "too many sessions are open; end one, or retry when one has ended by itself: own={own} limit={SESSIONS_OF_ONE} \
         limit_of_all={SESSIONS}"
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with(header::RETRY_AFTER, "60")
}

fn too_many_streams() -> Problem {
    let detail = format!("the session has its streams of events; close one first: limit={STREAMS_OF_ONE}");
    Problem::new(StatusCode::CONFLICT, "conflict", detail)
}

fn all_wait() -> Problem {
    let detail = "too many calls are waiting already; retry later, or work without a stream of events";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with(header::RETRY_AFTER, "10")
}

pub(super) async fn handle(agents: Arc<Agents>, app: App, request: Request) -> Answer {
    let owner = Owner::of(&app);
    if ![Method::GET, Method::POST, Method::DELETE].contains(request.method()) {
        let detail = format!("method not allowed: method={} path={PATH}", request.method());
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail));
    }
    let stopping = app.clone();
    agents.attend(async move { stopping.stops().await });
    let session = agents.session(&request, &owner)?;
    let (mut parts, body) = request.into_parts();
    let message = match parts.method {
        Method::POST => match message(&app, Request::new(body)).await {
            Ok(message) => message,
            Err(response) => return Ok(response),
        },
        _ => Message { text: Vec::new(), begins: false, charge: None },
    };
    // The SDK has no use for them.
    [header::AUTHORIZATION, header::COOKIE].iter().for_each(|name| drop(parts.headers.remove(name)));
    parts.extensions.clear();
    let way = Way::new(app.clone(), message.charge, agents.sessions.places_to_wait(&owner.who));
    parts.extensions.insert::<Arc<dyn Door>>(Arc::new(way));
    let method = parts.method.clone();
    let request = Request::from_parts(parts, Body::from(message.text));
    match session {
        None if message.begins => return agents.begin(owner, request).await,
        Some(session) if method == Method::GET => return agents.stream(&app, &session, request).await,
        Some(session) if method == Method::DELETE => agents.sessions.end(&session).await,
        _ => {}
    }
    Ok(agents.service.handle(request).await.map(Body::new))
}

/// The body of a request.
struct Message {
    text: Vec<u8>,
    /// Whether it begins a session.
    begins: bool,
    pub(super) charge: Option<Charge>,
}

/// Reads the body of a request, which must be a message.
async fn message(app: &App, request: Request) -> Result<Message, Response> {
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
    let (text, found) = app
        .beside(move || {
            let found = parsed(&body).map(|message| begins_a_session(&message));
            (body, found)
        })
        .await
        .map_err(Problem::into_response)?;
    found.map(|begins| Message { text, begins, charge: Some(charge) }).map_err(|answer: Value| {
        (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
    })
}

fn begins_a_session(message: &ClientJsonRpcMessage) -> bool {
    let JsonRpcMessage::Request(request) = message else { return false };
    matches!(request.request, ClientRequest::InitializeRequest(_))
}

/// The way to the store of a request, and whether its session lives on when it is answered: since its version of
/// 2026-07-28 the protocol has no sessions.
fn door_of(context: &RequestContext<RoleServer>) -> Option<(Arc<dyn Door>, bool)> {
    let parts = context.extensions.get::<Parts>()?;
    let door: &Arc<dyn Door> = parts.extensions.get()?;
    let version = parts.headers.get(VERSION).and_then(|version| version.to_str().ok()).unwrap_or_default();
    let has_sessions = version < ProtocolVersion::V_2026_07_28.as_str() && context.meta.protocol_version().is_none();
    Some((door.clone(), has_sessions && parts.headers.contains_key(SESSION)))
}
