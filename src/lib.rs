//! An embedded state store for fleets of bots.
//!
//! One file contains the registry, task queue, assignments, chat, configuration, documents and audit trail of a fleet.
//! A write returns once its commit is on the disk. A restore point is made inside that file by one commit, whatever the
//! size of the state. Reading a point is a read transaction. Restoring a point changes only the records that have
//! changed since, is verified by digests before the commit if it restores whole collections, and can be undone. A
//! damaged byte is an error, never data.
//!
//! # A tour
//!
//! ```
//! use hivekeep::{Bot, BotId, ClaimOptions, NewTask, RestoreOptions, Store};
//! use serde_json::json;
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("fleet.redb");
//! let store = Store::open(path)?;
//! let bot = BotId::new("BOT-1")?;
//!
//! // A closure is one transaction: all or nothing, and durable when `write` returns.
//! store.write(|tx| {
//!     tx.registry().put(&Bot::new(bot.clone()))?;
//!     tx.queue().enqueue(NewTask::new(json!({"build": "4f2a"})))?;
//!     tx.config().put("limit", &json!(3))
//! })?;
//!
//! // Everything as it is now, under a name.
//! let point = store.restore_point("before the night")?;
//!
//! // Work: claim, do, complete. The token is void once the lease has ended and another bot has the task.
//! for claim in store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default()))? {
//!     store.write(|tx| tx.queue().complete(&claim.id, claim.token, json!("built")))?;
//! }
//! store.write(|tx| tx.config().put("limit", &json!(0)))?;
//!
//! // The past, beside the present.
//! assert_eq!(store.view()?.config().get("limit")?, Some(json!(0)));
//! assert_eq!(store.at(&point)?.config().get("limit")?, Some(json!(3)));
//! assert_eq!(store.diff(&point, "now".parse::<hivekeep::Selector>()?)?.counts()["config"].changed, 1);
//!
//! // Back, and back again.
//! store.restore(&point, RestoreOptions::new().only(["config"]))?;
//! assert_eq!(store.view()?.config().get("limit")?, Some(json!(3)));
//! store.undo()?;
//! assert_eq!(store.view()?.config().get("limit")?, Some(json!(0)));
//!
//! assert!(store.check()?.is_sound());
//! store.close()?;
//! # Ok::<(), hivekeep::Error>(())
//! ```
//!
//! # Where to look
//!
//! * [`Store`]: open, write, view, restore points, restore, undo, check. [`Options`] opens it in other ways.
//! * [`WriteTx`] and [`View`]: the state that a transaction changes or reads: [`Registry`], [`Queue`], [`Assignments`],
//!   [`Chat`], [`Config`], [`Audit`], [`Documents`], [`Keys`], and a [`Collection`] of a type of your own.
//! * [`Selector`]: the name of a restore point: `latest~2`, `10m ago`, an id, a time.
//! * [`Scheduler`] and [`Policy`]: automatic restore points, and the rules of retention.
//! * [`Keeper`]: reopens the file when a failure has closed it.
//! * [`Error`] and [`ErrorKind`]: the failure, and the next step.
//! * [`mod@format`]: the file, byte by byte.
//!
//! # The layers
//!
//! A layer imports only itself and the layers above it in this list. A layer adds its verbs to [`Store`], [`View`] and
//! [`WriteTx`] in `impl` blocks of its own: [`Store::write`] is in `engine`, [`Store::claim_wait`] in `state`,
//! [`Store::restore`] in `recovery`. `main.rs` calls the command line.
//!
//! 1. `error`, `actor`, `clock`, `duration`, `limits`, `text` and [`json`]: plain data, the one access
//!    to the clock, the limits and the display of texts, JSON as it was written; below them `files`, the
//!    one access to names on the disk.
//! 2. `engine`: versioned records in one redb file. It knows keys and bytes, points and segments.
//! 3. `state`: the meaning of records: bots, tasks, messages, documents.
//! 4. `recovery`: points, restores, differences, backups, retention, sessions.
//! 5. `worker`: the loop of a bot that claims tasks and does them.
//! 6. `transfer`: the adoption of state from other programs, archives outside the file, and the diagnosis whether the
//!    state could be recovered.
//! 7. `replica`: the store off the machine, in a directory or in the cloud.
//! 8. `service`: the store together with the threads that run beside it in a service.
//! 9. `face`: the command line, HTTP, and the library for async programs. It imports only what is public here,
//!    `service`, `files` and the preparation of documents; `tests/layers.rs` says why.
//!
//! # Where each verb is written
//!
//! | file in `src` | verbs of [`Store`] |
//! |---|---|
//! | `engine/opening/reopen` | `is_closed` `reopen` |
//! | `engine/store` | `options` `write` `durability` `with_durability` `load` `view` `path` `clock` `compact` |
//! | `engine/wal/of_store` | `log_status` |
//! | `recovery/backups/verbs` | `backup` `backups` `find_backup` `point_with_backups` `backup_data` |
//! | `recovery/bulk/steps` | `plan_bulk` `begin_bulk` `continue_bulk` `stop_bulk` `bulk_jobs` |
//! | `recovery/check/last` | `note_check` `last_check` |
//! | `recovery/check/last_drill` | `note_drill` |
//! | `recovery/check/verify` | `check` `check_with` `check_at` `check_at_with` `check_sample` `check_sample_with` `check_pages` |
//! | `recovery/diff` | `diff` |
//! | `recovery/diff_page` | `diff_page` |
//! | `recovery/events/failures` | `restore_data` |
//! | `recovery/events/log/lines` | `event_log_error` |
//! | `recovery/guard` | `guard` `begin_guard` |
//! | `recovery/inventory` | `inventory` |
//! | `recovery/open_close` | `open` `close` |
//! | `recovery/points/find` | `points` `all_points` `find_point` `at` |
//! | `recovery/points/make` | `restore_point` `make_point` |
//! | `recovery/points/size` | `point_size` |
//! | `recovery/points/timeline` | `brief_points` `timeline` |
//! | `recovery/pulse` | `pulse` |
//! | `recovery/repair/plan` | `plan_repair` `plan_repair_without_log` |
//! | `recovery/restore/apply` | `restore` `apply` |
//! | `recovery/restore/planning` | `plan_restore` |
//! | `recovery/restore/undo` | `plan_undo` `undo` `undo_discarding` |
//! | `recovery/retention/apply` | `hold` `release` `forget` `judge` `retain` |
//! | `recovery/retention/stored` | `policy` `set_policy` `retain_by_policy` |
//! | `recovery/sessions/crash` | `crash` |
//! | `recovery/sessions/session` | `session` `notice_crashes` `sessions` `acknowledge_crashes` `mark_shutdown` `take_mark_back` |
//! | `recovery/upkeep/auto_backup` | `auto_backup_if_needed` `auto_backup` `next_backup_at` |
//! | `recovery/upkeep/scheduler` | `upkeep` |
//! | `replica/checks/drill` | `drill_replica` |
//! | `replica/checks/status` | `replica_status` |
//! | `replica/checks/verify` | `verify_replica` |
//! | `replica/following/standby` | `copy_time` |
//! | `replica/following/take_over` | `take_over_replica` |
//! | `replica/mending/heal` | `heal_from_replica` |
//! | `replica/mending/repair` | `plan_repair_from_replica` |
//! | `replica/orphans/apply` | `plan_orphans` `apply_orphans` |
//! | `replica/restoring/restored` | `restore_replica` |
//! | `replica/shipping/init` | `init_replica` |
//! | `replica/shipping/replicator` | `replicate` |
//! | `state/audit/acting` | `acting_as` |
//! | `state/heartbeats` | `heartbeat` |
//! | `state/queue/claiming/next` | `complete_and_claim` |
//! | `state/queue/claiming/wait` | `claim_wait` |
//! | `state/queue/ending/delivery` | `give_back` |
//! | `state/queue/ending/purge` | `purge_finished` |
//! | `state/queue/pushing/batch` | `enqueue_all` |
//! | `state/schedules/fire` | `fire_schedules` |
//! | `transfer/adopt/adoption` | `adopt` |
//! | `transfer/adopt/rehearse` | `rehearse_adopt` |
//! | `transfer/archive/exporting/export` | `export` `export_with` |
//! | `transfer/archive/importing/apply` | `plan_import` `plan_import_with` `import` `import_with` `apply_import` `apply_import_with` |
//! | `transfer/archive/importing/import` | `verify_archive` `verify_archive_with` `import_new` `import_new_with` |
//! | `transfer/archive/routine/automatic` | `auto_archive` |
//! | `transfer/archive/routine/last` | `last_archive` |
//! | `transfer/doctor/diagnosis` | `diagnose` |
//! | `transfer/drill/rehearsal` | `drill` |
//! | `transfer/restore_to` | `restore_to` |
//! | `transfer/summary` | `summary` `weigh` |
//! | `worker/builder` | `worker` |
//!
//! # Durability
//!
//! * When [`Store::write`] returns, its changes are on the disk. Callers on several threads share a sync.
//! * If a closure fails or panics, its own changes are undone, and no others.
//! * If a commit itself fails, the error is [`ErrorKind::Uncertain`]: the changes may exist after reopening. Until then
//!   the store refuses writes. Tasks that must not be enqueued twice have an
//!   [idempotency key](NewTask::idempotency_key).
//! * After a failure of the disk, [`Store::reopen`] reopens the file, and the session of the process continues.
//! * A store belongs to the process that opened it. In a forked child every call fails with [`ErrorKind::Forked`]; the
//!   child must open the store itself. Writes to a file that was moved, replaced or removed fail with
//!   [`ErrorKind::Moved`].
//! * A restore never changes sequence numbers, tokens, the audit trail and the events.
//! * Heartbeats and sessions are not versioned either, so a fleet does not look dead after a restore.
//!
//! # Limits
//!
//! Longer values are refused with [`ErrorKind::Invalid`], by name and before anything is written. Longer values that an
//! earlier version stored can still be read, archived, imported and repaired.
//!
//! | of | at most |
//! |---|---|
//! | names: of bots, tasks, conversations, capabilities, specializations, config keys, idempotency keys | 200 bytes |
//! | a collection: its name; the keys of its records; how many there are | 64 bytes; 1 KiB; 10,000 |
//! | kind and source of a document, source of a backup | 512 bytes each |
//! | a description; its tags | 4 KiB; 64, each of 256 bytes with its name |
//! | kind, status, endpoint and repo of a bot; a role; action, actor and target of an audit entry | 4 KiB each |
//! | the error of an attempt; result, details and original text of an audit entry | 64 KiB; 64 KiB, 64 KiB and 1 MiB |
//! | the content of a message; attributes of bots, tasks and messages | 1 MiB |
//! | the details of an event | 2 MiB |
//! | a value: of config or a collection, a payload, a result, an element of a document | 64 MiB of JSON |
//! | a document | 1 GiB of JSON |
//! | the name of a key; keys | 64 bytes; 1,000 |
//! | a schedule: its name; its payload; its attributes; its interval; how many there are | 64 bytes; 64 KiB; 64 KiB; 10 years; 1,000 |
//! | specializations of a bot; capabilities and dependencies of a task | 256; 16 and 1,000 |
//! | a batch of tasks: how many; their dependencies together; their payloads, attributes and names of dependencies together | 10,000; 100,000; 64 MiB of JSON |
//! | a lease; the delay of a retry; the delay of a task | 7 days; 30 days; 100 years |
//! | a page of a list, the tasks of a claim: they end early once they are longer | 4 MiB, or one record |
//!
//! # Features
//!
//! `cli` is the program, `http` its service, `mcp` its tools for agents; all are on by default. `tokio` has
//! `AsyncStore`, for async programs. A bot that links the library alone sets `default-features = false`.
#![forbid(unsafe_code)]

mod actor;
mod clock;
pub mod duration;
mod engine;
mod error;
#[cfg(any(feature = "cli", feature = "tokio"))]
mod face;
mod files;
pub mod json;
mod limits;
mod recovery;
#[cfg(feature = "replica")]
mod replica;
#[cfg(feature = "cli")]
mod service;
mod state;
#[cfg(any(fuzzing, test, feature = "parts"))]
mod testkit;
pub mod text;
#[cfg(feature = "transfer")]
mod transfer;
mod worker;

pub mod format {
    #![doc = include_str!("engine/FORMAT.md")]
}

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use actor::Actor;
pub use clock::{Clock, ManualClock, SystemClock, parse_time, show_time, time};
pub use engine::check::{CheckReport, Finding};
pub use engine::digest::{Digest, Stats};
pub use engine::epoch::Epoch;
#[cfg(feature = "replica")]
pub use engine::heal::{HealReport, HealedRow, RefusedRow};
pub use engine::options::{Durability, Options, Sharing, VerifyOnOpen};
pub use engine::point::{Origin, PointId, Restored, Scope};
pub use engine::redb_file::hush_contained_panics;
pub use engine::repair::{
    CollectionLoss, DamagedPage, DamagedRow, LostRecord, PartialPoint, RepairOutcome, RepairReport,
};
pub use engine::store::Store;
pub use engine::view::View;
pub use engine::wal::{LastCheckpoint, LogStatus};
pub use engine::write::WriteTx;
pub use error::{Error, ErrorKind, Hint, Result};
#[cfg(feature = "tokio")]
pub use face::asynchronous::AsyncStore;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use face::cli::run as run_program;
pub use recovery::backups::{Backup, BackupOf, BackupRequest, Kind};
pub use recovery::bulk::job::{BulkJob, BulkState};
pub use recovery::check::last::LastCheck;
pub use recovery::check::last_drill::{LastDrill, Rehearsed};
pub use recovery::check::last_replica::{LastReplicaCheck, LastReplicaDrill, ReplicaWatch};
pub use recovery::diff::{Change, ChangeKind, Counts, Diff};
pub use recovery::diff_page::{DiffFilter, DiffPage};
pub use recovery::events::event::{Event, EventKind, Events};
pub use recovery::guard::{Guard, GuardOptions, Guarded, RollBack};
pub use recovery::inventory::Inventory;
pub use recovery::points::collections::NamedRecords;
pub use recovery::points::make::PointRequest;
pub use recovery::points::point::{Point, PointLoss};
pub use recovery::points::resolve::{Named, PointName, Resolved, resolve};
pub use recovery::points::selector::Selector;
pub use recovery::points::short_ids::ShortIds;
pub use recovery::points::size::PointSize;
pub use recovery::points::timeline::{BriefPoint, Timeline, TimelineBucket};
pub use recovery::points::versions::{ChangedBy, Version, VersionPoint};
pub use recovery::pulse::Pulse;
pub use recovery::repair::plan::RepairPlan;
pub use recovery::restore::earlier::Earlier;
pub use recovery::restore::options::RestoreOptions;
pub use recovery::restore::plan::{RestorePlan, RestoreReport, Verified};
pub use recovery::retention::stored::{PolicySet, StoredPolicy};
pub use recovery::retention::{Candidate, Class, Policy, Reason, TagRule, Thinning, Verdict};
pub use recovery::sessions::crash::Crash;
pub use recovery::sessions::session::{Session, SessionState};
pub use recovery::upkeep::keeper::{Keeper, Kept};
pub use recovery::upkeep::scheduler::{Scheduler, SchedulerOptions};
pub use recovery::upkeep::work::{Attendant, Health, Work};
#[cfg(feature = "replica")]
pub use replica::bucket::location::ReplicaLocation;
#[cfg(feature = "replica")]
pub use replica::checks::drill::{DrillReplicaOptions, DrilledReplica};
#[cfg(feature = "replica")]
pub use replica::checks::status::{ReplicaBase, ReplicaCommit, ReplicaStatus, ReplicaTerm};
#[cfg(feature = "replica")]
pub use replica::checks::verify::VerifiedReplica;
#[cfg(feature = "replica")]
pub use replica::following::standby::{ReplicaStandby, StandbyChange, StandbyLease, StandbyProgress};
#[cfg(feature = "replica")]
pub use replica::following::standby_run::{StandbyEnd, StandbyEvent, StandbyOptions};
#[cfg(feature = "replica")]
pub use replica::following::take_over::{TakeOverOptions, TakenOver};
#[cfg(feature = "replica")]
pub use replica::mending::heal::HealOptions;
#[cfg(feature = "replica")]
pub use replica::orphans::report::{Orphan, OrphanCounts, OrphanFate, OrphansOptions, OrphansPlan, OrphansReport};
#[cfg(feature = "replica")]
pub use replica::restoring::moment::ReplicaMoment;
#[cfg(feature = "replica")]
pub use replica::restoring::restored::{RestoreReplicaOptions, RestoredReplica};
#[cfg(feature = "replica")]
pub use replica::shipping::init::InitReplicaOptions;
#[cfg(feature = "replica")]
pub use replica::shipping::options::ReplicateOptions;
#[cfg(feature = "replica")]
pub use replica::shipping::replicator::Replicator;
#[cfg(feature = "replica")]
pub use replica::shipping::shipping_status::ReplicationStatus;
pub use state::assignments::{Assignment, AssignmentKind, Assignments};
pub use state::audit::{
    AskedBy, Audit, AuditFilter, AuditFinding, AuditReport, Entry, EntryHash, Level, Link, NewEntry, Trail,
};
pub use state::changes::RecordChanges;
pub use state::chat::{Chat, ChatFilter, Message, NewMessage};
pub use state::collection::Collection;
pub use state::config::Config;
pub use state::documents::{DocumentId, Documents, Written};
pub use state::ids::{BotId, SessionId, TaskId, Token};
pub use state::keys::Keys;
pub use state::keys::key::{Key, KeyName, KeyState, NewKey, Role};
pub use state::keys::secret::KeySecret;
pub use state::notes::Notes;
pub use state::page::{KeyedPage, Page};
pub use state::queue::{
    BulkAction, BulkTasks, Claim, ClaimOptions, ClaimOwner, ClaimWait, Completed, Enqueued, Holder, KeptClaims, Memory,
    NewTask, Obstacle, Priority, Queue, Remembered, Retry, Task, TaskCounts, TaskFilter, TaskPage, TaskState,
    Undelivered, Why,
};
pub use state::registry::{Bot, Registry};
pub use state::schedules::Schedules;
pub use state::schedules::cron::Cron;
pub use state::schedules::name::ScheduleName;
pub use state::schedules::schedule::{Missed, NewSchedule, Overlap, Schedule};
pub use state::schedules::timing::Timing;
#[cfg(any(fuzzing, test))]
pub use testkit::fuzzing;
#[cfg(feature = "parts")]
#[doc(hidden)]
pub use testkit::parts;
#[cfg(feature = "transfer")]
pub use transfer::adopt::report::{AdoptProblem, AdoptReport, AdoptSkipped, AdoptThing, AdoptedFile};
#[cfg(feature = "transfer")]
pub use transfer::adopt::{AdoptOptions, AdoptSource};
#[cfg(feature = "transfer")]
pub use transfer::archive::{
    ArchiveManifest, ArchivePolicy, ArchiveSchedule, ArchivedCollection, ArchivedLoss, ArchivedPoint, ArchivedTrail,
    ExportOptions, ExportReport, ImportOptions, ImportPlan, ImportReport, LastArchive,
};
#[cfg(feature = "transfer")]
pub use transfer::doctor::{Condition, Diagnosis, DiagnosisLine, DiagnosisOptions};
#[cfg(feature = "transfer")]
pub use transfer::drill::targets::{Disaster, DrillTarget};
#[cfg(feature = "transfer")]
pub use transfer::drill::{DrillOptions, DrillReport, DrillScenario, DrillWatch, Rebuilt, drill_bot};
#[cfg(feature = "transfer")]
pub use transfer::replica_state::{ReplicaCopy, ReplicaOvertaken, ReplicaShipping, ReplicaState, ReplicaWaiting};
#[cfg(feature = "transfer")]
pub use transfer::summary::{OutsideCopy, PointTotals, ScheduleTotals, Summary, Weight, Weights};
pub use worker::Worker;
pub use worker::events::{WorkerCounts, WorkerEvent};
pub use worker::job::{Job, JobFailure};
pub use worker::running::Working;
