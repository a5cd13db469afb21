//! The plan and the report of a restore. A restore moves forward: it seals a safety point and writes the earlier
//! values, in one transaction, so that it can be undone. Its cost follows the changes since the point.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::point::{Origin, PointId, Scope};
use crate::error::{Error, Hint, Result};
use crate::recovery::diff::Counts;
use crate::recovery::points::lost::Spared;
use crate::recovery::points::point::Point;
use crate::recovery::restore::earlier::Earlier;
use crate::recovery::restore::finished::write_finished;
use crate::recovery::restore::options::RestoreOptions;
use crate::text::{OneLine, printable};

/// The plan of a restore. It changes nothing until it is passed to [`Store::apply`](crate::Store::apply).
#[derive(Clone, Debug, Serialize)]
pub struct RestorePlan {
    /// The point to restore.
    pub point: Point,
    /// The numbers of records in each collection that return, change, or are removed, without kept tasks.
    pub collections: BTreeMap<String, Counts>,
    /// Tasks that finished since the point and would run again, unless they are kept finished.
    pub tasks_run_again: u64,
    /// Tasks that were created and finished since the point and would be forgotten, unless they are kept finished.
    /// Their idempotency keys would be forgotten too, so the same push would run again.
    pub tasks_forgotten: u64,
    /// Whether these tasks stay finished, see [`RestoreOptions::keep_finished`].
    pub keep_finished: bool,
    /// The name of the state that the plan was made of, within the scope of the restore; see [`RestorePlan::expect`].
    pub state: String,
    /// If nothing differs: the newest earlier point that does, and the command that restores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
    #[serde(skip)]
    pub(crate) options: RestoreOptions,
    /// The id of the requested backup, if a backup was requested.
    #[serde(skip)]
    pub(crate) backup: Option<String>,
    #[serde(skip)]
    pub(crate) scope: Scope,
    /// The part of the scope that stays as it is.
    #[serde(skip)]
    pub(crate) spared: Spared,
    #[serde(skip)]
    pub(crate) direction: Direction,
}

/// Whether a plan restores a point, or undoes a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Restore,
    /// An undo is refused if records have changed since the restore, unless it may discard these changes.
    Undo {
        discard: bool,
    },
}

/// The report of a restore.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RestoreReport {
    /// The restored point: its id, or its time for the point of a commit.
    pub point: String,
    /// The numbers of records in each collection that returned, changed, or were removed.
    pub collections: BTreeMap<String, Counts>,
    /// The safety point, which undoes the restore. It is none if nothing changed; then
    /// [`Store::undo`](crate::Store::undo) still undoes the restore before it.
    pub undo: Option<PointId>,
    /// The extent of the verification.
    pub verified: Verified,
    /// The number of claims that were voided. Their tasks are ready again.
    pub claims_returned: u64,
    /// Tasks that finished since the point and run again, unless they were kept finished. An undo counts none.
    pub tasks_run_again: u64,
    /// Tasks that were created and finished since the point and are forgotten, unless they were kept finished.
    pub tasks_forgotten: u64,
    /// Whether these tasks stayed finished.
    pub keep_finished: bool,
    /// If nothing differed: the newest earlier point that does, and the command that restores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
}

/// The extent of the verification in a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// Every record that it read or wrote, and the digests.
    Changed,
    /// Every record of the store as well.
    All,
}

impl RestorePlan {
    /// The number of records that the restore would touch.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }

    /// Lets an undo overwrite changes since the restore. The safety point of the undo contains them.
    #[must_use]
    pub fn discard(mut self) -> Self {
        if let Direction::Undo { discard } = &mut self.direction {
            *discard = true;
        }
        self
    }

    /// Whether tasks stay finished that would change otherwise.
    pub(super) fn keeps_any(&self) -> bool {
        self.keep_finished && self.tasks_run_again + self.tasks_forgotten > 0
    }

    /// Whether it puts documents back that clients handed over, and nothing of the live state.
    fn is_of_documents(&self) -> bool {
        !self.is_undo() && matches!(self.point.origin, Some(Origin::Documents | Origin::Adopted))
    }

    pub(crate) fn is_undo(&self) -> bool {
        self.direction != Direction::Restore
    }

    /// Refuses a partial point, unless the options permit it.
    pub(crate) fn refuse_partial(&self) -> Result<()> {
        if !self.point.partial || self.options.partial || self.is_undo() {
            return Ok(());
        }
        let message = "a repair lost part of that point; look at what it has lost, then allow a partial restore";
        let command = self.options.clone().partial(true).command(&self.point.to_string());
        Err(Error::conflict(format!("{message}: point={}", self.point)).with_hint(Hint::AllowPartial { command }))
    }
}

impl RestoreReport {
    /// The number of records that the restore touched.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_undo() { "undo would go back to" } else { "restore would go back to" };
        let at = crate::clock::show_time(self.point.timestamp);
        match self.point.given_id() {
            Some(id) => write!(f, "{what} {} of {at}", OneLine(id))?,
            None => write!(f, "{what} the commit of {at}")?,
        }
        if !self.point.description.is_empty() {
            write!(f, " ({})", printable(&self.point.description))?;
        }
        writeln!(f)?;
        for (name, counts) in &self.collections {
            let unit = if name == "documents" { " (elements of documents)" } else { "" };
            writeln!(f, "  {name}: {counts}{unit}")?;
        }
        if self.is_of_documents() {
            writeln!(f, "  only documents are restored; the registry and the queue stay as they are")?;
        }
        match (&self.earlier, self.collections.is_empty()) {
            (Some(earlier), true) => writeln!(f, "  nothing differs; the newest point that does is {earlier}")?,
            (None, true) if self.keeps_any() => writeln!(f, "  nothing else differs")?,
            (None, true) => writeln!(f, "  nothing differs")?,
            (_, false) => {}
        }
        if self.point.partial {
            write!(f, "  a repair lost part of that point")?;
            if !self.spared.is_empty() {
                write!(f, "; records that are known to be lost stay as they are now")?;
            }
            let is_refused = !self.options.partial && !self.is_undo();
            if is_refused {
                write!(f, "; to restore what is left of it, allow a partial restore")?;
            }
            writeln!(f)?;
        }
        write_finished(f, self.tasks_run_again, self.tasks_forgotten, self.keep_finished)
    }
}
