//! An earlier point that would restore something, when the requested point does not because the mistake is older.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::duration;
use crate::engine::records::Records as _;
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::points::versions::{VersionPoint, Wanted};
use crate::recovery::restore::options::RestoreOptions;

/// An earlier point that differs from the present state, and the command that restores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The newest such point: its id, or the time of a single commit.
    pub point: String,
    /// When it was made.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
    /// The command that restores it.
    pub command: String,
    /// Its age, for people.
    #[serde(skip)]
    age: String,
}

/// `0193.., 12m ago: hivekeep restore 0193.. --only config --key limit`.
impl fmt::Display for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, age, command, .. } = self;
        write!(f, "{point}, {age} ago: {command}")
    }
}

impl Earlier {
    /// The same with its age at that time, which its JSON does not contain.
    #[cfg(feature = "cli")]
    pub(crate) fn seen_at(self, now: Timestamp) -> Self {
        Self { age: duration::show(duration::since(self.timestamp, now)), ..self }
    }
}

impl View {
    pub(super) fn way_back(&self, point: VersionPoint, options: &RestoreOptions) -> Earlier {
        let VersionPoint { point, timestamp } = point;
        let dry_run = if options.key.is_some() { "" } else { " --dry-run" };
        let command = format!("{}{dry_run}", options.command(&point));
        Earlier { point, timestamp, command, age: duration::show(duration::since(timestamp, self.now())) }
    }

    /// The newest point at which a record existed, or differed from its present value.
    pub(crate) fn record_before(
        &self,
        id: CollectionId,
        options: &RestoreOptions,
        key: &str,
        wanted: Wanted,
    ) -> Result<Option<Earlier>> {
        Ok(self.last_version(id, key, wanted)?.map(|point| self.way_back(point, options)))
    }
}
