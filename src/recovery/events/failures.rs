//! Events of failures, and restores that only return data. The failed operation has been aborted by then, so these
//! events have a transaction of their own.

#[cfg(feature = "transfer")]
use std::path::Path;

use serde_json::{Value, json};

use crate::engine::check::CheckReport;
use crate::engine::store::Store;
#[cfg(feature = "transfer")]
use crate::engine::wal::LogNews;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::backups::{Backup, backup_details, backup_row, content, damaged, no_backup};
use crate::recovery::events::event::EventKind;
#[cfg(any(feature = "http", test))]
use crate::recovery::points::selector::Selector;
#[cfg(any(feature = "http", test))]
use crate::recovery::restore::options::RestoreOptions;
use crate::recovery::restore::plan::RestorePlan;
#[cfg(any(feature = "http", test))]
use crate::recovery::restore::plan::RestoreReport;

/// The reason of a failed restore whose backup does not match its checksum.
const CHECKSUM: &str = "checksum_mismatch";

impl Store {
    /// Returns the content of the backup with exactly that id, for a restore elsewhere. It has been verified against
    /// the backup's checksum. Like every restore it appends an event: `restore_successful`, or `restore_failed` with a
    /// reason. [`Store::backup_data`] reads the content without an event.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such backup; as [`Store::backup_data`].
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BackupRequest, Kind};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let backup = store.backup(BackupRequest::new(Kind::Queue).json(br#"{"tasks": []}"#))?;
    /// assert_eq!(store.restore_data(&backup.backup_id)?, serde_json::json!({"tasks": []}));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn restore_data(&self, id: &str) -> Result<Value> {
        let backup = self.backup_to_restore(id)?;
        let data = self.data_to_restore(&backup)?;
        self.doing("restore_data", Some(id.to_owned()))
            .append_events([(EventKind::RestoreSuccessful, backup_details(&backup))]);
        Ok(data)
    }

    /// Restores the backup with exactly that id in place, as [`Store::restore`] does. On request it also returns the
    /// content, which it reads before.
    #[cfg(any(feature = "http", test))]
    pub(crate) fn restore_backup(
        &self,
        id: &str,
        options: RestoreOptions,
        with_data: bool,
    ) -> Result<(RestoreReport, Option<Value>)> {
        let backup = self.backup_to_restore(id)?;
        let data = with_data.then(|| self.data_to_restore(&backup)).transpose()?;
        let report = self.restore_as(Selector::Id(backup.backup_id), options, json!({"backup_id": id}))?;
        Ok((report, data))
    }

    /// The plan of [`Store::restore_backup`], without an event.
    #[cfg(feature = "http")]
    pub(crate) fn plan_restore_backup(&self, id: &str, options: RestoreOptions) -> Result<RestorePlan> {
        let backup = backup_row(&self.view()?, id)?.ok_or_else(|| no_backup(id))?;
        self.plan_restore(Selector::Id(backup.backup_id), options)
    }

    fn backup_to_restore(&self, id: &str) -> Result<Backup> {
        let found = self.view().and_then(|view| backup_row(&view, id)?.ok_or_else(|| no_backup(id)));
        found.inspect_err(|error| self.append_failed_restore(json!({"backup_id": id}), None, error))
    }

    fn data_to_restore(&self, backup: &Backup) -> Result<Value> {
        let failed = |reason, error: &Error| {
            self.append_failed_restore(json!({"backup_id": backup.backup_id}), reason, error);
        };
        match self.view_at(backup.epoch).and_then(|view| content(&view, backup)) {
            Ok(Some(data)) => Ok(data),
            Ok(None) => Err(damaged(backup)).inspect_err(|error| failed(Some(CHECKSUM), error)),
            Err(error) => Err(error).inspect_err(|error| failed(None, error)),
        }
    }

    /// Appends the event of a plan that failed.
    pub(crate) fn append_failed_plan(&self, plan: &RestorePlan, error: &Error) {
        let mut details = json!({"point": plan.point.to_string(), "is_undo": plan.is_undo()});
        if let Some(details) = details.as_object_mut() {
            details.extend(plan.backup.iter().map(|id| ("backup_id".into(), id.as_str().into())));
        }
        self.append_failed_restore(details, None, error);
    }

    /// Appends the events of a failed restore, and of the damage that it found. A restore that was refused because of
    /// its arguments has no event.
    pub(crate) fn append_failed_restore(&self, details: Value, reason: Option<&str>, error: &Error) {
        use ErrorKind::{Damaged, Full, Gone, Io, NotFound};
        if !matches!(error.kind(), NotFound | Damaged | Gone | Full | Io) {
            return;
        }
        let Value::Object(mut details) = details else { return };
        details.insert("error".into(), error.to_string().into());
        let damage = (error.kind() == Damaged).then(|| (EventKind::CorruptionDetected, details.clone().into()));
        details.insert("reason".into(), reason.unwrap_or(error.kind().as_str()).into());
        self.append_events(damage.into_iter().chain([(EventKind::RestoreFailed, details.into())]));
    }

    /// Appends the event of damage that a check found, or of a check that could not run.
    pub(crate) fn append_check(&self, checked: &Result<CheckReport>) {
        match checked {
            Ok(report) if report.is_sound() => {}
            Ok(report) => {
                let details = json!({"found": report.found, "first": report.findings.first()});
                self.append_events([(EventKind::CorruptionDetected, details)]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Io) => {
                self.append_events([(EventKind::CheckFailed, json!({"error": error.to_string()}))]);
            }
            Err(_) => {}
        }
    }

    /// Appends the events of logs that were taken up or set aside: by the opening, and in turns of processes that died.
    pub(crate) fn append_log_news(&self) {
        let news = self.take_log_news();
        if news.is_empty() {
            return;
        }
        let taken = news.taken.map(|log| {
            let since = log.since.to_string();
            (EventKind::LogTakenUp, json!({"sections": log.sections, "entries": log.entries, "since": since}))
        });
        let aside = news.set_aside.into_iter().map(|name| (EventKind::LogSetAside, json!({"path": name})));
        self.append_events(taken.into_iter().chain(aside));
    }

    /// Appends the same of a log that was moved into a store to make a copy of it.
    #[cfg(feature = "transfer")]
    pub(crate) fn append_log_news_of_copy(path: &Path, news: LogNews) -> Result<()> {
        if news.is_empty() {
            return Ok(());
        }
        let store = Self::options().create(false).session(false).open(path)?;
        store.add_log_news(news);
        store.append_log_news();
        store.close()
    }

    /// Appends events of failures. If they cannot be written, as on a full disk, they go to the log. A store that was
    /// opened read-only is not written to.
    pub(crate) fn append_events(&self, events: impl IntoIterator<Item = (EventKind, Value)>) {
        if self.is_only_read() {
            return;
        }
        let append = |tx: &mut WriteTx<'_>| {
            events.into_iter().try_for_each(|(kind, details)| tx.events().append(kind, details).map(drop))
        };
        if let Err(error) = self.write(append) {
            tracing::error!(%error, "an event could not be written");
        }
    }
}
