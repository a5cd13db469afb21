//! The address of a service: `http://HOST:PORT`, `https://HOST:PORT`, each with a prefix behind it, or `unix:PATH`.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use axum::http::Uri;

use crate::{Error, Result};

/// The forms, for messages.
const FORMS: &str = "an address is http://HOST:PORT, https://HOST:PORT or unix:PATH";
/// The beginning of the address of a Unix socket.
const UNIX: &str = "unix:";

/// The address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::face) struct Address {
    pub(super) socket: Socket,
    /// The path below which the service answers, without a slash at its end.
    pub(super) prefix: String,
}

/// The socket of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    Tcp { tls: bool, host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// Whether a text is meant as an address, and not as the path of a file.
    pub(in crate::face) fn is_meant(text: &OsStr) -> bool {
        let text = text.to_string_lossy();
        text.contains("://") || text.starts_with(UNIX)
    }

    /// The value of the header `Host`.
    pub(super) fn authority(&self) -> String {
        match &self.socket {
            Socket::Tcp { host, port, .. } => format!("{host}:{port}"),
            Socket::Unix(_) => "localhost".to_owned(),
        }
    }

    /// Whether others could read what is sent there.
    pub(super) fn is_in_clear(&self) -> bool {
        match &self.socket {
            Socket::Unix(_) | Socket::Tcp { tls: true, .. } => false,
            Socket::Tcp { host, .. } => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let is_loopback = bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                !is_loopback && !bare.eq_ignore_ascii_case("localhost")
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Socket::Tcp { tls, host, port } => {
                let scheme = if *tls { "https" } else { "http" };
                write!(f, "{scheme}://{host}:{port}{}", self.prefix)
            }
            Socket::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix(UNIX) {
            return of_socket(path);
        }
        let wrong = |why: &str| Error::invalid(format!("{why}; {FORMS}"));
        let uri: Uri = text.parse().map_err(|error| wrong("the address cannot be read").with_source(error))?;
        let (tls, usual) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(wrong("the address has another scheme")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("the address has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("an address with credentials would show them to others; give the key in a file"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(wrong("the address goes on behind its path"));
        }
        let host = authority.host().to_owned();
        if host.is_empty() {
            return Err(wrong("the address has no host"));
        }
        let port = match authority.as_str().strip_prefix(&host) {
            Some("") => usual,
            _ => authority.port_u16().ok_or_else(|| wrong("the address has no right port"))?,
        };
        Ok(Self { socket: Socket::Tcp { tls, host, port }, prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

#[cfg(unix)]
fn of_socket(path: &str) -> Result<Address> {
    if path.is_empty() {
        return Err(Error::invalid(format!("the address has no path; {FORMS}")));
    }
    Ok(Address { socket: Socket::Unix(path.into()), prefix: String::new() })
}

#[cfg(not(unix))]
fn of_socket(_: &str) -> Result<Address> {
    Err(Error::invalid("this system has no Unix sockets; give http://HOST:PORT or https://HOST:PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_usual_port_and_its_prefix() {
        for (text, shown) in [
            ("http://localhost:8001", "http://localhost:8001"),
            ("http://hive.example", "http://hive.example:80"),
            ("https://hive.example/fleet/one/", "https://hive.example:443/fleet/one"),
            ("http://[::1]:9/", "http://[::1]:9"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_wrong_address_is_refused_with_the_right_forms() {
        for wrong in [
            "ftp://a",
            "http://",
            "http://a:b",
            "http://a:70000",
            "http://me:secret@a",
            "https://a/?x",
            "http://a/#x",
            "http:// a",
            "unix:",
        ] {
            let said = wrong.parse::<Address>().unwrap_err().to_string();
            assert!(said.contains("address"), "{wrong}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn only_another_machine_without_tls_is_reached_in_clear() {
        for (text, in_clear) in [
            ("http://localhost:1", false),
            ("http://127.3.2.1:1", false),
            ("http://[::1]:1", false),
            ("http://hive.example", true),
            ("http://10.0.0.1:1", true),
            ("https://hive.example", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_in_clear(), in_clear, "{text}");
        }
    }

    #[test]
    fn a_path_is_no_address() {
        assert!(!Address::is_meant(OsStr::new("fleet.redb")) && !Address::is_meant(OsStr::new("./unix:x")));
        assert!(Address::is_meant(OsStr::new("unix:/run/hive.sock")) && Address::is_meant(OsStr::new("ftp://x")));
    }
}
