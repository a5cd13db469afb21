//! The first term of a copy that becomes the source of its replica, and what the replica gives up there.

use crate::error::Result;
use crate::replica::checks::status::{ReplicaCommit, commit_of};
use crate::replica::objects::name::{ObjectName, ReplicaSlot, Term};
use crate::replica::shipping::collect::void_announcements;
use crate::replica::terms::chain::{floors, opened};
use crate::replica::terms::open::{Beginning, BegunFrom, OpenedAs, open_term};
use crate::replica::terms::remote::{Local, Remote};
use crate::replica::terms::write::{Shipped, TermWriter};

/// Opens a term, and ends it at once: the process that ships opens one of its own, and nobody keeps the lease until
/// then.
///
/// # Errors
///
/// As [`open_term`].
pub(super) async fn begin_and_release(
    remote: &impl Remote,
    local: &mut impl Local,
    beginning: Beginning,
) -> Result<OpenedAs> {
    let opened = open_term(remote, local, beginning).await?;
    if let OpenedAs::Writer(term, _) = opened {
        let mut writer = TermWriter::new(term);
        writer.prepare_release(remote, local)?;
        match writer.ship(remote, local).await {
            Ok(Shipped::Acknowledged(_)) => {}
            Ok(Shipped::Fenced) => return Ok(OpenedAs::Overtaken),
            // L3: the next process seals the term. The copy must not lose that it is open.
            Err(error) => {
                tracing::warn!(%error, "the term of a copy that took over was not ended; the next one ends it")
            }
        }
        // Otherwise nothing could be restored from the base of the copy until the next process makes one.
        let voided = async { void_announcements(remote, &floors(remote).await?).await };
        if beginning.from == BegunFrom::Restore
            && let Err(error) = voided.await
        {
            tracing::warn!(%error, "a collection of the former process is still announced; the next one ends it");
        }
    }
    Ok(opened)
}

/// The newest commit that the replica has given up at the opening of a term, if it had any behind a commit.
pub(super) async fn given_up(remote: &impl Remote, term: Term, sequence: u64) -> Option<ReplicaCommit> {
    let newest = async || -> Result<Option<ReplicaCommit>> {
        let Some(end) = opened(remote, term).await?.and_then(|opened| opened.open.parent) else { return Ok(None) };
        let Some(index) = end.index.checked_sub(1) else { return Ok(None) };
        let slot = ReplicaSlot { index, ..end };
        Ok(remote.get(ObjectName::Log(slot)).await?.and_then(|found| commit_of(&found.object, slot)))
    };
    let newest = newest().await.unwrap_or_else(|error| {
        // The term is open, and the copy must not lose that.
        tracing::warn!(%error, "cannot read how many commits the replica discards");
        None
    });
    newest.filter(|newest| newest.sequence > sequence)
}
