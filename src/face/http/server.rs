//! Connections, from the first to the last: accepted up to a limit, given so long to say what they want, and drained
//! when the process is told to stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_io_timeout::TimeoutStream;

use crate::Result;
use crate::face::http::app::{App, Live, told};
use crate::face::http::connection_limit::ConnectionLimit;
use crate::face::http::date;
use crate::face::http::listen::Listener;
use crate::face::http::peer::{Peer, Wire};
use crate::face::http::signals::{HangUp, Signals};
use crate::face::http::{openapi, routes};
use crate::service::instance::Instance;

/// A request's head may have so many headers.
const HEADERS: usize = 100;
/// A request's head may be so long, in bytes.
const HEAD_BYTES: usize = 64 << 10;
/// Requests in progress have so long to end once the process is to stop.
const DRAIN: Duration = Duration::from_secs(20);
/// How often it is looked whether the service is to end by itself.
const END_LOOK: Duration = Duration::from_millis(200);
/// When no connection can be accepted, as with too many open files, this long is waited before the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What is served, and to whom.
pub(in crate::face) struct Served {
    pub(in crate::face) instance: Arc<Instance>,
    pub(in crate::face) live: Live,
    /// Reads the settings anew.
    pub(in crate::face) renew: Renew,
}

/// Reads the settings anew and gives what requests are held against then. When that fails, all stays as it was.
pub(in crate::face) type Renew = Arc<dyn Fn(&Instance) -> Result<Live> + Send + Sync>;

/// A service that is about to serve. It notes the signals that tell it to stop, or to read its settings anew, from the
/// beginning: none that comes meanwhile is lost.
pub(in crate::face) struct Service {
    runtime: tokio::runtime::Runtime,
    signals: Signals,
}

impl Service {
    /// Begins to note signals.
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

    /// Serves until the process is told to stop, then lets the requests in progress end.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(in crate::face) fn serve(self, served: Served, listener: Listener) -> Result<()> {
        listener.socket.set_nonblocking(true)?;
        let Self { runtime, signals: Signals { stop, hang_up } } = self;
        let done = runtime.block_on(async {
            let listener = TcpListener::from_std(listener.socket)?;
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
            drop(listener);
            let _nobody_left = tell.send(true);
            drain(connections, renewing).await;
            Ok(())
        });
        // Whatever still waits, such as a client that does not read, is not waited for.
        runtime.shutdown_timeout(Duration::from_secs(1));
        done
    }
}

/// Ends when the store could not be opened again for too long.
async fn end(instance: &Instance) {
    while instance.steward().end().is_none() {
        tokio::time::sleep(END_LOOK).await;
    }
}

/// What a connection is served with.
#[derive(Clone)]
struct Serving {
    app: App,
    router: Router,
    stopping: watch::Receiver<bool>,
}

/// Accepts connections up to the limit; the next one waits until another ends.
async fn accept(listener: &TcpListener, limit: &ConnectionLimit, serving: &Serving, connections: &mut JoinSet<()>) {
    loop {
        let Ok(permit) = limit.connection().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = connection(stream, serving.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, serving: Serving) {
    if !date::can_be_written() {
        return date::refuse(stream).await;
    }
    // Answers are small and complete: they are not held back for more.
    let _unsupported = stream.set_nodelay(true);
    // A client that takes nothing of its answer would hold the connection, and the answer in memory, for ever.
    let peer = Peer::new(stream);
    let mut wire = TimeoutStream::new(peer.wire());
    wire.set_write_timeout(Some(serving.app.limits().silence));
    let ended = serve_http(wire, peer.clone(), serving).await;
    if let Some(Err(error)) = &ended {
        tracing::debug!(%error, "a connection ended badly");
    }
    peer.settle(matches!(ended, Some(Ok(())))).await;
}

/// Reads requests and writes answers until either side ends that, or the date cannot be written any more.
async fn serve_http(
    wire: TimeoutStream<Wire>,
    peer: Peer,
    Serving { app, router, stopping }: Serving,
) -> Option<hyper::Result<()>> {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits().silence)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        // A client may end its half once it has asked.
        .half_close(true)
        .serve_connection(TokioIo::new(Box::pin(wire)), service);
    let mut served = std::pin::pin!(served);
    tokio::select! {
        ended = date::while_it_can_be(served.as_mut()) => ended,
        () = told(stopping) => {
            served.as_mut().graceful_shutdown();
            date::while_it_can_be(served.as_mut()).await
        }
    }
}

/// Waits for the requests in progress, and for settings that are being read anew, but not without end.
async fn drain(mut connections: JoinSet<()>, renewing: JoinHandle<()>) {
    let all = async {
        while connections.join_next().await.is_some() {}
        let _panicked = renewing.await;
    };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!(waited_s = DRAIN.as_secs(), "requests in progress were cut off");
    }
}

/// Reads the settings anew each time that SIGHUP comes, from an operator or because the terminal went away, until the
/// service is to stop.
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
                tracing::info!("the settings were read anew");
            }
            Ok(Err(error)) => tracing::error!(%error, "the settings could not be read anew; all goes on as before"),
            Err(_) => tracing::error!("reading the settings anew panicked"),
        }
    }
}
