//! Where a request comes from, and whose limits a request counts towards, when it shows no key: an address of the
//! network, or a user of this machine.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::face) enum Address {
    /// A socket of the network.
    Tcp(SocketAddr),
    /// The Unix socket, with the user id of the process at its other end.
    Unix(u32),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.ip().fmt(f),
            Self::Unix(user) => write!(f, "uid {user}"),
        }
    }
}

/// An address, or a user of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::face::http) enum Client {
    /// The whole network of 64 bits counts as one of IPv6, since a host has all of its addresses.
    Address(IpAddr),
    /// The user of a process that uses the Unix socket.
    User(u32),
    /// All others when there are too many to tell apart.
    Others,
}

impl Client {
    pub(in crate::face::http) fn of(address: Option<Address>) -> Self {
        match address {
            Some(Address::Tcp(address)) => Self::Address(network_of(address.ip())),
            Some(Address::Unix(user)) => Self::User(user),
            None => Self::Others,
        }
    }

    /// Whether it is on this machine, where all programs share one address.
    pub(in crate::face::http) fn is_local(self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::User(_) | Self::Others => true,
        }
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let client = |text: &str| Client::of(Some(Address::Tcp(text.parse().unwrap())));
        assert_eq!(client("[2001:db8::1]:1"), client("[2001:db8::ffff:2]:2"));
        assert_ne!(client("[2001:db8::1]:1"), client("[2001:db8:0:1::1]:1"));
        assert_eq!(client("[::ffff:10.0.0.1]:1"), client("10.0.0.1:2"));
        assert_ne!(client("10.0.0.1:1"), client("10.0.0.2:1"));
        assert!(client("127.0.0.9:1").is_local() && client("[::1]:1").is_local() && !client("10.0.0.1:1").is_local());
    }
}
