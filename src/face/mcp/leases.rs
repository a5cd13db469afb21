//! The leases of the claims of an agent session: a task of the runtime extends them, and the
//! claims are given back at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::KeptClaims;

/// How long the leases of a session without claims are not looked at.
const NOTHING_KEPT: Duration = Duration::from_secs(60 * 60);

/// The claims of a session. When it is dropped, they are given back, within a runtime on a thread for blocking work.
pub(in crate::face) struct Leases {
    claims: Arc<KeptClaims>,
    /// Told when a claim is kept, and true once the session has ended by the word of its client.
    told: watch::Sender<bool>,
}

impl Leases {
    /// Those of a new session, which are extended from now on.
    pub(super) fn new() -> Arc<Self> {
        let claims = Arc::new(KeptClaims::default());
        let (told, mut heard) = watch::channel(false);
        let own = claims.clone();
        tokio::spawn(async move {
            let mut next = None;
            // It ends with the session.
            while !matches!(tokio::time::timeout(next.unwrap_or(NOTHING_KEPT), heard.changed()).await, Ok(Err(_))) {
                let claims = own.clone();
                next = tokio::task::spawn_blocking(move || claims.extend_due()).await.unwrap_or_default();
            }
        });
        Arc::new(Self { claims, told })
    }

    pub(super) fn claims(&self) -> &Arc<KeptClaims> {
        &self.claims
    }

    /// Looks at them again, as a claim was added or extended.
    pub(super) fn look_again(&self) {
        self.told.send_modify(|_| {});
    }

    /// Ends the session: gives its claims back, on a thread that may block.
    pub(in crate::face) fn end(&self) {
        self.told.send_replace(true);
        give_back(&self.claims);
    }

    /// Resolves once the session has ended.
    pub(super) async fn ended(&self) {
        // The sender is here.
        drop(self.told.subscribe().wait_for(|ended| *ended).await);
    }

    /// Leaves the claims to their leases, as nobody knows whether the client is gone.
    pub(in crate::face) fn leave(&self) {
        self.claims.leave();
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        if self.claims.tasks().is_empty() {
            return;
        }
        let claims = self.claims.clone();
        let end = move || give_back(&claims);
        // A runtime that shuts down drops the closure at once, and the claims with it: they are given back in both
        // cases.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(end)),
            Err(_) => end(),
        }
    }
}

fn give_back(claims: &KeptClaims) {
    if let Err(error) = claims.end() {
        tracing::warn!(%error, "claims of a session that ended stay until their leases end");
    }
}
