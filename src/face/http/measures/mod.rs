//! Numbers of the service.
//!
//! * [`request_counts`]: the requests that were answered; [`prometheus`]: the text format of Prometheus

pub(super) mod prometheus;
pub(super) mod request_counts;
