//! The objects that answers are made of, as the OpenAPI document names them. What a handler gives is compared with them
//! wherever a test asks the service for something: a field more or less fails.

use crate::face::http::route::Kind::{Any, Flag, List, Map, Number, Object, Of, Text, Time, Word};
use crate::face::http::route::{Field, Kind, Shape, nullable, required, sometimes};
use crate::{Level, Priority, TaskState};

/// A list of texts.
pub(super) const TEXTS: Kind = List(&Text);
/// Names and texts.
pub(super) const TAGS: Kind = Map(&Text);
/// The types of backups.
pub(super) const BACKUP_TYPE: Kind = Word(|| vec!["registry", "queue", "bot_assignments", "full"]);
/// How much a restore verified.
pub(super) const VERIFIED: Kind = Word(|| vec!["changed", "all"]);
/// What a restore does to each collection.
pub(super) const COUNTS_BY_COLLECTION: Kind = Map(&Of(&COUNTS));

pub(super) const BOT: Shape = Shape {
    name: "Bot",
    about: "a bot of the fleet",
    fields: &[
        required("id", Text, "its name"),
        nullable("kind", Text, "what it is, such as claude-code"),
        nullable("status", Text, "how it says that it is"),
        nullable("endpoint", Text, "where it is reached"),
        nullable("port", Number, "the port that it listens on"),
        nullable("pid", Number, "its process"),
        nullable("repo", Text, "the repository that it works on"),
        required("specializations", TEXTS, "what it can do"),
        nullable("max_concurrent", Number, "how many tasks it may hold; three when null"),
        nullable("registered_at", Time, "when it was registered"),
        nullable("last_heartbeat", Time, "when it was last heard of; always as it is now"),
        required("attributes", Object, "anything else"),
    ],
};

pub(super) const TASK: Shape = Shape {
    name: "Task",
    about: "a piece of work in the queue",
    fields: &[
        required("id", Text, "its name"),
        required("priority", Word(|| Priority::ALL.map(Priority::as_str).to_vec()), "the most urgent is P0"),
        required("sequence", Number, "its place among those of the same priority"),
        required("state", Word(|| TaskState::ALL.map(TaskState::as_str).to_vec()), "where it is in its life"),
        nullable("holder", Of(&HOLDER), "who holds it, while it is claimed"),
        nullable("assigned_to", Text, "the only bot that may claim it"),
        required("capabilities", TEXTS, "what a bot must be able to do"),
        required("waiting_for", TEXTS, "the tasks that it still waits for"),
        nullable("not_before", Time, "nobody may claim it before"),
        nullable("finished_at", Time, "when it became done, failed, dead or cancelled"),
        nullable("idempotency_key", Text, "the same key again gives the same task"),
        required("depends_on", TEXTS, "the tasks that must be done before"),
        required("attempts", Number, "how often it was claimed, without claims that were released"),
        required("max_attempts", Number, "when as many attempts have failed it is dead"),
        required("enqueued_at", Time, "when it came into the queue"),
        nullable("finished_by", Text, "who held it when it was finished"),
        nullable("last_error", Text, "why the last attempt failed"),
        required("payload", Any, "what is to be done"),
        required("result", Any, "what came out; null until it is done"),
        required("attributes", Object, "anything else"),
        nullable("ready_since", Time, "since when it could be claimed; null while it is scheduled or waits for a task"),
    ],
};

pub(super) const PUSHED: Shape = Shape {
    name: "PushedTask",
    about: "a task that was put into the queue, now or before",
    fields: &[
        required("id", Text, "its name"),
        required("priority", Word(|| Priority::ALL.map(Priority::as_str).to_vec()), "the most urgent is P0"),
        required("sequence", Number, "its place among those of the same priority"),
        required("state", Word(|| TaskState::ALL.map(TaskState::as_str).to_vec()), "where it is in its life"),
        nullable("holder", Of(&HOLDER), "who holds it, while it is claimed"),
        nullable("assigned_to", Text, "the only bot that may claim it"),
        required("capabilities", TEXTS, "what a bot must be able to do"),
        required("waiting_for", TEXTS, "the tasks that it still waits for"),
        nullable("not_before", Time, "nobody may claim it before"),
        nullable("finished_at", Time, "when it became done, failed, dead or cancelled"),
        nullable("idempotency_key", Text, "the same key again gives the same task"),
        required("depends_on", TEXTS, "the tasks that must be done before"),
        required("attempts", Number, "how often it was claimed, without claims that were released"),
        required("max_attempts", Number, "when as many attempts have failed it is dead"),
        required("enqueued_at", Time, "when it came into the queue"),
        nullable("finished_by", Text, "who held it when it was finished"),
        nullable("last_error", Text, "why the last attempt failed"),
        required("payload", Any, "what is to be done"),
        required("result", Any, "what came out; null until it is done"),
        required("attributes", Object, "anything else"),
        nullable("ready_since", Time, "since when it could be claimed; null while it is scheduled or waits for a task"),
        required("existing", Flag, "whether it is the earlier task of that idempotency key, in whatever state"),
    ],
};

pub(super) const WHY: Shape = Shape {
    name: "Why",
    about: "why a task is not claimed, or who may claim it",
    fields: &[
        required("id", Text, "the task"),
        required("state", Word(|| TaskState::ALL.map(TaskState::as_str).to_vec()), "where it is in its life"),
        required("reasons", List(&Object), "what keeps it, each with its reason and what that is about"),
        required("anybody", Flag, "whether every bot may claim it now, registered or not, that holds less than it may"),
        required("may_claim", TEXTS, "registered bots that may claim it now, ten at most"),
        required("may_claim_more", Number, "how many more of these there are"),
        required("text", Text, "all of this in one line"),
    ],
};

const HOLDER: Shape = Shape {
    name: "Holder",
    about: "who holds a claimed task",
    fields: &[
        required("bot", Text, "the bot"),
        required("token", Number, "what it must show"),
        required("since", Time, "when it was claimed"),
        required("deadline", Time, "when the lease ends, unless it is extended"),
        required("lease_ms", Number, "the length of the lease"),
        nullable("session", Number, "the session of the process that claimed it for itself"),
    ],
};

pub(super) const CLAIM: Shape = Shape {
    name: "Claim",
    about: "a task that a bot has claimed",
    fields: &[
        required("id", Text, "the task"),
        required("token", Number, "to be shown to extend, complete, fail or release it"),
        required("payload", Any, "what is to be done"),
        required("deadline", Time, "when the lease ends, unless it is extended"),
        required("attempt", Number, "which attempt this is, from 1"),
        required("attributes", Object, "anything else"),
    ],
};

pub(super) const ASSIGNMENT: Shape = Shape {
    name: "Assignment",
    about: "a task that is a bot's",
    fields: &[
        required("bot", Text, "the bot"),
        required("task", Text, "the task"),
        required("hold", Word(|| vec!["assigned", "claimed"]), "why the task is the bot's"),
        required("since", Time, "since when"),
    ],
};

pub(super) const MESSAGE: Shape = Shape {
    name: "Message",
    about: "a message in the chat of the fleet",
    fields: &[
        required("sequence", Number, "its number"),
        nullable("bot_id", Text, "the bot that it is from or for"),
        required("conversation", Text, "what it belongs to"),
        required("role", Text, "who speaks: user, assistant, system or another word"),
        required("content", Text, "what is said"),
        required("timestamp", Time, "when"),
        nullable("original_time", Text, "the time as the program wrote it that it was taken over from"),
        required("attributes", Object, "anything else"),
    ],
};

pub(super) const ENTRY: Shape = Shape {
    name: "AuditEntry",
    about: "an entry of the audit trail",
    fields: &[
        required("sequence", Number, "its number"),
        required("timestamp", Time, "when it happened"),
        required("recorded", Time, "when it was appended"),
        required("action", Text, "what was done"),
        required("actor", Text, "who did it"),
        nullable("target", Text, "what it was done to"),
        required("level", Word(|| Level::ALL.map(Level::as_str).to_vec()), "how much it matters"),
        nullable("result", Text, "how it ended"),
        required("details", Any, "anything else"),
        nullable("original", Text, "the text as the program wrote it that it was taken over from"),
        required("previous", Text, "the hash of the entry before it"),
    ],
};

pub(super) const EVENT: Shape = Shape {
    name: "Event",
    about: "something that happened to the store",
    fields: &[
        required("sequence", Number, "its number"),
        required("timestamp", Time, "when"),
        required("event", Text, "what; more kinds may come"),
        required("details", Any, "what it happened to"),
    ],
};

pub(super) const BACKUP: Shape = Shape {
    name: "Backup",
    about: "a backup of one kind of state",
    fields: &[
        required("backup_id", Text, "its name"),
        required("backup_type", BACKUP_TYPE, "of what"),
        required("timestamp", Time, "when it was made"),
        required("source", Text, "who made it"),
        required("size_bytes", Number, "the length of its content"),
        required("item_count", Number, "the summed length of the fields that are arrays or objects"),
        required("checksum", Text, "the SHA-256 of its content"),
        required("tags", TAGS, "as given"),
        required("of", Word(|| vec!["live", "documents"]), "the live state, or a document that was handed over"),
    ],
};

pub(super) const RESTORE_POINT: Shape = Shape {
    name: "RestorePoint",
    about: "a restore point, as the end points of the replaced service show it",
    fields: &OF_RESTORE_POINT,
};

pub(super) const RESTORE_POINT_DETAILS: Shape = Shape {
    name: "RestorePointDetails",
    about: "a restore point with the backups in it",
    fields: &{
        let [id, time, backups, description, manual] = OF_RESTORE_POINT;
        [id, time, backups, description, manual, required("backup_details", List(&Of(&BACKUP)), "the backups")]
    },
};

const OF_RESTORE_POINT: [Field; 5] = [
    required("restore_id", Text, "its name"),
    required("timestamp", Time, "when it was made"),
    required("backups", TEXTS, "the names of the backups in it"),
    required("description", Text, "in the words of who made it"),
    required("manual", Flag, "whether somebody asked for it"),
];

pub(super) const CRASH: Shape = Shape {
    name: "Crash",
    about: "a session that did not end well",
    fields: &[
        required("session", Number, "its number"),
        required("program", Text, "the program"),
        required("pid", Number, "its process"),
        required("last_alive", Time, "when it was last alive"),
        nullable("restore_point", Text, "the newest restore point; a crash alone is no reason to go back to it"),
        required("tasks_returned", Number, "tasks that were claimed in the process and went back to ready"),
    ],
};

pub(super) const ARCHIVE: Shape = Shape {
    name: "ArchiveStatus",
    about: "the copy that would be left if the file were lost",
    fields: &[
        required("automatic", Flag, "whether archives are made"),
        nullable("last", Of(&LAST_ARCHIVE), "the newest automatic one"),
        nullable("same_file_system", Flag, "whether it is where the store is; null where that cannot be told"),
        nullable("changed_since", Flag, "whether something has changed since; null where there is none"),
        nullable("warning", Text, "what would be lost; null while a copy is safe"),
    ],
};

const LAST_ARCHIVE: Shape = Shape {
    name: "Archive",
    about: "an automatic archive",
    fields: &[
        required("file", Text, "the file"),
        required("at", Time, "when it was made"),
        required("restore_id", Text, "the point that it is of"),
        required("sha256", Text, "its SHA-256"),
        required("bytes", Number, "its length"),
        required("verified", Flag, "whether it was read back to the end"),
        required("state_at", Time, "when the store had just the state that is in it"),
        required("encrypted", Flag, "whether it is encrypted"),
        required(
            "opened",
            Flag,
            "whether its records were read back too; of one encrypted for others only the bytes can be",
        ),
    ],
};

pub(super) const DRILL: Shape = Shape {
    name: "Drill",
    about: "a rehearsal of disasters",
    fields: &[
        required("at", Time, "when it ended"),
        required("took_ms", Number, "how long it took"),
        required("records", Number, "how many records the copy held that it was rehearsed on"),
        required("scenarios", List(&Of(&REHEARSED)), "what was rehearsed"),
    ],
};

const REHEARSED: Shape = Shape {
    name: "Rehearsed",
    about: "one disaster that was rehearsed",
    fields: &[
        required("name", Text, "its name"),
        required("recovery_ms", Number, "from the disaster until the work went on"),
        required("lost_records", Number, "records that were not there any more as they had been acknowledged"),
        required("lost_ms", Number, "how far back the oldest of them was written"),
        required("met", Flag, "whether both were within their targets"),
    ],
};

pub(super) const POINT: Shape = Shape {
    name: "Point",
    about: "a restore point",
    fields: &[
        nullable("id", Text, "its name; null for that of a single commit, which is named by its time"),
        required("epoch", Number, "the number of the epoch that it sealed"),
        required("timestamp", Time, "when it was made"),
        required("sealed_at", Time, "when it was sealed in this store"),
        nullable(
            "origin",
            Word(|| vec!["live", "documents", "adopted", "safety"]),
            "what it was made of or for; null for that of a single commit",
        ),
        required("manual", Flag, "whether somebody asked for it"),
        required("description", Text, "in the words of who made it"),
        required("tags", TAGS, "as given"),
        required("held", Flag, "whether retention never forgets it"),
        required("backups", TEXTS, "the names of the backups that it is listed as"),
        required("collections", Map(&Of(&STATS)), "what each collection holds there"),
        required("partial", Flag, "whether a repair could not bring all of it back"),
        sometimes("lost", Map(&Of(&LOSS)), "of a partial one: what it has lost of each collection"),
    ],
};

const STATS: Shape = Shape {
    name: "Stats",
    about: "what a collection holds",
    fields: &[
        required("count", Number, "records"),
        required("bytes", Number, "the summed length of their payloads"),
        required("digest", Text, "the sum of their hashes"),
    ],
};

const LOSS: Shape = Shape {
    name: "Loss",
    about: "what a point has lost of a collection",
    fields: &[
        required("was", Of(&STATS), "what it held before the damage"),
        required("keys", TEXTS, "records that are known to be lost; there may be others"),
    ],
};

const COUNTS: Shape = Shape {
    name: "Counts",
    about: "how many records differ in a collection",
    fields: &[
        required("added", Number, "not there before"),
        required("changed", Number, "different"),
        required("removed", Number, "not there any more"),
    ],
};

pub(super) const CHANGE: Shape = Shape {
    name: "Change",
    about: "a record that differs",
    fields: &[
        required("collection", Text, "where it is"),
        required("key", Text, "its key"),
        required(
            "change",
            Word(|| vec!["added", "changed", "removed", "lost"]),
            "what happened to it; lost by a repair at a point",
        ),
        required("before", Any, "what it was, or null"),
        required("after", Any, "what it is, or null"),
    ],
};

const EARLIER: Shape = Shape {
    name: "EarlierPoint",
    about: "an earlier point that differs from now",
    fields: &[
        required("point", Text, "its id, or the time of a single commit"),
        required("timestamp", Time, "when it was made"),
        required("command", Text, "what restores it on the command line"),
    ],
};

const VERSION_POINT: Shape = Shape {
    name: "VersionPoint",
    about: "a point that holds a version of a record",
    fields: &[
        required("point", Text, "its id, or the time of a single commit"),
        required("timestamp", Time, "when it was made"),
    ],
};

const CHANGED_BY: Shape = Shape {
    name: "ChangedBy",
    about: "who changed a record",
    fields: &[
        required("actor", Text, "the actor of the audit entry about it, or the bot of a task"),
        required("action", Text, "the action of the entry, or the state of the task"),
    ],
};

pub(super) const VERSION: Shape = Shape {
    name: "Version",
    about: "what a record was for a time",
    fields: &[
        nullable(
            "change",
            Word(|| vec!["added", "changed", "removed", "lost"]),
            "what happened to it; null where nobody knows",
        ),
        required("value", Any, "what it was, or null when it was not there"),
        nullable("point", Of(&VERSION_POINT), "the newest point to restore it from"),
        required("points", Number, "how many points hold it"),
        nullable("changed_after", Time, "of the newest point that holds the version before"),
        nullable("changed_before", Time, "of the oldest point that holds it"),
        nullable("by", Of(&CHANGED_BY), "who changed it, where that is known"),
    ],
};

pub(super) const PLAN: Shape = Shape {
    name: "RestorePlan",
    about: "what a restore would do",
    fields: &[
        required("point", Of(&POINT), "the point whose state would come back"),
        required("collections", COUNTS_BY_COLLECTION, "added, changed and removed records of each"),
        required("tasks_run_again", Number, "finished tasks that would run again unless they are kept finished"),
        required(
            "tasks_forgotten",
            Number,
            "tasks that came and finished since, which would be forgotten unless they are kept",
        ),
        required("keep_finished", Flag, "whether these stay as they are"),
        sometimes("earlier", Of(&EARLIER), "when nothing differs: the newest earlier point that does"),
    ],
};

pub(super) const RESTORED: Shape = Shape {
    name: "RestoreReport",
    about: "what a restore did",
    fields: &[
        required("point", Text, "the name of the point whose state came back"),
        required("collections", COUNTS_BY_COLLECTION, "added, changed and removed records of each"),
        nullable("undo", Text, "the safety point that takes it back; null when nothing has changed"),
        required("verified", VERIFIED, "what changed, or everything"),
        required("claims_returned", Number, "claims that went back to ready; their tokens are void"),
        required("tasks_run_again", Number, "finished tasks that run again unless they were kept finished"),
        required("tasks_forgotten", Number, "tasks that came and finished since, forgotten unless they were kept"),
        required("keep_finished", Flag, "whether these have stayed as they were"),
        sometimes("earlier", Of(&EARLIER), "when nothing differed: the newest earlier point that does"),
    ],
};

pub(super) const JOB: Shape = Shape {
    name: "CheckJob",
    about: "a check, while it runs and after it has ended",
    fields: &[
        required("id", Text, "its name"),
        required("state", Word(|| vec!["running", "done", "failed"]), "how far it is"),
        required("done", Number, "rows that are verified"),
        required("of", Number, "rows that there are"),
        required("started_at", Time, "when it began"),
        nullable("finished_at", Time, "when it ended"),
        nullable("report", Of(&REPORT), "what it found"),
        nullable("error", Text, "why it failed"),
    ],
};

const REPORT: Shape = Shape {
    name: "CheckReport",
    about: "what a check found",
    fields: &[
        required("records", Number, "live records that were verified"),
        required("bytes", Number, "the length of their payloads"),
        required("pre_images", Number, "pre-images that were verified"),
        required("points", Number, "points whose content was verified"),
        required("pages", Flag, "whether the pages of the file were verified too"),
        required("findings", List(&Of(&FINDING)), "what is wrong; at most a thousand are listed"),
        required("found", Number, "how many findings there are, listed or not"),
    ],
};

const FINDING: Shape = Shape {
    name: "Finding",
    about: "one thing that is wrong",
    fields: &[
        required("table", Text, "the table that it is in"),
        required("key", Text, "the key of the row"),
        required("what", Text, "what is wrong and what it means"),
    ],
};

/// One of the checks of `/readyz`.
pub(super) const READY_CHECK: Shape = Shape {
    name: "ReadyCheck",
    about: "one thing that has to work",
    fields: &[required("ok", Flag, "whether it works"), nullable("detail", Text, "what is wrong")],
};
