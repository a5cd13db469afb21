//! Hivekeep: an embedded state store for fleets of bots.
#![forbid(unsafe_code)]

mod clock;
mod engine;
mod error;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod face;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
pub mod json;
mod recovery;
mod state;

pub use clock::{Clock, ManualClock, SystemClock, show_time};
pub use engine::check::{CheckReport, Finding};
pub use engine::digest::{Digest, Stats};
pub use engine::epoch::Epoch;
pub use engine::point::{Origin, PointId, Restored, Scope};
pub use engine::store::{Options, Sharing, Store, VerifyOnOpen};
pub use engine::view::View;
pub use engine::write::WriteTx;
pub use error::{Error, ErrorKind, Result};
pub use recovery::backups::{Backup, BackupOf, BackupRequest, Kind};
pub use recovery::diff::{Change, ChangeKind, Counts, Diff};
pub use recovery::events::{Event, EventKind, Events};
pub use recovery::points::{Point, PointRequest, PointSize};
pub use recovery::resolve::{Named, PointName, Resolved, resolve};
pub use recovery::restore::{RestoreOptions, RestorePlan, RestoreReport, Verified};
pub use recovery::retention::{Candidate, Class, Policy, Reason, TagRule, Thinning, Verdict};
pub use recovery::scheduler::{Attendant, Health, Schedule, Scheduler, Work};
pub use recovery::selector::Selector;
pub use recovery::sessions::{Crash, Session, SessionState};
pub use state::assignments::{Assignment, Assignments, Hold};
pub use state::audit::chain::{AuditFinding, AuditReport, EntryHash, Link};
pub use state::audit::{Audit, Entry, Level, NewEntry};
pub use state::chat::{Chat, ChatFilter, Message, NewMessage};
pub use state::collection::Collection;
pub use state::config::Config;
pub use state::documents::{DocumentId, Documents, Written};
pub use state::ids::{BotId, SessionId, TaskId, Token};
pub use state::page::Page;
pub use state::queue::{
    Claim, ClaimOptions, Holder, NewTask, Priority, Queue, Retry, Task, TaskCounts, TaskPage, TaskState,
};
pub use state::registry::{Bot, Registry};
