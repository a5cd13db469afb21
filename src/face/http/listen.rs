//! The listening socket. Without a key or a token only loopback addresses are allowed: every client can read and change everything.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use crate::{Error, ErrorKind, Result};

/// An address that is listened on.
#[derive(Debug)]
pub(in crate::face) struct Listener {
    pub(super) socket: TcpListener,
    /// Whether others than programs of this machine reach it.
    pub(in crate::face) is_public: bool,
}

impl Listener {
    /// The address, as a browser takes it.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(in crate::face) fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.socket.local_addr()?))
    }
}

/// Listens on an address. Others than programs of this machine reach it only if `others_may`.
///
/// # Errors
///
/// `Invalid` when the address is none, or others could reach it who may not; `Io` when it is in use.
pub(in crate::face) fn bind(listen: &str, others_may: bool) -> Result<Listener> {
    let no_address =
        || Error::invalid(format!("a listen address must be HOST:PORT, such as 127.0.0.1:8001: listen={listen}"));
    let addresses: Vec<_> = listen.to_socket_addrs().map_err(|_| no_address())?.collect();
    if addresses.is_empty() {
        return Err(no_address());
    }
    let is_public = !addresses.iter().all(|address| address.ip().is_loopback());
    if is_public && !others_may {
        return Err(Error::invalid(format!(
            "without a key or a token anyone who reaches this address could read and change the store; add one with \
             hivekeep key add, set one with --token-file FILE or HIVEKEEP_TOKEN, or allow it with \
             --insecure-no-token: listen={listen}"
        )));
    }
    let socket = TcpListener::bind(addresses.as_slice()).map_err(|error| refused(listen, &addresses, error))?;
    Ok(Listener { socket, is_public })
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

    #[test]
    fn an_address_that_others_reach_is_refused_with_both_ways_out() {
        let refused = |listen| bind(listen, false).unwrap_err();
        assert_eq!(
            refused("0.0.0.0:0").to_string(),
            "without a key or a token anyone who reaches this address could read and change the store; add one with \
             hivekeep key add, set one with --token-file FILE or HIVEKEEP_TOKEN, or allow it with \
             --insecure-no-token: listen=0.0.0.0:0"
        );
        assert_eq!(refused("8001").kind(), ErrorKind::Invalid);
        assert!(bind("0.0.0.0:0", true).unwrap().is_public);
        assert!(!bind("127.0.0.1:0", true).unwrap().is_public);
    }

    #[test]
    fn an_address_in_use_names_the_flag() {
        let listener = bind("127.0.0.1:0", false).unwrap();
        let address = listener.socket.local_addr().unwrap();
        let error = bind(&address.to_string(), false).unwrap_err().to_string();
        assert!(error.starts_with("address in use; choose another one, such as --listen 127.0.0.1:"), "{error}");
    }
}
