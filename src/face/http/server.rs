//! Accepts connections up to a limit, times out slow clients, and drains the connections at shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use crate::Result;
use crate::face::http::app::{App, Live, told};
use crate::face::http::layers::date;
use crate::face::http::problem::Problem;
use crate::face::http::sockets::client::{Address, Client};
use crate::face::http::sockets::connection_limit::ConnectionLimit;
use crate::face::http::sockets::connection_slots::{HEAD_WITHIN, Slot};
use crate::face::http::sockets::listen::{Accepting, Listener};
use crate::face::http::sockets::memory::Holding;
use crate::face::http::sockets::peer::Peer;
use crate::face::http::sockets::stream::Stream;
use crate::face::http::sockets::tls::Tls;
use crate::face::http::{openapi, routes};
use crate::face::signals::{HangUp, Signals};
use crate::service::instance::Instance;

/// Maximum number of headers of a request.
const HEADERS: usize = 100;
/// Maximum length of the head of a request, in bytes.
const HEAD_BYTES: usize = 64 << 10;
/// Timeout for requests in progress at shutdown.
const DRAIN: Duration = Duration::from_secs(20);
/// Interval between checks whether the service must end by itself.
const END_LOOK: Duration = Duration::from_millis(200);
/// Delay after a failed accept, such as with too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The service, and the settings that its requests are checked against.
pub(in crate::face) struct Served {
    pub(in crate::face) instance: Arc<Instance>,
    pub(in crate::face) live: Live,
    /// Reloads the settings.
    pub(in crate::face) renew: Renew,
}

/// Reloads the settings and returns those for requests. On failure everything stays as it was.
pub(in crate::face) type Renew = Arc<dyn Fn(&Instance) -> Result<Live> + Send + Sync>;

/// A service before it serves. It registers the signals to stop and to reload first, so that none is lost meanwhile.
pub(in crate::face) struct Service {
    runtime: tokio::runtime::Runtime,
    signals: Signals,
}

impl Service {
    /// Registers the signals.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(in crate::face) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let entered = runtime.enter();
        let signals = Signals::note()?;
        drop(entered);
        Ok(Self { runtime, signals })
    }

    /// Serves until the process is told to stop, then drains the requests in progress.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(in crate::face) fn serve(self, served: Served, listener: Listener) -> Result<()> {
        let Self { runtime, signals: Signals { stop, hang_up } } = self;
        let done = runtime.block_on(async {
            let listener = listener.accepting()?;
            let (tell, stopping) = watch::channel(false);
            let connection_limit = ConnectionLimit::of_this_process();
            let instance = served.instance.clone();
            let description = openapi::document(routes::all());
            let app = App::new(served.instance, served.live, stopping.clone(), connection_limit.clone(), description);
            let serving = Serving { router: routes::router(app.clone()), app: app.clone(), stopping };
            let renewing = tokio::spawn(renew_when_told(app, served.renew, hang_up));
            let mut connections = JoinSet::new();
            tokio::select! {
                () = accept(&listener, &connection_limit, &serving, &mut connections) => {}
                () = stop.told() => {}
                () = end(&instance) => {}
            }
            listener.end();
            let _nobody_left = tell.send(true);
            drain(connections, renewing).await;
            Ok(())
        });
        // Clients that do not read are not waited for.
        runtime.shutdown_timeout(Duration::from_secs(1));
        done
    }
}

/// Resolves when the store could not be reopened for too long.
async fn end(instance: &Instance) {
    while instance.steward().end().is_none() {
        tokio::time::sleep(END_LOOK).await;
    }
}

/// Shared by all connections.
#[derive(Clone)]
struct Serving {
    app: App,
    router: Router,
    stopping: watch::Receiver<bool>,
}

/// Accepts connections. Each gets a slot; where all are taken, it waits for one.
async fn accept(listener: &Accepting, limit: &ConnectionLimit, serving: &Serving, connections: &mut JoinSet<()>) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let slot = limit.slots().take(Client::of(Some(address))).await;
                connections.spawn(connection(stream, slot, address, serving.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: Stream, slot: Slot, address: Address, serving: Serving) {
    if !date::can_be_written() {
        return date::refuse(stream).await;
    }
    let peer = Peer::new(stream, slot);
    // A client that takes nothing of its answer would hold the connection, and the answer in memory, for ever.
    let mut wire = TimeoutStream::new(peer.wire());
    wire.set_write_timeout(Some(serving.app.limits().silence));
    let wire = Box::pin(wire);
    let tls = serving.app.live().tls.clone().filter(|_| matches!(address, Address::Tcp(_)));
    let ended = tokio::select! {
        ended = async {
            match tls {
                None => serve_http(wire, peer.clone(), address, serving).await,
                Some(Tls(config)) => {
                    let shaken = tokio::time::timeout(HEAD_WITHIN, TlsAcceptor::from(config).accept(wire)).await;
                    serve_http(shaken.ok()?.ok()?, peer.clone(), address, serving).await
                }
            }
        } => ended,
        () = peer.slot().must_end() => None,
    };
    if let Some(Err(error)) = &ended {
        tracing::debug!(%error, "a connection failed");
    }
    peer.settle(matches!(ended, Some(Ok(())))).await;
}

/// Reads requests and writes answers until either side ends that, or the date cannot be written any more.
async fn serve_http<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Peer,
    address: Address,
    Serving { app, router, stopping }: Serving,
) -> Option<hyper::Result<()>> {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let busy = peer.slot().busy(is_probe(request.uri().path()));
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(address);
        let answer = router.call(request);
        async move {
            match busy {
                None => Ok(no_place().into_response()),
                Some(busy) => answer.await.map(|response| response.map(|body| Holding::body(body, busy))),
            }
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits().silence)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        // A client may end its half once it has asked.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    tokio::select! {
        ended = date::while_it_can_be(served.as_mut()) => ended,
        () = told(stopping) => {
            served.as_mut().graceful_shutdown();
            date::while_it_can_be(served.as_mut()).await
        }
    }
}

/// Whether a request is answered on the last slots too.
fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics")
}

fn no_place() -> Problem {
    let detail = "too many requests are in progress; retry";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with(header::RETRY_AFTER, "1")
}

/// Waits for the requests in progress, and for a reload of the settings, up to a timeout.
async fn drain(mut connections: JoinSet<()>, renewing: JoinHandle<()>) {
    let all = async {
        while connections.join_next().await.is_some() {}
        let _panicked = renewing.await;
    };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!(waited_s = DRAIN.as_secs(), "shutdown timeout: requests in progress were aborted");
    }
}

/// Reloads the settings on each SIGHUP, from an operator or because the terminal closed, until shutdown.
async fn renew_when_told(app: App, renew: Renew, mut hang_up: HangUp) {
    loop {
        tokio::select! {
            biased;
            () = app.stops() => return,
            () = hang_up.told() => {}
        }
        let (instance, renew) = (app.instance().clone(), renew.clone());
        match app.beside(move || renew(&instance)).await {
            Ok(Ok(live)) => {
                app.renew(live);
                tracing::info!("settings reloaded");
            }
            Ok(Err(error)) => tracing::error!(%error, "cannot reload the settings; the current ones stay in use"),
            Err(_) => tracing::error!("reloading the settings panicked"),
        }
    }
}
