//! The files of sections as an opening finds them, and the removal of those that nobody needs.

use super::folder::LogFolder;
use crate::engine::redb_file::StorageBackend;
use crate::engine::wal::encoding::entry;
use crate::engine::wal::encoding::id::LogId;
use crate::engine::wal::encoding::section::{self, Head};
use crate::error::Result;

/// The head of a section; none when it has none.
pub(in crate::engine::wal) fn head(folder: &dyn LogFolder, section: u64) -> Result<Option<Head>> {
    folder.open(section)?.map_or(Ok(None), |file| head_of(&*file))
}

/// The head of a section's open file.
pub(in crate::engine::wal) fn head_of(file: &dyn StorageBackend) -> Result<Option<Head>> {
    if file.len()? < section::HEAD {
        return Ok(None);
    }
    let mut bytes = vec![0; section::HEAD as usize];
    file.read(0, &mut bytes)?;
    Ok(Head::decode(&bytes))
}

/// The length of a section's file.
pub(in crate::engine::wal) fn length(folder: &dyn LogFolder, section: u64) -> Result<u64> {
    Ok(folder.open(section)?.map_or(Ok(0), |file| file.len())?)
}

/// The bytes of a section; none when it has no name.
pub(in crate::engine::wal) fn load(folder: &dyn LogFolder, section: u64) -> Result<Option<Vec<u8>>> {
    folder.open(section)?.map(|file| load_of(&*file)).transpose()
}

/// The bytes of a section's open file.
pub(in crate::engine::wal) fn load_of(file: &dyn StorageBackend) -> Result<Vec<u8>> {
    let len = file.len()?.min(section::MOST);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    if !bytes.is_empty() {
        file.read(0, &mut bytes)?;
    }
    Ok(bytes)
}

/// Removes a section of a log that redb has, and one that was never used. Every other gets another name: it may be all
/// that is left of writes to another file.
fn clear_away(folder: &dyn LogFolder, section: u64, last: Option<LogId>) -> Result<Option<String>> {
    let head = head(folder, section)?;
    let is_known = head.is_some_and(|head| Some(head.id) == last);
    let is_unused = || -> Result<bool> {
        let bytes = load(folder, section)?.unwrap_or_default();
        let rest = bytes.get(section::HEAD as usize..).unwrap_or_default();
        Ok(head.is_some() && entry::decode(rest).is_none() && rest.iter().all(|byte| *byte == 0))
    };
    // Redb has the rows of the last log; an unused section has none.
    if is_known || is_unused()? {
        return folder.remove(section).map(|()| None);
    }
    // Only a file that begins as a section does is taken for a log.
    if !section::is_one(&load(folder, section)?.unwrap_or_default()) {
        tracing::warn!(name = %folder.name(section), "a file that is no log has the name of a section of one");
        return Ok(None);
    }
    let (from, to) = (folder.name(section), folder.set_aside(section)?);
    tracing::warn!(%from, %to, "a log of another file was beside the store; it was set aside, and nothing of it was used");
    Ok(Some(to))
}

/// Removes the rest of the last log, and sets aside sections of others. Returns the new names of these.
pub(in crate::engine::wal) fn clear(folder: &dyn LogFolder, last: Option<LogId>) -> Result<Vec<String>> {
    folder.clear_unfinished()?;
    let mut aside = Vec::new();
    for section in folder.sections()? {
        aside.extend(clear_away(folder, section, last)?);
    }
    Ok(aside)
}

/// The same where nothing hangs on it: files that stay do no harm, and the next opening tries again.
pub(in crate::engine::wal) fn clear_or_say(folder: &dyn LogFolder, last: Option<LogId>) -> Vec<String> {
    let cleared = clear(folder, last).and_then(|aside| folder.sync().map(|()| aside));
    cleared.unwrap_or_else(|error| {
        tracing::warn!(%error, "sections of the log that hold nothing any more could not be removed");
        Vec::new()
    })
}
