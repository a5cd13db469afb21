//! The end of shipping: another process goes on with the history, or has begun to.

use std::time::Duration;

use super::overtaken::Overtaken;
use super::replicator::{FIRST_PAUSE, LAST, LONGEST_PAUSE, Work};
use crate::clock::as_stored;
use crate::engine::feed::Fence;
use crate::error::{Error, Result};
use crate::recovery::upkeep::background::Stop;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::runtime::{block_on, stopped_for};
use crate::replica::terms::chain::newest_open;

/// The longest pause before it is asked again whether another process goes on with the history.
const ASK_AGAIN: Duration = Duration::from_secs(5);

impl Work {
    /// Keeps every process from writing to the file: another one goes on with its history. One that has ended the term
    /// and opened none may have died. Until it opens one, this process writes nothing, and the file stays as it is: a
    /// later start may go on with it.
    pub(super) fn fence(&self, overtaken: Overtaken, mut error: Error, stop: &Stop) {
        let mut by_term = overtaken.by_term;
        if let Some(ended) = overtaken.ended {
            self.tell_fenced(error);
            let Some(opened) = self.opened_behind(ended, stop) else { return };
            by_term = Some(opened);
            error = Overtaken::by(opened).fenced(ended);
        }
        let fence = Fence { replica: self.location.to_string(), by_term, at: as_stored(self.store.clock().now()) };
        let mut written = self.store.fence(&fence);
        self.tell_fenced(error);
        let mut pause = FIRST_PAUSE;
        while let Err(error) = &written {
            tracing::error!(%error, "cannot mark the file as overtaken; retrying");
            if stop.pause(pause) || self.store.is_closed() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            written = self.store.fence(&fence);
        }
    }

    fn tell_fenced(&self, error: Error) {
        if self.has_started() {
            tracing::error!(%error, "the store writes nothing any more");
        }
        let text = error.to_string();
        self.refuse(error);
        self.note(|state| (state.error, state.fenced) = (Some(text), true));
    }

    /// Waits until another process has opened a term behind that one, and gives its number. None once the thread is
    /// stopped, and there still is none: programs without the replica may write to the file from then on.
    fn opened_behind(&self, term: u64, stop: &Stop) -> Option<u64> {
        let (mut pause, mut is_last) = (FIRST_PAUSE, false);
        loop {
            let newest = block_on(async {
                tokio::select! {
                    newest = self.newest_opened() => newest,
                    () = stopped_for(stop, LAST) => Ok(None),
                }
            });
            match newest {
                Ok(newest) => {
                    if let Some(newest) = newest.filter(|newest| *newest > term) {
                        return Some(newest);
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot tell whether another process has taken over; retrying"),
            }
            if is_last || self.store.is_closed() {
                return None;
            }
            is_last = stop.pause(pause);
            pause = (pause * 2).min(ASK_AGAIN);
        }
    }

    async fn newest_opened(&self) -> Result<Option<u64>> {
        let remote = OpenReplica::of(self.bucket().await?, self.identities.clone(), self.store.clock().clone()).await?;
        Ok(newest_open(&remote).await?.map(|opened| opened.term.0.into()))
    }
}
