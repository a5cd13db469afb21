//! The layers around all routes.
//!
//! * [`middleware`]: all of them, in their order; [`identify`]: finds out who asks
//! * [`date`]: refuses clients while the system clock shows an impossible year

pub(super) mod date;
pub(super) mod identify;
pub(super) mod middleware;
