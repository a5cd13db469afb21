//! Claims in async code: a dropped future gives them back without blocking its thread.

use tokio::runtime::Handle;

use crate::{Claim, Store, Undelivered};
#[cfg(feature = "http")]
use crate::{ClaimWait, Result};

/// Claims that are not delivered yet. If this is dropped before [`delivered`](Self::delivered), the claims are given
/// back at once and no attempt is counted. Within a runtime this happens on a thread for blocking work.
#[derive(Debug)]
pub(crate) struct Parcel(Option<Undelivered>);

impl Parcel {
    /// Claims that were just taken from the store.
    pub(crate) fn new(store: &Store, claims: Vec<Claim>) -> Self {
        Self(Some(Undelivered::new(store, claims)))
    }

    /// No claims.
    #[cfg(feature = "http")]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Looks for claims once; none while the wait goes on. Claims that nobody receives are given back.
    #[cfg(feature = "http")]
    pub(crate) fn look(store: &Store, mut wait: ClaimWait) -> Result<(ClaimWait, Option<Self>)> {
        let claims = wait.look(store)?;
        if claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
            store.take_mark_back()?;
        }
        Ok((wait, claims.map(|claims| Self::new(store, claims))))
    }

    /// The claims, to be sent before their delivery is certain.
    #[cfg(feature = "http")]
    pub(crate) fn claims(&self) -> &[Claim] {
        self.0.as_ref().map(Undelivered::claims).unwrap_or_default()
    }

    /// Marks the claims as delivered: they stay claimed.
    pub(crate) fn delivered(mut self) -> Vec<Claim> {
        self.0.take().map(Undelivered::delivered).unwrap_or_default()
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        let Some(undelivered) = self.0.take().filter(|undelivered| !undelivered.claims().is_empty()) else { return };
        // A runtime that shuts down drops the closure at once, and the claims with it: they are given back in both
        // cases.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(undelivered))),
            Err(_) => drop(undelivered),
        }
    }
}
