//! Connections to a service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::face::remote::address::{Address, Socket};
use crate::{Error, ErrorKind, Hint, Result};

/// The longest time until there is a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The sending end of a connection.
pub(super) type Sender = SendRequest<Body>;

/// A stream of bytes in both directions.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to a service. Nothing has been sent when this fails.
///
/// # Errors
///
/// `Io`, with a hint, when nothing answers there, or its certificate is not trusted.
pub(super) async fn connect(address: &Address, tls: Option<&Arc<ClientConfig>>, within: Duration) -> Result<Sender> {
    let within = within.min(CONNECT_WITHIN);
    let stream = tokio::time::timeout(within, stream(address, tls)).await.map_err(|_| {
        let why = format!("no connection within {} ms", within.as_millis());
        unreachable(address, &why)
    })??;
    let (sender, connection) = http1::Builder::new()
        .max_headers(100)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(address, &error.to_string()))?;
    // The request that it ends reports the error of a connection.
    tokio::spawn(async { drop(connection.await) });
    Ok(sender)
}

async fn stream(address: &Address, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn Stream>> {
    let failed = |error: io::Error| unreachable(address, &error.to_string());
    let (host, port) = match &address.socket {
        Socket::Tcp { host, port, .. } => (host.trim_start_matches('[').trim_end_matches(']'), *port),
        #[cfg(unix)]
        Socket::Unix(path) => return Ok(Box::new(tokio::net::UnixStream::connect(path).await.map_err(failed)?)),
        #[cfg(not(unix))]
        Socket::Unix(_) => return Err(Error::invalid("this system has no Unix sockets")),
    };
    let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    // A request is one piece, so that there is nothing to gather.
    let _ = stream.set_nodelay(true);
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| unreachable(address, &error.to_string()))?;
    match TlsConnector::from(config.clone()).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(not_secured(address, &error)),
    }
}

fn unreachable(address: &Address, why: &str) -> Error {
    let message = format!("no service can be reached at this address ({why}): address={address}");
    Error::new(ErrorKind::Io, message).with_hint(Hint::StartService)
}

fn not_secured(address: &Address, error: &io::Error) -> Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let message = format!("the certificate of the service is not trusted ({why}): address={address}");
            Error::new(ErrorKind::Io, message).with_hint(Hint::TrustCertificate)
        }
        Some(rustls::Error::InvalidMessage(_)) => unreachable(address, "it does not speak TLS; try http://"),
        _ => unreachable(address, &error.to_string()),
    }
}
