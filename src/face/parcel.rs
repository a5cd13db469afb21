//! Claims that travel through async code: a future that is dropped on the way gives them back, without blocking its thread.

use tokio::runtime::Handle;

use crate::{Claim, Store, Undelivered};

/// Claims on their way to a client or a caller. Dropped before they are [`delivered`](Self::delivered), they go back at
/// once and no attempt is counted, on a thread for blocking work when the drop happens within a runtime.
#[derive(Debug)]
pub(crate) struct Parcel(Option<Undelivered>);

impl Parcel {
    /// Claims that were just taken from the store.
    pub(crate) fn new(store: &Store, claims: Vec<Claim>) -> Self {
        Self(Some(Undelivered::new(store, claims)))
    }

    /// The claims, to be shown before it is known whether they arrive.
    pub(crate) fn claims(&self) -> &[Claim] {
        self.0.as_ref().map(Undelivered::claims).unwrap_or_default()
    }

    /// The claims have arrived: they stay claimed.
    pub(crate) fn delivered(mut self) -> Vec<Claim> {
        self.0.take().map(Undelivered::delivered).unwrap_or_default()
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        let Some(undelivered) = self.0.take().filter(|undelivered| !undelivered.claims().is_empty()) else { return };
        // A runtime that is ending drops the closure here and now, and the claims with it: they go back either way.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(undelivered))),
            Err(_) => drop(undelivered),
        }
    }
}
