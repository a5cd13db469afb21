//! Sessions that are silent, with a door to a store of the test.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::router::*;
use super::sessions::{Owner, SESSION, Session};
use crate::face::http::admission::rates::Who;
use crate::face::mcp::door::{Access, Boxed, Door, MakePoint, Rights, StoreWork};
use crate::face::mcp::refused_call::RefusedCall;
use crate::{ClaimOptions, NewTask, Role, Store, Task};

/// The way to a store, without a service.
struct Direct(Store);

impl Door for Direct {
    fn rights(&self) -> Rights {
        Rights { role: Role::Admin, bot: None, sees_tokens: true }
    }

    fn enter(&self, _access: Access, work: StoreWork) -> Boxed<Result<(), RefusedCall>> {
        let store = self.0.clone();
        Box::pin(async move { tokio::task::spawn_blocking(move || work(&store)).await.unwrap().map_err(Into::into) })
    }

    fn claim_options(&self) -> ClaimOptions {
        ClaimOptions::default()
    }

    fn place_to_wait(&self) -> Option<Box<dyn Send + Sync>> {
        None
    }

    fn admit_point(&self) -> Result<(), RefusedCall> {
        Ok(())
    }

    fn point_maker(&self) -> MakePoint {
        Box::new(|store, _| store.restore_point("test"))
    }

    fn was_refused(&self, _tool: &str) {}

    fn stops(&self) -> Boxed<()> {
        Box::pin(std::future::pending())
    }
}

/// Long enough for a slow machine to send a request within.
const SILENT: Duration = Duration::from_secs(10);
/// A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Client {
    _dir: tempfile::TempDir,
    store: Store,
    agents: Arc<Agents>,
    session: Option<String>,
}

impl Client {
    /// A client that has claimed the task `a`, with a lease of an hour, in a session of its own.
    async fn holding() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("h.redb")).unwrap();
        store.write(|tx| tx.queue().enqueue(NewTask::new(1).id("a".parse()?))).unwrap();
        let agents = Arc::new(Agents::new(SILENT));
        agents.attend(std::future::pending());
        let mut client = Self { _dir: dir, store, agents, session: None };
        client.begin().await;
        let params = json!({"name": "claim", "arguments": {"bot": "BOT-1", "lease_ms": 3_600_000}});
        let response = client.agents.service.handle(
            client.request("POST", json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})),
        );
        let body = axum::body::to_bytes(Body::new(response.await), usize::MAX).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains("lease_is_extended"), "{body:?}");
        assert_eq!(client.task().state.as_str(), "claimed");
        client
    }

    async fn begin(&mut self) {
        let params =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let request = self.request("POST", hello);
        let response = self.agents.begin(Owner::of_nobody(), request).await.unwrap();
        self.session = Some(response.headers()[SESSION].to_str().unwrap().to_owned());
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(self.agents.service.handle(self.request("POST", ready)).await.status(), 202);
    }

    fn request(&self, method: &str, body: Value) -> Request {
        let door: Arc<dyn Door> = Arc::new(Direct(self.store.clone()));
        let request = Request::builder()
            .method(method)
            .uri(PATH)
            .header(header::HOST, "localhost")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::CONTENT_TYPE, "application/json")
            .extension(door);
        let request = self.session.iter().fold(request, |request, id| request.header(SESSION, id));
        request.body(Body::from(body.to_string())).unwrap()
    }

    fn headers(&self) -> HeaderMap {
        self.request("POST", Value::Null).headers().clone()
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.agents.sessions.of(&self.headers(), &Owner::of_nobody())
    }

    fn task(&self) -> Task {
        self.store.view().unwrap().queue().get(&"a".parse().unwrap()).unwrap().unwrap()
    }

    /// Waits until the SDK has no session any more.
    async fn until_it_has_ended(&self) {
        let begun = std::time::Instant::now();
        while !self.agents.inner.sessions.read().await.is_empty() {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Owner {
    fn of_nobody() -> Self {
        Self { who: Who::Key("test".into()), bot: None }
    }
}

fn run(work: impl Future<Output = ()>) {
    Runtime::new().unwrap().block_on(work);
}

#[test]
fn a_session_that_is_silent_ends_and_its_claims_stay_until_their_leases_end() {
    run(async {
        let client = Client::holding().await;
        client.until_it_has_ended().await;
        // Time enough to give it back.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let task = client.task();
        assert_eq!((task.state.as_str(), task.attempts), ("claimed", 1));
        assert!(client.session().is_none());
    });
}

#[test]
fn a_session_whose_client_keeps_a_stream_open_is_not_silent() {
    run(async {
        let client = Client::holding().await;
        let stream = client.session().unwrap().stream().unwrap();
        tokio::time::sleep(SILENT * 2).await;
        assert!(client.session().is_some());
        drop(stream);
        client.until_it_has_ended().await;
    });
}

#[test]
fn a_session_that_its_client_ends_gives_its_claims_back() {
    run(async {
        let client = Client::holding().await;
        client.agents.sessions.end(&client.session().unwrap()).await;
        let task = client.task();
        assert_eq!((task.state.as_str(), task.attempts), ("ready", 0));
        assert!(client.session().is_none());
    });
}
