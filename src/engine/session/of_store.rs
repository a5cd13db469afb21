//! The session of this process in an open store.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::own_session::OwnSession;
use crate::engine::store::Store;

impl Store {
    /// Notes the number of this process's session, and what holds its byte.
    pub(crate) fn set_session(&self, number: u64, held: &Arc<OwnSession>) {
        self.inner.context.session.get_or_init(|| number);
        self.inner.held.get_or_init(|| Arc::downgrade(held));
    }

    /// Keeps this process's session visible to other processes.
    pub(crate) fn keep_session_lock(&self) {
        if let Some(held) = self.inner.held.get().and_then(Weak::upgrade) {
            held.keep(|| self.refuse_moved().is_ok());
        }
    }

    /// Notes whether this process's session is still to begin; gives whether it was.
    pub(crate) fn put_session_off(&self, put_off: bool) -> bool {
        self.inner.session_put_off.swap(put_off, Ordering::Relaxed)
    }

    /// Whether this process's session is still to begin.
    pub(crate) fn is_session_put_off(&self) -> bool {
        self.inner.session_put_off.load(Ordering::Relaxed)
    }

    /// The number of this process's session.
    pub(crate) fn session_number(&self) -> Option<u64> {
        self.inner.context.session()
    }

    /// Whether other processes had the store open when it was opened, and no file of sessions told which of them live.
    pub(crate) fn cannot_see_others(&self) -> bool {
        self.inner.others_unseen.load(Ordering::Relaxed)
    }
}
