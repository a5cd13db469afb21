//! The client of a service, for the command line.
//!
//! * [`address`]: where the service is; [`credentials`]: the key that it is shown, and whose certificates are trusted
//! * [`connect`]: a connection, by TCP, TLS or a Unix socket; [`exchange`]: one request and its answer, both with
//!   limits
//! * [`ask`]: a request before it is sent; [`client`]: sends it, again where that is safe, and reads lists page by page
//! * [`refusal`]: the error that an answer means; [`told`]: the types of the library, read from answers
//! * [`watch`]: work that goes on in the service, until it is over
//! * `absent`: stands in for the client in a program that is built without the service

#[cfg(not(feature = "http"))]
mod absent;
#[cfg(feature = "http")]
mod address;
mod ask;
#[cfg(feature = "http")]
mod client;
#[cfg(feature = "http")]
mod connect;
#[cfg(feature = "http")]
mod credentials;
#[cfg(feature = "http")]
mod exchange;
#[cfg(feature = "http")]
mod refusal;
mod told;
mod watch;

#[cfg(not(feature = "http"))]
pub(in crate::face) use self::absent::{Access, Address, Client};
#[cfg(feature = "http")]
pub(in crate::face) use self::address::Address;
pub(in crate::face) use self::ask::Ask;
#[cfg(feature = "http")]
pub(in crate::face) use self::client::Client;
#[cfg(feature = "http")]
pub(in crate::face) use self::credentials::Access;
pub(in crate::face) use self::told::Told;
pub(in crate::face) use self::watch::watch;
