//! The end points of the service that this one replaces: same paths, same fields, same meaning.
//!
//! * [`backup`], [`restore`], [`point`], [`history`], [`status`], [`shutdown`]: one each, or what belongs together
//! * [`shape`]: how a backup and a point look in their answers
//! * here: the table of them

mod backup;
mod history;
mod point;
mod restore;
mod shape;
mod shutdown;
mod status;

use axum::http::Method;
use axum::routing::{get, post};

use crate::face::http::route::Kind::{Any, Decimal, Flag, List, Map, Number, Of, Text, Time, Word};
use crate::face::http::route::{
    Field, Gives, OK, Route, SUCCESS, TIMESTAMP, Takes, nullable, optional, required, sometimes,
};
use crate::face::http::shapes;

/// What a point may be given.
const POINT: &[Field] = &[
    optional("registry_data", Any, "a registry to keep instead of the live state; an empty object makes no backup"),
    optional("queue_data", Any, "the same for a queue"),
    optional("assignments_data", Any, "the same for assignments"),
    optional("description", Text, "in your own words"),
    optional("manual", Flag, "whether somebody asked for it; true unless set"),
    optional("tags", shapes::TAGS, "names and texts"),
];

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/backup",
        about: "Back up the live state of one kind, or a document that is handed over",
        query: &[],
        takes: Takes::Fields(&[
            optional("backup_type", Text, "registry (unless set), queue, bot_assignments or full, in any case"),
            optional("data", Any, "the document; without it the backup is of the live state"),
            optional("source", Text, "who makes it; backup- and the type unless set"),
            optional("tags", shapes::TAGS, "names and texts"),
        ]),
        gives: Gives::Fields(&[SUCCESS, required("backup_id", Text, "its name"), TIMESTAMP]),
        statuses: OK,
        refuses: &[507],
        handler: || post(backup::backup),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/restore/{backup_id}",
        about: "Give back the content of a backup, or restore it in place",
        query: &[],
        takes: Takes::Fields(&[
            optional("apply", Flag, "restore in place; a safety point makes it undoable"),
            optional("only", shapes::TEXTS, "in place, only these collections"),
            optional("dry_run", Flag, "only say what restoring in place would do"),
            optional("data", Flag, "give the content back although it is restored in place"),
            optional("keep_finished", Flag, "in place, leave tasks finished that have been finished since"),
        ]),
        gives: Gives::Fields(&[
            SUCCESS,
            sometimes("data", Any, "the content, verified against its checksum"),
            sometimes("dry_run", Flag, "true: nothing was restored"),
            sometimes("restored", shapes::COUNTS_BY_COLLECTION, "in place: what changed in each collection"),
            sometimes("undo", Text, "in place, when something has changed: the safety point that takes it back"),
            sometimes("verified", shapes::VERIFIED, "in place: what changed, or everything"),
            sometimes("claims_returned", Number, "in place: claims that went back to ready; their tokens are void"),
            sometimes(
                "tasks_run_again",
                Number,
                "in place: finished tasks that run again unless they are kept finished",
            ),
            sometimes(
                "tasks_forgotten",
                Number,
                "in place: tasks that came and finished since, forgotten unless they are kept",
            ),
            sometimes("keep_finished", Flag, "in place: whether these stay as they are"),
            TIMESTAMP,
        ]),
        statuses: OK,
        refuses: &[404],
        handler: || post(restore::restore),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/restore-point",
        about: "Make a restore point, of the live state or of documents that are handed over",
        query: &[],
        takes: Takes::Fields(POINT),
        gives: Gives::Fields(&[SUCCESS, required("restore_point_id", Text, "its name"), TIMESTAMP]),
        statuses: OK,
        refuses: &[507],
        handler: || post(point::make),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/auto-backup",
        about: "Make a restore point if the interval between automatic ones has passed",
        query: &[],
        takes: Takes::Fields(POINT),
        gives: Gives::Fields(&[
            required("success", Flag, "false when the interval has not passed, or nothing has changed"),
            sometimes("restore_point_id", Text, "its name"),
            TIMESTAMP,
        ]),
        statuses: OK,
        refuses: &[507],
        handler: || post(point::auto_backup),
    },
    Route {
        method: Method::GET,
        path: "/api/disaster-recovery/backup-history",
        about: "List the backups, newest first",
        query: &[
            optional("backup_type", Text, "only this type; an unknown one is passed over"),
            optional("limit", Number, "at most so many; 100 unless set"),
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            required("backups", List(&Of(&shapes::BACKUP)), "the backups"),
            required("count", Number, "how many are listed"),
            TIMESTAMP,
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(history::history),
    },
    Route {
        method: Method::GET,
        path: "/api/disaster-recovery/restore-point/{restore_point_id}",
        about: "Show a restore point and the backups in it",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("details", Of(&shapes::RESTORE_POINT_DETAILS), "the point"), TIMESTAMP]),
        statuses: OK,
        refuses: &[404],
        handler: || get(point::details),
    },
    Route {
        method: Method::GET,
        path: "/api/disaster-recovery/status",
        about: "Show how recoverable the store is",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            TIMESTAMP,
            required("total_backups", Number, "how many backups there are"),
            required("total_restore_points", Number, "how many points were asked for or are automatic"),
            nullable("latest_backup", Of(&shapes::BACKUP), "the newest backup"),
            nullable("latest_restore_point", Of(&shapes::RESTORE_POINT), "the newest such point"),
            required("crash_detected", Flag, "whether a session crashed and nobody has acknowledged it"),
            nullable("crash_reason", Word(|| vec!["process_died", "stale_marker"]), "how that is known"),
            nullable("crash", Of(&shapes::CRASH), "the session that crashed"),
            required("backups_by_type", Map(&Number), "how many there are of each type"),
            required("disk_usage_mb", Decimal, "the summed size of the backups in MiB"),
            required("backup_dir", Text, "the folder of the store"),
            nullable("next_backup", Time, "when the next automatic backup is due"),
            required("archive", Of(&shapes::ARCHIVE), "the copy that would be left if the file were lost"),
            required("total_bots", Number, "how many bots are registered"),
            required("total_tasks", Number, "how many tasks there are, in any state"),
            required("tasks_by_state", Map(&Number), "how many of them are in each state"),
            nullable("last_drill", Of(&shapes::DRILL), "the last rehearsal of disasters"),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(status::status),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/mark-shutdown",
        about: "Say that the client stops now, so that the end of this process is no crash",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[SUCCESS, required("message", Text, "Clean shutdown marked"), TIMESTAMP]),
        statuses: OK,
        refuses: &[],
        handler: || post(shutdown::mark),
    },
];
