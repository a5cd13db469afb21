//! The table of the endpoints of the replaced service.

use axum::http::Method;
use axum::routing::{get, post};

use super::{backup, history, point, restore, shutdown, status};
use crate::face::http::route::{Gives, Needs, OK, Route, SUCCESS, TIMESTAMP, Takes};
use crate::face::http::shapes;
use crate::face::wire::field::FieldType::{
    Any, Decimal, Flag, List, Map, Number, Object as JsonObject, Of, Text, Time, Word,
};
use crate::face::wire::field::{Field, TEXTS, nullable, optional, required, sometimes};

/// Whether a route is one of the replaced service.
pub(in crate::face::http) fn has(route: &Route) -> bool {
    ROUTES.iter().any(|own| own.path == route.path)
}

/// The fields of a request for a point.
const POINT: &[Field] = &[
    optional("registry_data", Any, "registry to store instead of the live state; an empty object makes no backup"),
    optional("queue_data", Any, "queue to store instead of the live state"),
    optional("assignments_data", Any, "assignments to store instead of the live state"),
    optional("description", Text, "free text"),
    optional("manual", Flag, "whether a person or client asked for it; true unless set"),
    optional("tags", shapes::TAGS, "object of strings"),
];

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/backup",
        needs: Needs::Operator,
        about: "Back up the live state of one kind, or a document from the request",
        query: &[],
        takes: Takes::Fields(&[
            optional("backup_type", Text, "registry (unless set), queue, bot_assignments or full, in any case"),
            optional("data", Any, "the document; the live state is backed up unless set"),
            optional("source", Text, "source of the backup; backup- and the type unless set"),
            optional("tags", shapes::TAGS, "object of strings"),
        ]),
        gives: Gives::Fields(&[SUCCESS, required("backup_id", Text, "its id"), TIMESTAMP]),
        statuses: OK,
        refuses: &[507],
        handler: || post(backup::backup),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/restore/{backup_id}",
        needs: Needs::Operator,
        about: "Return the content of a backup, or restore it in place",
        query: &[],
        takes: Takes::Fields(&[
            optional("apply", Flag, "whether to restore in place; a safety point makes it undoable"),
            optional("only", TEXTS, "collections to restore in place; all unless set"),
            optional("dry_run", Flag, "whether to only plan the restore"),
            optional("data", Flag, "whether to return the content also when it is restored in place"),
            optional("keep_finished", Flag, "whether tasks that finished since stay finished"),
        ]),
        gives: Gives::Fields(&[
            SUCCESS,
            sometimes("data", Any, "the content, verified against its checksum"),
            sometimes("dry_run", Flag, "true; nothing was restored"),
            sometimes("restored", shapes::COUNTS_BY_COLLECTION, "in place: changes by collection"),
            sometimes("undo", Text, "in place, if something changed: id of the safety point that undoes it"),
            sometimes(
                "verified",
                shapes::VERIFIED,
                "in place: whether the changed records or all records were verified",
            ),
            sometimes(
                "claims_returned",
                Number,
                "in place: claims that became ready tasks again; their tokens are void",
            ),
            sometimes("tasks_run_again", Number, "in place: finished tasks that run again unless keep_finished is set"),
            sometimes(
                "tasks_forgotten",
                Number,
                "in place: tasks pushed and finished since, lost unless keep_finished is set",
            ),
            sometimes("keep_finished", Flag, "in place: whether finished tasks stay as they are"),
            TIMESTAMP,
        ]),
        statuses: OK,
        refuses: &[404],
        handler: || post(restore::restore),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/restore-point",
        needs: Needs::Operator,
        about: "Make a restore point of the live state, or of documents from the request",
        query: &[],
        takes: Takes::Fields(POINT),
        gives: Gives::Fields(&[SUCCESS, required("restore_point_id", Text, "its id"), TIMESTAMP]),
        statuses: OK,
        refuses: &[507],
        handler: || post(point::make),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/auto-backup",
        needs: Needs::Operator,
        about: "Make a restore point if the interval between automatic ones has passed",
        query: &[],
        takes: Takes::Fields(POINT),
        gives: Gives::Fields(&[
            required("success", Flag, "false when the interval has not passed, or nothing has changed"),
            sometimes("restore_point_id", Text, "its id"),
            sometimes("reason", Text, "the reason that none was made"),
            TIMESTAMP,
        ]),
        statuses: OK,
        refuses: &[507],
        handler: || post(point::auto_backup),
    },
    Route {
        method: Method::GET,
        path: "/api/disaster-recovery/backup-history",
        needs: Needs::Reader,
        about: "List the backups, newest first",
        query: &[
            optional("backup_type", Text, "only this type; an unknown type is ignored"),
            optional("limit", Number, "maximum number; 100 unless set"),
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            required("backups", List(&Of(&shapes::BACKUP)), "the backups"),
            required("count", Number, "number of listed backups"),
            TIMESTAMP,
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(history::history),
    },
    Route {
        method: Method::GET,
        path: "/api/disaster-recovery/restore-point/{restore_point_id}",
        needs: Needs::Reader,
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
        needs: Needs::Reader,
        about: "Show the recovery status of the store",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            TIMESTAMP,
            required("total_backups", Number, "number of backups"),
            required("total_restore_points", Number, "number of requested and automatic points"),
            nullable("latest_backup", Of(&shapes::BACKUP), "the newest backup"),
            nullable("latest_restore_point", Of(&shapes::RESTORE_POINT), "the newest of these points"),
            required("crash_detected", Flag, "whether there is an unacknowledged crash"),
            nullable(
                "crash_reason",
                Word(|| vec!["process_died", "stale_marker"]),
                "the sign by which the crash was detected",
            ),
            nullable("crash", Of(&shapes::CRASH), "the session that crashed"),
            required("backups_by_type", Map(&Number), "number of backups by type"),
            required("disk_usage_mb", Decimal, "total size of the backups in MiB"),
            required("backup_dir", Text, "the folder of the store"),
            nullable("next_backup", Time, "time of the next automatic backup"),
            required("archive", Of(&shapes::ARCHIVE), "the copy that would remain if the file were lost"),
            required("total_bots", Number, "number of registered bots"),
            required("total_tasks", Number, "number of tasks in any state"),
            required("tasks_by_state", Map(&Number), "number of tasks by state"),
            nullable("last_drill", Of(&shapes::DRILL), "the last drill"),
            nullable("log", Of(&shapes::LOG), "the write-ahead log; null where commits go into the file"),
            nullable(
                "replica",
                JsonObject,
                "the replica: how far it is behind, the last verification and drill; null without one",
            ),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(status::status),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/mark-shutdown",
        needs: Needs::Operator,
        about: "Mark a clean shutdown, so that the end of this process is not taken for a crash",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[SUCCESS, required("message", Text, "Clean shutdown marked"), TIMESTAMP]),
        statuses: OK,
        refuses: &[],
        handler: || post(shutdown::mark),
    },
];
