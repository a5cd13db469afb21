//! The service without its sockets, for the fuzzer: whatever is asked, the answer is what was asked for,
//! or a problem that says why not.
#![expect(clippy::unwrap_used, reason = "the fuzzer stops at what it does not expect")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::ExportOptions;
use crate::face::http::admission::access::Access;
use crate::face::http::admission::band::Band;
use crate::face::http::admission::caller::bearer;
use crate::face::http::admission::rates::RateLimits;
use crate::face::http::admission::sessions::{Cookie, cookie, values};
use crate::face::http::app::{App, Limits, Live};
use crate::face::http::sockets::connection_limit::ConnectionLimit;
use crate::face::http::{openapi, routes};
use crate::service::instance::Instance;
use crate::service::keyring::{KeyRing, NoHolder};
use crate::service::setup::Setup;

/// After this many requests the store is made again, so that it stays small.
const REQUESTS: u32 = 256;
/// The longest body that is read, in bytes.
const BODY: usize = 1 << 20;

/// The one that is asked, made when it is first needed.
static INSIDE: Mutex<Option<Inside>> = Mutex::new(None);

/// Tells the folders of one process apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

struct Inside {
    runtime: Runtime,
    router: axum::Router,
    folder: Folder,
    answered: u32,
}

/// A temporary folder, which is removed with its files.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Asks, and looks at the answer. The first line is the method and the target, the rest the body.
pub(crate) fn request(data: &[u8]) {
    let (line, body) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let Some((method, target)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else { return };
    let body = body.strip_prefix(b"\n").unwrap_or_default().to_vec();
    // hyper refuses an invalid method before it reaches the service.
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let Ok(request) =
        Request::builder().method(method).uri(target).header(header::HOST, "localhost").body(Body::from(body))
    else {
        return;
    };
    let mut held = INSIDE.lock();
    let worn = held.take_if(|inside| inside.answered >= REQUESTS);
    drop(worn);
    held.get_or_insert_with(Inside::new).ask(request);
}

/// Reads the credentials of a request in any bytes.
pub(crate) fn credentials(data: &[u8]) {
    if let Some(shown) = bearer(data) {
        assert!(data.windows(shown.len().max(1)).any(|part| part == shown) || shown.is_empty());
    }
    let Ok(text) = str::from_utf8(data) else { return };
    for value in values(text, "hivekeep_80") {
        assert!(value.len() == 64 && text.contains(&format!("hivekeep_80={value}")), "{text}");
    }
    assert_eq!(KeyRing::default().holder(text, jiff::Timestamp::MIN), Err(NoHolder::Unknown));
    let mut headers = HeaderMap::new();
    for (name, value) in [(header::HOST, &b"localhost"[..]), (header::COOKIE, data), (header::AUTHORIZATION, data)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    if let Cookie::One(session) = cookie(&headers) {
        assert!(text.contains(&session));
    }
}

impl Inside {
    fn new() -> Self {
        let folder = Folder(std::env::temp_dir().join(format!(
            "hivekeep-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        )));
        std::fs::create_dir(&folder.0).unwrap();
        let instance = Instance::open(&folder.0.join("h.redb"), setup()).unwrap();
        // It is about to stop, so that nobody waits for a task.
        let (_, stopping) = watch::channel(true);
        let limits = Limits { body_bytes: BODY, memory_bytes: 256 << 20, silence: Duration::from_secs(1) };
        let router = routes::router(App::new(
            Arc::new(instance),
            Live {
                token: None,
                access: Access::default(),
                limits,
                rates: RateLimits::default(),
                asks_always: false,
                tls: None,
                band: Band::default(),
                settings: BTreeMap::new(),
            },
            stopping,
            ConnectionLimit::new(4),
            openapi::document(routes::all()),
        ));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, router, folder, answered: 0 }
    }

    fn ask(&mut self, request: Request<Body>) {
        self.answered += 1;
        let asked = format!("{} {}", request.method(), request.uri());
        let service = TowerToHyperService::new(self.router.clone());
        let (head, body) = self.runtime.block_on(async {
            let Ok(response) = service.call(request).await;
            let (head, body) = response.into_parts();
            (Response::from_parts(head, ()), to_bytes(body, usize::MAX).await.unwrap())
        });
        self.judge(&asked, &head, &body);
    }

    fn judge(&self, asked: &str, head: &Response<()>, body: &Bytes) {
        let (status, text) = (head.status(), String::from_utf8_lossy(body));
        assert!(!status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE, "{asked}: {status} {text}");
        if status.is_client_error() {
            let kind = head.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            assert_eq!(kind, Some("application/problem+json"), "{asked}: {status} {text}");
            if asked.starts_with("HEAD ") {
                assert!(body.is_empty(), "{asked}: an answer to HEAD has a body");
                return;
            }
            let problem: Value = serde_json::from_slice(body).unwrap();
            assert_eq!((&problem["status"], &problem["success"]), (&status.as_u16().into(), &false.into()), "{asked}");
            let place = self.folder.0.to_string_lossy();
            assert!(!text.contains(&*place), "{asked}: the answer tells a path: {text}");
        }
    }
}

/// Nothing works by itself, so that the same input always meets the same state.
fn setup() -> Setup {
    Setup {
        sharing: crate::Sharing::Shared,
        durability: crate::Durability::Disk,
        backup_interval: None,
        policy: Some(None),
        purge_finished: None,
        priority_aging: None,
        history: None,
        stale_mark: None,
        event_log: None,
        reopen_timeout: None,
        on_failure: None,
        failure_url: None,
        min_free: 0,
        archive_every: None,
        archive_dir: None,
        archive_must_exist: false,
        replica: None,
        archive_sealed: ExportOptions::new(),
    }
}
