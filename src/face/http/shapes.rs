//! The JSON objects in responses, as the OpenAPI document names them. The tests compare every response of the service
//! with them: one field too many or too few is a failure.
//!
//! The file is long because it is one list, in which every object is found by its name.

use crate::face::wire::field::FieldType::{Any, Flag, List, Map, Number, Object, Of, Text, Time, Word};
use crate::face::wire::field::{Field, FieldType, Shape, TEXTS, nullable, required, sometimes};
use crate::face::wire::task::NEW_TASK;
use crate::{BulkAction, BulkState, Durability, KeyState, Level, Missed, Overlap, Priority, Role, TaskState};

/// An object of strings.
pub(super) const TAGS: FieldType = Map(&Text);
/// The types of backups.
pub(super) const BACKUP_TYPE: FieldType = Word(|| vec!["registry", "queue", "bot_assignments", "full"]);
/// The part that a restore verified.
pub(super) const VERIFIED: FieldType = Word(|| vec!["changed", "all"]);
/// The changes of a restore by collection.
pub(super) const COUNTS_BY_COLLECTION: FieldType = Map(&Of(&COUNTS));

pub(super) const BOT: Shape = Shape {
    name: "Bot",
    about: "a bot of the fleet",
    base: None,
    fields: &[
        required("id", Text, "its id"),
        nullable("kind", Text, "the kind of bot, such as claude-code"),
        nullable("status", Text, "the status that it reports"),
        nullable("endpoint", Text, "the address at which it is reached"),
        nullable("port", Number, "the port on which it listens"),
        nullable("pid", Number, "process id"),
        nullable("repo", Text, "the repository that it works on"),
        required("specializations", TEXTS, "its capabilities"),
        nullable("max_concurrent", Number, "number of tasks that it may hold; three if null"),
        nullable("registered_at", Time, "time of registration"),
        nullable("last_heartbeat", Time, "time of the last heartbeat; always the current one, even as of a point"),
        required("attributes", Object, "additional fields"),
    ],
};

pub(super) const KEY: Shape = Shape {
    name: "Key",
    about: "a key, without its secret",
    base: None,
    fields: &[
        required("name", Text, "its name"),
        required("role", Word(|| Role::ALL.map(Role::as_str).to_vec()), "the rights of its holder"),
        nullable("bot", Text, "the only bot that it acts as"),
        required("state", Word(|| KeyState::ALL.map(KeyState::as_str).to_vec()), "whether it is valid"),
        required("created_at", Time, "time at which it was added"),
        nullable("expires_at", Time, "time at which it ends"),
        nullable("revoked_at", Time, "time at which it was revoked"),
        nullable("last_used_at", Time, "time of its last use, to the minute"),
        nullable("old_secret_until", Time, "time until which the secret before the last rotation is valid"),
    ],
};

const CHECKPOINT: Shape = Shape {
    name: "LastCheckpoint",
    about: "the last part of the write-ahead log that was moved into the file of the store",
    base: None,
    fields: &[required("at", Time, "time at which it was done"), required("took_ms", Number, "its duration")],
};

pub(super) const LOG: Shape = Shape {
    name: "LogStatus",
    about: "the write-ahead log of a store that one process has for itself, or whose processes share one",
    base: None,
    fields: &[
        required("in_use", Flag, "whether commits are in it that the file of the store may not have yet"),
        nullable("since", Time, "the time up to which that file has everything, while the log is in use"),
        required("format", Number, "version of the format of its files"),
        required(
            "durability",
            Word(|| Durability::ALL.map(Durability::as_str).to_vec()),
            "when a write is answered: in the replica, on the disk, or in the system",
        ),
        required("sections", Number, "number of its files"),
        required("bytes", Number, "their length"),
        required("memory_bytes", Number, "memory of the rows that the file of the store does not have yet"),
        nullable("last_checkpoint", Of(&CHECKPOINT), "the last time a part of it was moved into the file of the store"),
        nullable("failing", Text, "reason why it cannot be moved there now; null while it can"),
        required("views", Number, "open views of the process, each of which keeps the rows of its time in memory"),
        nullable("oldest_view", Time, "time at which the oldest of them began"),
    ],
};

pub(super) const ME: Shape = Shape {
    name: "Me",
    about: "the caller and its rights",
    base: None,
    fields: &[
        nullable("key", Text, "the name of the key; null where the service asks for none"),
        required("role", Word(|| Role::ALL.map(Role::as_str).to_vec()), "the role"),
        nullable("bot", Text, "the only bot that it acts as"),
        required("may", Map(&Flag), "for each role, whether the requests that need it are allowed"),
    ],
};

pub(super) const TASK: Shape = Shape {
    name: "Task",
    about: "a task in the queue",
    base: None,
    fields: &[
        required("id", Text, "its id"),
        required("priority", Word(|| Priority::ALL.map(Priority::as_str).to_vec()), "P0 is the most urgent"),
        required("sequence", Number, "order among tasks of the same priority"),
        required("state", Word(|| TaskState::ALL.map(TaskState::as_str).to_vec()), "state of the task"),
        nullable("holder", Of(&HOLDER), "the holder, while the task is claimed"),
        nullable("assigned_to", Text, "the only bot that may claim it"),
        required("capabilities", TEXTS, "capabilities that a bot needs to claim it"),
        required("waiting_for", TEXTS, "dependencies that are not done yet"),
        nullable("not_before", Time, "no bot may claim it before this time"),
        nullable("finished_at", Time, "time at which it became done, failed, dead or cancelled"),
        nullable("idempotency_key", Text, "pushing the same key again returns the same task"),
        required("depends_on", TEXTS, "tasks that must be done first"),
        required("attempts", Number, "number of claims, without those that were released"),
        required("max_attempts", Number, "after this number of failed attempts the task is dead"),
        required("enqueued_at", Time, "time at which it was pushed"),
        nullable(
            "finished_by",
            Text,
            "the bot that finished it, or held it when it became dead; null when somebody else cancelled it",
        ),
        nullable("last_error", Text, "error of the last attempt"),
        required("payload", Any, "payload of the task, in the words of its producer"),
        required("result", Any, "result; null until the task is done"),
        required("attributes", Object, "additional fields"),
        nullable(
            "ready_since",
            Time,
            "time since which it can be claimed; null while it is scheduled or waits for a dependency",
        ),
    ],
};

pub(super) const PUSHED: Shape = Shape {
    name: "PushedTask",
    about: "a task that was pushed, now or earlier",
    base: Some(&TASK),
    fields: &[
        required("existing", Flag, "whether it is the earlier task with that idempotency key, in any state"),
        DIFFERS,
    ],
};

const DIFFERS: Field = sometimes(
    "differs",
    TEXTS,
    "with allow_different: the fields in which the earlier task differs from the pushed one",
);

pub(super) const BATCHED: Shape = Shape {
    name: "BatchedTask",
    about: "a task of a batch",
    base: None,
    fields: &[
        required("id", Text, "its id"),
        required("state", Word(|| TaskState::ALL.map(TaskState::as_str).to_vec()), "state of the task"),
        required("existing", Flag, "whether it is the earlier task with that idempotency key"),
        sometimes("task", Of(&TASK), "all of it, where the request is full"),
        DIFFERS,
    ],
};

pub(super) const SCHEDULE: Shape = Shape {
    name: "Schedule",
    about: "a task that comes back by the calendar",
    base: None,
    fields: &[
        required("name", Text, "its name"),
        nullable("every_ms", Number, "the interval in milliseconds; null if it has a cron expression"),
        nullable("from", Time, "time from which the intervals count"),
        nullable("cron", Text, "the cron expression; null if it has an interval"),
        nullable("time_zone", Text, "the time zone of the cron expression"),
        required("missed", Word(|| Missed::ALL.map(Missed::as_str).to_vec()), "missed due times that fire"),
        required(
            "overlap",
            Word(|| Overlap::ALL.map(Overlap::as_str).to_vec()),
            "whether due times fire while the last task is not finished",
        ),
        required("paused", Flag, "whether it is paused"),
        required("created_at", Time, "time at which it was added"),
        required("task", Of(&NEW_TASK), "the task that it enqueues, without the fields that have their default"),
        nullable("next_at", Time, "the next due time; null while it is paused, and as of a point"),
        nullable("last_due_at", Time, "the last due time that became a task"),
        nullable("last_task", Text, "the last task that it enqueued"),
    ],
};

pub(super) const WHY: Shape = Shape {
    name: "Why",
    about: "the reasons why a task is not claimed, or the bots that may claim it",
    base: None,
    fields: &[
        required("id", Text, "the task"),
        required("state", Word(|| TaskState::ALL.map(TaskState::as_str).to_vec()), "state of the task"),
        required("reasons", List(&Object), "obstacles, each with its reason and its subject"),
        required("anybody", Flag, "whether any bot with a free slot may claim it now, registered or not"),
        required("may_claim", TEXTS, "registered bots that may claim it now; at most ten"),
        required("may_claim_more", Number, "number of further bots that may claim it"),
        required("text", Text, "the same in one line"),
    ],
};

const HOLDER: Shape = Shape {
    name: "Holder",
    about: "the holder of a claimed task",
    base: None,
    fields: &[
        required("bot", Text, "the bot"),
        nullable("token", Number, "token that it must show; where keys are required, only that bot sees it"),
        required("since", Time, "time at which it was claimed"),
        required("deadline", Time, "end of the lease unless it is extended"),
        required("lease_ms", Number, "length of the lease in milliseconds"),
        nullable("session", Number, "the session of the process that claimed it for itself"),
    ],
};

pub(super) const CLAIM: Shape = Shape {
    name: "Claim",
    about: "a claimed task",
    base: None,
    fields: &[
        required("id", Text, "the task"),
        required("token", Number, "token to extend, complete, fail or release it"),
        required("payload", Any, "payload of the task, in the words of its producer"),
        required("deadline", Time, "end of the lease unless it is extended"),
        required("attempt", Number, "number of this attempt, from 1"),
        required("attributes", Object, "additional fields"),
    ],
};

pub(super) const ASSIGNMENT: Shape = Shape {
    name: "Assignment",
    about: "a task that belongs to a bot",
    base: None,
    fields: &[
        required("bot", Text, "the bot"),
        required("task", Text, "the task"),
        required(
            "hold",
            Word(|| vec!["assigned", "claimed"]),
            "whether the task is assigned to the bot or claimed by it",
        ),
        required("since", Time, "time since which the bot has it"),
    ],
};

pub(super) const MESSAGE: Shape = Shape {
    name: "Message",
    about: "a message in the chat of the fleet",
    base: None,
    fields: &[
        required("sequence", Number, "its sequence number"),
        nullable("bot_id", Text, "the bot that sent or receives it"),
        required("conversation", Text, "name of the conversation"),
        required("role", Text, "role of the speaker: user, assistant, system or another word"),
        required("content", Text, "text of the message"),
        required("timestamp", Time, "time of the message"),
        nullable("original_time", Text, "the time as the original program wrote it"),
        required("attributes", Object, "additional fields"),
    ],
};

pub(super) const ENTRY: Shape = Shape {
    name: "AuditEntry",
    about: "an entry of the audit trail",
    base: None,
    fields: &[
        required("sequence", Number, "its sequence number"),
        required("timestamp", Time, "time of the event"),
        required("recorded", Time, "time at which it was appended"),
        required("action", Text, "action"),
        required("actor", Text, "actor"),
        nullable("target", Text, "target of the action"),
        required("level", Word(|| Level::ALL.map(Level::as_str).to_vec()), "severity"),
        nullable("result", Text, "outcome"),
        required("details", Any, "details of the action"),
        nullable("original", Text, "the text as the original program wrote it"),
        required("previous", Text, "hash of the previous entry"),
        sometimes("asked_by", Of(&ASKED_BY), "the caller that asked for the entry, as the store itself knows it"),
    ],
};

pub(super) const ASKED_BY: Shape = Shape {
    name: "AskedBy",
    about: "the caller that asked for an audit entry; no client can set it",
    base: None,
    fields: &[
        required("actor", Text, "a key, a user such as cli:1000, or a program; http where no key is asked for"),
        nullable("bot", Text, "the only bot that it acts as"),
        nullable("address", Text, "the place that it asked from"),
        nullable("request_id", Text, "the id of its request"),
        required(
            "told",
            Flag,
            "whether the content is what the actor told, and not what the store recorded of a change",
        ),
    ],
};

pub(super) const EVENT: Shape = Shape {
    name: "Event",
    about: "an event of the store",
    base: None,
    fields: &[
        required("sequence", Number, "its sequence number"),
        required("timestamp", Time, "time of the event"),
        required("event", Text, "kind of event; new kinds may be added"),
        required("details", Any, "details of the event"),
        sometimes("actor", Text, "the actor of the change: a key, a user such as cli:1000, or a program"),
    ],
};

pub(super) const BACKUP: Shape = Shape {
    name: "Backup",
    about: "a backup of one kind of state",
    base: None,
    fields: &[
        required("backup_id", Text, "its id"),
        required("backup_type", BACKUP_TYPE, "kind of state"),
        required("timestamp", Time, "time at which it was made"),
        required("source", Text, "the client or program that made it"),
        required("size_bytes", Number, "length of its content in bytes"),
        required("item_count", Number, "total number of elements of its top-level arrays and objects"),
        required("checksum", Text, "SHA-256 of its content"),
        required("tags", TAGS, "tags as given"),
        required(
            "of",
            Word(|| vec!["live", "documents"]),
            "whether it holds the live state or a document from the request",
        ),
    ],
};

pub(super) const RESTORE_POINT: Shape = Shape {
    name: "RestorePoint",
    about: "a restore point as the endpoints of the replaced service return it",
    base: None,
    fields: &[
        required("restore_id", Text, "its id"),
        required("timestamp", Time, "time at which it was made"),
        required("backups", TEXTS, "ids of the backups in it"),
        required("description", Text, "free text of its creator"),
        required("manual", Flag, "whether a client or a person asked for it, and not a schedule"),
    ],
};

pub(super) const RESTORE_POINT_DETAILS: Shape = Shape {
    name: "RestorePointDetails",
    about: "a restore point with the backups in it",
    base: Some(&RESTORE_POINT),
    fields: &[required("backup_details", List(&Of(&BACKUP)), "the backups")],
};

pub(super) const CRASH: Shape = Shape {
    name: "Crash",
    about: "a session that crashed",
    base: None,
    fields: &[
        required("session", Number, "number of the session"),
        required("program", Text, "name of the program"),
        required("pid", Number, "process id"),
        required("last_alive", Time, "time at which it was last alive"),
        nullable("restore_point", Text, "the newest restore point; a crash alone is no reason to restore it"),
        required("tasks_returned", Number, "claimed tasks of the process that became ready again"),
    ],
};

pub(super) const ARCHIVE: Shape = Shape {
    name: "ArchiveStatus",
    about: "the copy that would remain if the file were lost",
    base: None,
    fields: &[
        required("automatic", Flag, "whether archives are made automatically"),
        nullable("last", Of(&LAST_ARCHIVE), "the newest automatic archive"),
        nullable("exported", Text, "the newest archive of the whole store, if it was made by hand; null otherwise"),
        nullable("same_file_system", Flag, "whether it is on the file system of the store; null if unknown"),
        nullable("changed_since", Flag, "whether the state has changed since; null without an archive"),
        nullable("warning", Text, "the risk of losing state; null while a copy is safe"),
    ],
};

pub(super) const LAST_ARCHIVE: Shape = Shape {
    name: "Archive",
    about: "an automatic archive",
    base: None,
    fields: &[
        required("file", Text, "the file"),
        required("at", Time, "time at which it was made"),
        required("restore_id", Text, "id of the archived point"),
        required("sha256", Text, "SHA-256 of the file"),
        required("bytes", Number, "length of the file in bytes"),
        required("verified", Flag, "whether the whole file was read back"),
        required("state_at", Time, "time at which the store had the archived state"),
        required("encrypted", Flag, "whether it is encrypted"),
        required(
            "opened",
            Flag,
            "whether its records were read back too; impossible if it is encrypted for another key",
        ),
    ],
};

pub(super) const DRILL: Shape = Shape {
    name: "Drill",
    about: "the last drill",
    base: None,
    fields: &[
        required("at", Time, "time at which it ended"),
        required("took_ms", Number, "duration in milliseconds"),
        required("records", Number, "number of records in the copy that was used"),
        required("scenarios", List(&Of(&REHEARSED)), "the disasters that were simulated"),
    ],
};

const REHEARSED: Shape = Shape {
    name: "Rehearsed",
    about: "one simulated disaster",
    base: None,
    fields: &[
        required("name", Text, "name of the disaster"),
        required("recovery_ms", Number, "time from the disaster until work continued"),
        required("lost_records", Number, "acknowledged records that were lost"),
        required("lost_ms", Number, "age of the oldest lost record"),
        required("met", Flag, "whether time and loss met their targets"),
    ],
};

pub(super) const POINT: Shape = Shape {
    name: "Point",
    about: "a restore point",
    base: None,
    fields: &[
        nullable("id", Text, "its id; null for the point of a single commit, which is named by its time"),
        required("epoch", Number, "number of the epoch that it sealed"),
        required("timestamp", Time, "time at which it was made"),
        required("sealed_at", Time, "time at which it was sealed in this store"),
        nullable(
            "origin",
            Word(|| vec!["live", "documents", "adopted", "safety"]),
            "origin of the point; null for that of a single commit",
        ),
        required("manual", Flag, "whether a client or a person asked for it, and not a schedule"),
        required("description", Text, "free text of its creator"),
        required("tags", TAGS, "tags as given"),
        required("held", Flag, "whether it is held, so that retention never forgets it"),
        required("backups", TEXTS, "ids of the backups in it"),
        required("collections", Map(&Of(&STATS)), "statistics of each collection at the point"),
        required("partial", Flag, "whether a repair could not recover all of it"),
        sometimes("lost", Map(&Of(&LOSS)), "losses by collection; present if it is partial"),
        sometimes("frees", Of(&POINT_SIZE), "the space that forgetting it alone would free; present with `sizes`"),
    ],
};

const POINT_SIZE: Shape = Shape {
    name: "PointSize",
    about: "the space that only a point needs",
    base: None,
    fields: &[
        required("rows", Number, "rows that exist only for it"),
        required("bytes", Number, "bytes of their keys and values"),
    ],
};

pub(super) const STATS: Shape = Shape {
    name: "Stats",
    about: "statistics of a collection",
    base: None,
    fields: &[
        required("count", Number, "number of records"),
        required("bytes", Number, "total length of their payloads"),
        required("digest", Text, "sum of their hashes"),
    ],
};

const LOSS: Shape = Shape {
    name: "Loss",
    about: "the losses of a point in one collection",
    base: None,
    fields: &[
        required("was", Of(&STATS), "statistics before the damage"),
        required("keys", TEXTS, "keys of records that are known to be lost; there may be others"),
    ],
};

const COUNTS: Shape = Shape {
    name: "Counts",
    about: "numbers of records that differ in a collection",
    base: None,
    fields: &[
        required("added", Number, "records that are new"),
        required("changed", Number, "records that differ"),
        required("removed", Number, "records that are gone"),
    ],
};

pub(super) const CHANGE: Shape = Shape {
    name: "Change",
    about: "a record that differs",
    base: None,
    fields: &[
        required("collection", Text, "its collection"),
        required("key", Text, "its key"),
        required(
            "change",
            Word(|| vec!["added", "changed", "removed", "lost"]),
            "kind of change; lost: a repair lost it at a point",
        ),
        required("before", Any, "value before, or null"),
        required("after", Any, "value after, or null"),
    ],
};

const EARLIER: Shape = Shape {
    name: "EarlierPoint",
    about: "an earlier point that differs from the present",
    base: None,
    fields: &[
        required("point", Text, "its id, or the time of a single commit"),
        required("timestamp", Time, "time at which it was made"),
        required("command", Text, "command that restores it"),
    ],
};

const VERSION_POINT: Shape = Shape {
    name: "VersionPoint",
    about: "a point that holds a version of a record",
    base: None,
    fields: &[
        required("point", Text, "its id, or the time of a single commit"),
        required("timestamp", Time, "time at which it was made"),
    ],
};

const CHANGED_BY: Shape = Shape {
    name: "ChangedBy",
    about: "the author of a change",
    base: None,
    fields: &[
        required("actor", Text, "actor of the audit entry about it, or the bot of the task"),
        required("action", Text, "action of the entry, or the state of the task"),
    ],
};

pub(super) const VERSION: Shape = Shape {
    name: "Version",
    about: "a version of a record",
    base: None,
    fields: &[
        nullable("change", Word(|| vec!["added", "changed", "removed", "lost"]), "kind of change; null if unknown"),
        required("value", Any, "value, or null while the record did not exist"),
        nullable("point", Of(&VERSION_POINT), "the newest point that holds it"),
        required("points", Number, "number of points that hold it"),
        nullable("changed_after", Time, "time of the newest point that holds the previous version"),
        nullable("changed_before", Time, "time of the oldest point that holds it"),
        nullable("by", Of(&CHANGED_BY), "author of the change, if known"),
    ],
};

pub(super) const PLAN: Shape = Shape {
    name: "RestorePlan",
    about: "the plan of a restore",
    base: None,
    fields: &[
        required("point", Of(&POINT), "the point that would be restored"),
        required("collections", COUNTS_BY_COLLECTION, "added, changed and removed records by collection"),
        required("tasks_run_again", Number, "finished tasks that would run again unless keep_finished is set"),
        required(
            "tasks_forgotten",
            Number,
            "tasks pushed and finished since the point, which would be lost unless keep_finished is set",
        ),
        required("keep_finished", Flag, "whether finished tasks stay as they are"),
        required("state", Text, "name of the state that the plan was made of, for `expect`"),
        required("text", Text, "the plan in words"),
        sometimes("earlier", Of(&EARLIER), "the newest earlier point that differs; present if nothing differs"),
    ],
};

pub(super) const RESTORED: Shape = Shape {
    name: "RestoreReport",
    about: "the result of a restore",
    base: None,
    fields: &[
        required("point", Text, "id of the restored point"),
        required("collections", COUNTS_BY_COLLECTION, "added, changed and removed records by collection"),
        nullable("undo", Text, "id of the safety point that undoes it; null if nothing changed"),
        required("verified", VERIFIED, "whether the changed records or all records were verified"),
        required("claims_returned", Number, "claims that became ready tasks again; their tokens are void"),
        required("tasks_run_again", Number, "finished tasks that run again unless keep_finished was set"),
        required(
            "tasks_forgotten",
            Number,
            "tasks pushed and finished since the point, which were lost unless keep_finished was set",
        ),
        required("keep_finished", Flag, "whether finished tasks stayed as they were"),
        sometimes("earlier", Of(&EARLIER), "the newest earlier point that differs; present if nothing differed"),
    ],
};

pub(super) const BULK: Shape = Shape {
    name: "BulkJob",
    about: "a bulk change of tasks, running or ended",
    base: None,
    fields: &[
        required("id", Text, "its id"),
        required("action", Word(|| BulkAction::ALL.map(BulkAction::as_str).into()), "the action on each task"),
        required("filter", Of(&BULK_FILTER), "the filter of the tasks"),
        required("state", Word(|| BulkState::ALL.map(BulkState::as_str).into()), "state of the job"),
        required("point", Text, "restore point before it, from which it can be undone"),
        nullable("by", Text, "the actor that began it"),
        required("started_at", Time, "time at which it began"),
        nullable("ended_at", Time, "time at which it ended"),
        required("fits", Number, "number of tasks that it was about when it began"),
        required("changed", Number, "number of tasks that it has changed"),
        required(
            "passed",
            Number,
            "number of tasks that stayed as they were: others wait for them, or somebody was first",
        ),
        nullable("error", Text, "reason why it failed"),
    ],
};

const BULK_FILTER: Shape = Shape {
    name: "BulkFilter",
    about: "the tasks that a bulk change is about",
    base: None,
    fields: &[
        nullable("state", Text, "only those in this state"),
        nullable("bot", Text, "only those that this bot holds or finished, or that are assigned to it"),
        nullable("can", Text, "only those that need this capability"),
        nullable("priority", Text, "only those of this priority"),
        nullable("id", Text, "only those whose id begins with this text"),
        nullable("older_than", Text, "only those that were pushed longer before the start"),
    ],
};

pub(super) const JOB: Shape = Shape {
    name: "CheckJob",
    about: "a check job, running or ended",
    base: None,
    fields: &[
        required("id", Text, "its id"),
        required("state", Word(|| vec!["running", "done", "failed"]), "state of the job"),
        required("done", Number, "number of verified rows"),
        required("of", Number, "total number of rows"),
        required("healed", Number, "number of damaged rows that came back from the replica"),
        required("started_at", Time, "time at which it began"),
        nullable("finished_at", Time, "time at which it ended"),
        nullable("report", Of(&REPORT), "report of the check"),
        nullable("error", Text, "kind of error, if the check failed"),
    ],
};

const REPORT: Shape = Shape {
    name: "CheckReport",
    about: "report of a check",
    base: None,
    fields: &[
        required("records", Number, "number of verified live records"),
        required("bytes", Number, "total length of their payloads"),
        required("pre_images", Number, "number of verified pre-images"),
        required("points", Number, "number of verified points"),
        required("pages", Flag, "whether the pages of the file were verified"),
        required("findings", List(&Of(&FINDING)), "findings; at most 1,000 are listed"),
        required("found", Number, "total number of findings"),
    ],
};

const FINDING: Shape = Shape {
    name: "Finding",
    about: "one finding",
    base: None,
    fields: &[
        required("table", Text, "table of the row"),
        required("key", Text, "key of the row"),
        required("what", Text, "the fault and its consequence"),
    ],
};

/// A check of `/readyz`.
pub(super) const READY_CHECK: Shape = Shape {
    name: "ReadyCheck",
    about: "one readiness check",
    base: None,
    fields: &[
        required("ok", Flag, "whether it passes"),
        nullable("detail", Text, "details, such as the reason of a failure"),
    ],
};
