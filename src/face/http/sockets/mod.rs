//! The connections of the service.
//!
//! * [`listen`]: the listening socket; [`tls`]: its certificate; [`stream`]: a stream of either kind of socket
//! * [`connection_limit`]: the limit of connections, and that of waiting claims; [`connection_slots`]: which connection
//!   is closed when all are taken
//! * [`peer`]: whether the client is still there, and the delivery of claims: those that do not arrive go back
//! * [`client`]: the address of the client; [`memory`]: the memory that all requests may take together

pub(super) mod client;
pub(super) mod connection_limit;
pub(super) mod connection_slots;
pub(super) mod listen;
pub(super) mod memory;
pub(super) mod peer;
pub(super) mod stream;
pub(super) mod tls;
