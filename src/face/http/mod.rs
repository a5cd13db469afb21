//! The service.
//!
//! * here: the routes, listening, and stopping
//! * [`status`]: what the store holds
//! * [`problem`]: how an error is answered

mod problem;
mod status;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use axum::Router;
use axum::routing::get;

use self::problem::Problem;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};

/// Where the paths of the replaced service begin.
const BASE: &str = "/api/disaster-recovery";

/// Listens on an address of this machine only: there is no token yet that would keep others out.
///
/// # Errors
///
/// `Invalid` when the address is none, or others could reach it; `Io` when it is in use.
pub(crate) fn bind(listen: &str) -> Result<TcpListener> {
    let no_address = || Error::invalid(format!("an address is HOST:PORT, such as 127.0.0.1:8001: listen={listen}"));
    let addresses: Vec<_> = listen.to_socket_addrs().map_err(|_| no_address())?.collect();
    if addresses.is_empty() {
        return Err(no_address());
    }
    if !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(Error::invalid(format!(
            "without a token the service listens on this machine only, as everybody else could read and change the \
             store; use --listen 127.0.0.1:8001: listen={listen}"
        )));
    }
    TcpListener::bind(addresses.as_slice()).map_err(|error| refused(listen, &addresses, error))
}

fn refused(listen: &str, addresses: &[SocketAddr], error: io::Error) -> Error {
    if error.kind() != io::ErrorKind::AddrInUse {
        return Error::from(error).context(format_args!("cannot listen on {listen}"));
    }
    let other = addresses.first().map_or(8002, |address| address.port().checked_add(1).unwrap_or(8001));
    let message = format!("address in use; name another one, such as --listen 127.0.0.1:{other}: listen={listen}");
    Error::new(ErrorKind::Io, message).with_source(error)
}

/// Serves the store until the process is told to stop, then lets the requests in progress end.
///
/// # Errors
///
/// `Io`.
pub(crate) fn serve(store: &Store, listener: TcpListener) -> Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(axum::serve(listener, routes(store.clone())).with_graceful_shutdown(stop).await?)
    })
}

/// Everything that can be asked for.
fn routes(store: Store) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route(&format!("{BASE}/status"), get(status::status))
        .with_state(store)
}

/// Ends when the process is to stop: by Ctrl-C, or, where there is such a thing, SIGTERM.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ends when the process is to stop: by Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// Runs a call on the store, which blocks, beside the threads that answer.
async fn blocking<R: Send + 'static>(
    store: Store,
    call: impl FnOnce(&Store) -> Result<R> + Send + 'static,
) -> Result<R, Problem> {
    let done = tokio::task::spawn_blocking(move || call(&store)).await;
    let done = done.unwrap_or_else(|source| {
        Err(Error::new(ErrorKind::Io, "the call was ended before its time").with_source(source))
    });
    done.map_err(Problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_or_that_is_none_is_refused_with_what_to_do() {
        let refused = |listen| bind(listen).unwrap_err();
        assert_eq!(
            refused("0.0.0.0:0").to_string(),
            "without a token the service listens on this machine only, as everybody else could read and change the \
             store; use --listen 127.0.0.1:8001: listen=0.0.0.0:0"
        );
        assert_eq!(refused("8001").kind(), ErrorKind::Invalid);
    }

    #[test]
    fn an_address_in_use_names_the_flag() {
        let listener = bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = bind(&address.to_string()).unwrap_err().to_string();
        assert!(error.starts_with("address in use; name another one, such as --listen 127.0.0.1:"), "{error}");
    }
}
