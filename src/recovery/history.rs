//! The history of every commit: a thread of the store that merges away what is older than its window.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock;
use crate::engine::store::{Inner, Store};
use crate::error::{ErrorKind, Result};

/// How often the thread looks; small against any window worth having.
const PERIOD: Duration = Duration::from_millis(500);

/// Starts the thread. It ends with the last clone of the store, or when the store is closed.
pub(crate) fn keep(store: &Store, window: Duration) -> Result<()> {
    let inner = Arc::downgrade(&store.inner);
    let thread = std::thread::Builder::new().name("hivekeep-history".into());
    thread.spawn(move || run(&inner, window))?;
    Ok(())
}

fn run(inner: &Weak<Inner>, window: Duration) {
    loop {
        std::thread::sleep(PERIOD);
        let Some(inner) = inner.upgrade() else { return };
        let store = Store { inner };
        match store.trim_history(clock::before(store.clock().now(), window)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Reopen => return,
            Err(error) => tracing::error!(%error, "the history of commits could not be trimmed"),
        }
    }
}
