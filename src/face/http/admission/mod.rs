//! The checks of a request: where it comes from, who asks, and how often.
//!
//! * [`access`], [`authority`]: the allowed hosts and origins; [`band`]: the name and colour by which a person knows
//!   the store
//! * [`caller`]: who asks, by a key of the store, by the [`token`] of the service or by one of the [`sessions`] of the
//!   page
//! * [`rates`]: rate limits

pub(super) mod access;
pub(super) mod authority;
pub(super) mod band;
pub(super) mod caller;
pub(super) mod rates;
pub(super) mod sessions;
pub(super) mod token;
