//! The listening socket: an address, or a path. Without a key or a token only loopback addresses and paths are allowed:
//! every client can read and change everything.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use tokio::net;

use crate::face::http::sockets::client::Address;
use crate::face::http::sockets::stream::Stream;
use crate::{Error, ErrorKind, Result, files};

/// The backlog: how many connections may wait to be accepted; the system may allow fewer. Beyond them a client tries
/// again after a second, so that a burst of others would keep it out for that long.
#[cfg(unix)]
const BACKLOG: i32 = 4_096;
/// Begins the path of a Unix socket.
const UNIX: &str = "unix:";

/// A socket that is listened on.
#[derive(Debug)]
pub(in crate::face) struct Listener {
    socket: Socket,
    is_tls: bool,
    /// Whether others than programs of this machine reach it.
    pub(in crate::face) is_public: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, PathBuf),
}

/// The same within a runtime.
pub(in crate::face::http) enum Accepting {
    Tcp(net::TcpListener),
    #[cfg(unix)]
    Unix(net::UnixListener, PathBuf),
}

/// How the service may be reached.
#[derive(Clone, Copy, Debug)]
pub(in crate::face) struct Reach {
    /// Whether it asks for keys or the token.
    pub(in crate::face) asks: bool,
    /// Whether it has a certificate.
    pub(in crate::face) is_tls: bool,
    /// Whether everybody may use it.
    pub(in crate::face) insecure_no_token: bool,
    /// Whether keys may be sent in clear.
    pub(in crate::face) insecure_no_tls: bool,
}

impl Reach {
    /// Refuses an address that others reach, if they could do what they must not.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the ways out.
    pub(in crate::face) fn check(self, listen: &str) -> Result<()> {
        if !self.asks && !self.insecure_no_token {
            return Err(Error::invalid(format!(
                "without a key or a token anyone who reaches this address could read and change the store; add one \
                 with hivekeep key add, set one with --token-file FILE or HIVEKEEP_TOKEN, or allow it with \
                 --insecure-no-token: listen={listen}"
            )));
        }
        if self.asks && !self.is_tls && !self.insecure_no_tls {
            return Err(Error::invalid(format!(
                "without TLS anyone on the way could read the keys of requests; set --tls-cert FILE and --tls-key FILE, \
                 or allow it with --insecure-no-tls, as behind a proxy: listen={listen}"
            )));
        }
        Ok(())
    }
}

impl Listener {
    /// The address, as a client takes it.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(in crate::face) fn url(&self) -> Result<String> {
        match &self.socket {
            Socket::Tcp(socket) => {
                Ok(format!("{}://{}", if self.is_tls { "https" } else { "http" }, socket.local_addr()?))
            }
            #[cfg(unix)]
            Socket::Unix(_, path) => Ok(format!("{UNIX}{}", path.display())),
        }
    }

    /// The path of a Unix socket.
    pub(in crate::face) fn path(&self) -> Option<String> {
        match &self.socket {
            Socket::Tcp(_) => None,
            #[cfg(unix)]
            Socket::Unix(_, path) => Some(path.display().to_string()),
        }
    }

    /// Begins to accept, within a runtime.
    pub(in crate::face::http) fn accepting(self) -> io::Result<Accepting> {
        match self.socket {
            Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Accepting::Tcp(net::TcpListener::from_std(socket)?))
            }
            #[cfg(unix)]
            Socket::Unix(socket, path) => {
                socket.set_nonblocking(true)?;
                Ok(Accepting::Unix(net::UnixListener::from_std(socket)?, path))
            }
        }
    }
}

impl Accepting {
    /// The next connection, and where it comes from.
    pub(in crate::face::http) async fn accept(&self) -> io::Result<(Stream, Address)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                Ok((Stream::Tcp(stream), Address::Tcp(address)))
            }
            #[cfg(unix)]
            Self::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                let user = stream.peer_cred()?.uid();
                Ok((Stream::Unix(stream), Address::Unix(user)))
            }
        }
    }

    /// Stops accepting. The name of a Unix socket goes.
    pub(in crate::face::http) fn end(self) {
        #[cfg(unix)]
        if let Self::Unix(socket, path) = self {
            drop(socket);
            if let Err(error) = files::remove(&path) {
                tracing::warn!(%error, path = %path.display(), "the socket could not be removed");
            }
        }
    }
}

/// Listens on an address or a path. Others than programs of this machine reach it only as `reach` allows.
///
/// # Errors
///
/// `Invalid` when the address is none, or others could reach it who may not; `Io` when it is in use.
pub(in crate::face) fn bind(listen: &str, reach: Reach) -> Result<Listener> {
    if let Some(path) = listen.strip_prefix(UNIX) {
        return bind_path(listen, path);
    }
    let no_address = || {
        Error::invalid(format!(
            "a listen address must be HOST:PORT or unix:PATH, such as 127.0.0.1:8001: listen={listen}"
        ))
    };
    let addresses: Vec<_> = listen.to_socket_addrs().map_err(|_| no_address())?.collect();
    if addresses.is_empty() {
        return Err(no_address());
    }
    let is_public = !addresses.iter().all(|address| address.ip().is_loopback());
    if is_public {
        reach.check(listen)?;
    }
    let socket = TcpListener::bind(addresses.as_slice()).map_err(|error| refused(listen, &addresses, error))?;
    // The standard library lets 128 wait.
    #[cfg(unix)]
    rustix::net::listen(&socket, BACKLOG).map_err(|error| refused(listen, &addresses, error.into()))?;
    Ok(Listener { socket: Socket::Tcp(socket), is_tls: reach.is_tls, is_public })
}

#[cfg(unix)]
fn bind_path(listen: &str, path: &str) -> Result<Listener> {
    if path.is_empty() {
        return Err(Error::invalid(format!(
            "the path of the socket is missing, as in unix:/run/hive.sock: listen={listen}"
        )));
    }
    let socket = files::listen_at(path.as_ref()).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "another process listens there; stop it, or choose another path",
            io::ErrorKind::AlreadyExists => "something else than a socket is there; choose another path",
            _ => return Error::from(error).context(format_args!("cannot listen on {listen}")),
        };
        Error::new(ErrorKind::Io, format!("{why}: listen={listen}")).with_source(error)
    })?;
    rustix::net::listen(&socket, BACKLOG).map_err(io::Error::from)?;
    Ok(Listener { socket: Socket::Unix(socket, path.into()), is_tls: false, is_public: false })
}

#[cfg(not(unix))]
fn bind_path(listen: &str, _: &str) -> Result<Listener> {
    Err(Error::invalid(format!("there are no Unix sockets here; listen on an address: listen={listen}")))
}

fn refused(listen: &str, addresses: &[SocketAddr], error: io::Error) -> Error {
    if error.kind() != io::ErrorKind::AddrInUse {
        return Error::from(error).context(format_args!("cannot listen on {listen}"));
    }
    let other = addresses.first().map_or(8002, |address| address.port().checked_add(1).unwrap_or(8001));
    let message = format!("address in use; choose another one, such as --listen 127.0.0.1:{other}: listen={listen}");
    Error::new(ErrorKind::Io, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Reach = Reach { asks: false, is_tls: false, insecure_no_token: false, insecure_no_tls: false };

    #[test]
    fn an_address_that_others_reach_is_refused_with_all_ways_out() {
        let refused = |listen, reach| bind(listen, reach).unwrap_err();
        assert_eq!(
            refused("0.0.0.0:0", NOTHING).to_string(),
            "without a key or a token anyone who reaches this address could read and change the store; add one with \
             hivekeep key add, set one with --token-file FILE or HIVEKEEP_TOKEN, or allow it with \
             --insecure-no-token: listen=0.0.0.0:0"
        );
        assert_eq!(refused("8001", NOTHING).kind(), ErrorKind::Invalid);
        let said = refused("0.0.0.0:0", Reach { asks: true, ..NOTHING }).to_string();
        assert!(said.contains("--tls-cert") && said.contains("--insecure-no-tls"), "{said}");
        for reach in [
            Reach { insecure_no_token: true, ..NOTHING },
            Reach { asks: true, is_tls: true, ..NOTHING },
            Reach { asks: true, insecure_no_tls: true, ..NOTHING },
        ] {
            assert!(bind("0.0.0.0:0", reach).unwrap().is_public);
        }
        assert!(!bind("127.0.0.1:0", NOTHING).unwrap().is_public);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_burst_of_connections_keeps_nobody_out_for_a_second() {
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let listener = bind("127.0.0.1:0", NOTHING).unwrap();
        let address = listener.url().unwrap().trim_start_matches("http://").parse().unwrap();
        let within = std::time::Duration::from_millis(900);
        let burst = 400.min(allowed.trim().parse().unwrap());
        let waiting: Vec<_> = (0..burst).map(|_| std::net::TcpStream::connect_timeout(&address, within)).collect();
        assert!(waiting.iter().all(Result::is_ok), "{:?}", waiting.iter().filter(|one| one.is_ok()).count());
    }

    #[test]
    fn an_address_in_use_names_the_flag() {
        let listener = bind("127.0.0.1:0", NOTHING).unwrap();
        let address = listener.url().unwrap();
        let error = bind(address.strip_prefix("http://").unwrap(), NOTHING).unwrap_err().to_string();
        assert!(error.starts_with("address in use; choose another one, such as --listen 127.0.0.1:"), "{error}");
    }
}
