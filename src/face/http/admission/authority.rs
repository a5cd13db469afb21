//! Hosts and origins as headers, URLs and options write them. They are compared as they are read: letter case and the
//! many ways to write an address do not count, and nothing is looked up.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

use crate::text::read_as_string;
use crate::{Error, Result};

/// No name in the DNS is longer, in bytes.
const LONGEST_NAME: usize = 253;

/// A host, and the port behind it where one is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::face::http) struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// In lower case.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// A host that requests may name, with any port unless it has one: `fleet.example`, `10.0.0.7:8001`, `[fd00::7]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::face) struct AllowedHost(Authority);

/// The origin of a page, as browsers send it: `https://fleet.example:8443`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::face) struct Origin {
    /// In lower case.
    scheme: String,
    at: Authority,
}

impl Authority {
    /// Reads `HOST` or `HOST:PORT`. User names, zones, white space and addresses in a shortened form are none.
    pub(in crate::face::http) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
                (Host::V6(address.parse().ok()?), port)
            }
            None => {
                let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
                (named(host)?, port)
            }
        };
        let port = match port {
            Some(port) => Some(read_port(port)?),
            None => None,
        };
        Some(Self { host, port })
    }

    /// Whether it is a loopback host: `localhost`, an address in 127.0.0.0/8, or `[::1]`.
    pub(in crate::face::http) fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost",
            Host::V4(address) => address.is_loopback(),
            Host::V6(address) => address.is_loopback(),
        }
    }

    /// The port, if one is written.
    pub(in crate::face::http) fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port that is meant by a URL of that scheme.
    fn port_for(&self, scheme: &str) -> Option<u16> {
        self.port.or(match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        })
    }
}

/// A name or an IPv4 address.
fn named(text: &str) -> Option<Host> {
    if let Ok(address) = text.parse() {
        return Some(Host::V4(address));
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_name = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_part);
    is_name.then(|| Host::Name(text.to_ascii_lowercase()))
}

fn read_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl AllowedHost {
    /// Whether a request that names this host is let in.
    pub(super) fn admits(&self, named: &Authority) -> bool {
        self.0.host == named.host && self.0.port.is_none_or(|port| named.port_for("http") == Some(port))
    }
}

impl Origin {
    /// Parses the value of an `Origin` header; `null` is no origin.
    pub(in crate::face::http) fn parse(text: &str) -> Option<Self> {
        let (scheme, at) = text.split_once("://")?;
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let scheme = is_scheme.then(|| scheme.to_ascii_lowercase())?;
        Some(Self { scheme, at: Authority::parse(at)? })
    }

    /// Whether a page from there was served by this service, under the host that the request names and by this scheme.
    pub(super) fn is_of(&self, named: &Authority, scheme: &str) -> bool {
        self.scheme == scheme && self.is_the_same_as(&Self { scheme: scheme.to_owned(), at: named.clone() })
    }

    /// Whether both are one origin; a port may be written or meant.
    pub(super) fn is_the_same_as(&self, other: &Self) -> bool {
        let port = |origin: &Self| origin.at.port_for(&origin.scheme);
        self.scheme == other.scheme && self.at.host == other.at.host && port(self) == port(other)
    }
}

impl FromStr for AllowedHost {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        Authority::parse(text).map(Self).ok_or_else(|| {
            let text = text.escape_debug();
            Error::invalid(format!(
                "a host must be a name or an address, such as fleet.example or 10.0.0.7:8001: host={text}"
            ))
        })
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        Self::parse(text).ok_or_else(|| {
            let text = text.escape_debug();
            Error::invalid(format!(
                "an origin must be SCHEME://HOST[:PORT], such as https://fleet.example: origin={text}"
            ))
        })
    }
}

read_as_string!(AllowedHost, Origin);

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::V4(address) => write!(f, "{address}")?,
            Host::V6(address) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(text: &str) -> Authority {
        Authority::parse(text).unwrap_or_else(|| panic!("{text} is refused"))
    }

    #[test]
    fn this_machine_is_named_in_these_ways_only() {
        for own in ["localhost", "LocalHost:8001", "127.0.0.1", "127.255.3.4:1", "[::1]", "[0:0:0:0:0:0:0:1]:8001"] {
            assert!(authority(own).is_loopback(), "{own}");
        }
        for other in [
            "localhost.evil.com",
            "localhost.",
            "127.0.0.1.evil.com",
            "127.1",
            "127.0.0.01",
            "0.0.0.0",
            "2130706433",
            "0x7f.0.0.1",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[fe80::1]",
            "evil.com:8001",
            "128.0.0.1",
        ] {
            assert!(!authority(other).is_loopback(), "{other}");
        }
    }

    #[test]
    fn a_host_with_anything_else_around_it_is_none() {
        for none in [
            "",
            ":80",
            "a@localhost",
            "localhost evil",
            " localhost",
            "localhost:",
            "localhost:99999",
            "localhost:+1",
            "localhost:80:80",
            "localhost/",
            "[::1",
            "::1",
            "[::1]80",
            "[::1%lo]",
            "[127.0.0.1]",
            "local\u{131}host",
        ] {
            assert_eq!(Authority::parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn an_allowed_host_without_a_port_admits_any() {
        let admits = |allowed: &str, named: &str| allowed.parse::<AllowedHost>().unwrap().admits(&authority(named));
        assert!(admits("Fleet.example", "fleet.EXAMPLE:8443") && admits("fleet.example", "fleet.example"));
        assert!(admits("10.0.0.7:8001", "10.0.0.7:8001") && admits("fleet.example:80", "fleet.example"));
        assert!(!admits("10.0.0.7:8001", "10.0.0.7:8002") && !admits("fleet.example", "a.fleet.example"));
        for wrong in ["*", "", "http://fleet.example", "a b"] {
            assert!(wrong.parse::<AllowedHost>().unwrap_err().to_string().contains("fleet.example"), "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_its_scheme_its_host_and_its_port() {
        let is_of =
            |origin: &str, named: &str| Origin::parse(origin).is_some_and(|own| own.is_of(&authority(named), "http"));
        for (own, named) in [
            ("http://localhost:8001", "LOCALHOST:8001"),
            ("HTTP://localhost", "localhost:80"),
            ("http://[::1]:8001", "[0:0:0:0:0:0:0:1]:8001"),
        ] {
            assert!(is_of(own, named), "{own} {named}");
        }
        for (other, named) in [
            ("https://localhost:8001", "localhost:8001"),
            ("http://localhost:3000", "localhost:8001"),
            ("http://localhost", "localhost:8001"),
            ("http://127.0.0.1:8001", "localhost:8001"),
            ("http://localhost:8001/", "localhost:8001"),
            ("http://a@localhost:8001", "localhost:8001"),
            ("localhost:8001", "localhost:8001"),
            ("null", "localhost:8001"),
            ("", "localhost:8001"),
        ] {
            assert!(!is_of(other, named), "{other} {named}");
        }
        let https = Origin::parse("https://localhost").unwrap();
        assert!(https.is_of(&authority("localhost:443"), "https") && !https.is_of(&authority("localhost:80"), "https"));
        let origin: Origin = "https://Fleet.example".parse().unwrap();
        assert!(origin.is_the_same_as(&Origin::parse("https://fleet.example:443").unwrap()));
        assert_eq!(origin.to_string(), "https://fleet.example");
        for wrong in ["null", "fleet.example", "https://fleet.example/", "*"] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
