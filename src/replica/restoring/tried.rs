//! The bases that a restore has tried, the newest first: they tell how the next one is tried, and in the end why there
//! is no copy.

use super::moment::ReplicaMoment;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::objects::name::{BaseName, ReplicaSlot};
use crate::replica::reading::bases::Base;
use crate::replica::terms::chain::OpenedTerm;

/// The reason why something was not made from a base.
pub(in crate::replica) enum Failed {
    /// The base itself is not whole.
    Base(Error),
    Other(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// The bases that a restore has tried.
#[derive(Default)]
pub(super) struct Tried {
    /// Those that are behind the moment.
    later: Vec<Base>,
    /// The last one from which a restore point was not found, with the error of the first one.
    not_there: Option<(BaseName, Error)>,
    /// Those that are not whole, with the reasons.
    passed_over: Vec<String>,
    first_error: Option<Error>,
}

impl Tried {
    /// Notes a base that is behind the moment.
    pub(super) fn note_later(&mut self, base: Base) {
        self.later.push(base);
    }

    /// The oldest place of the history that is known to be behind the moment.
    pub(super) fn first_later(&self, path: &[OpenedTerm]) -> Option<ReplicaSlot> {
        self.later.iter().filter(|base| base.is_on(path)).map(|base| base.manifest.base.slot).min()
    }

    /// The base from which on a restore point is nowhere.
    pub(super) fn searched(&self) -> Option<BaseName> {
        self.not_there.as_ref().map(|(name, _)| *name)
    }

    /// Whether none was passed over.
    pub(super) fn are_whole(&self) -> bool {
        self.passed_over.is_empty()
    }

    /// Notes why there is no copy from a base.
    ///
    /// # Errors
    ///
    /// The reason, if an older base does not help.
    pub(super) fn note(&mut self, at: &ReplicaMoment, name: BaseName, failed: Failed) -> Result<()> {
        match failed {
            // An older base may be whole.
            Failed::Base(error) if error.kind() == ErrorKind::Damaged => {
                self.passed_over.push(error.to_string());
                self.first_error.get_or_insert(error);
            }
            // To the newest state only its own base leads over a gap, so the damage of that one is the reason.
            Failed::Other(error) if *at == ReplicaMoment::Newest && error.kind() == ErrorKind::Conflict => {
                return Err(self.first_error.take().unwrap_or(error));
            }
            // A point may have been forgotten before the newest base was made. An older one or its log has it then.
            Failed::Other(error) if at.is_point() && is_not_there(&error) => {
                let first = self.not_there.take().map_or(error, |(_, first)| first);
                self.not_there = Some((name, first));
            }
            Failed::Other(error) => match &mut self.not_there {
                // Damage of the log behind an older base hides nothing from those before that.
                Some((searched, _)) if error.kind() == ErrorKind::Damaged => {
                    self.passed_over.push(error.to_string());
                    *searched = name;
                }
                _ => return Err(error),
            },
            Failed::Base(error) => return Err(error),
        }
        Ok(())
    }

    /// The newer bases that could not be used, with the reasons.
    pub(super) fn passed_over(self) -> Vec<String> {
        self.passed_over
    }

    /// Why none of all bases could be used; none if each of them is behind the moment.
    pub(super) fn into_error(self) -> Option<Error> {
        let Some((_, not_there)) = self.not_there else { return self.first_error };
        for why in self.passed_over {
            tracing::warn!(why, "a restore point that is nowhere else may have been there");
        }
        Some(not_there)
    }
}

/// Whether a restore point was not found from a base on.
fn is_not_there(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
}
