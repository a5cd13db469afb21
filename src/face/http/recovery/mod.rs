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

use crate::face::http::route::Kind::{Any, Decimal, Flag, List, Number, Object, Text, Time};
use crate::face::http::route::{Gives, Member, Route, SUCCESS, TIMESTAMP, Takes, member, needed};

pub(in crate::face) use self::status::StatusCache;
pub(super) use self::status::facts;

/// What a point may be given.
const POINT: &[Member] = &[
    member("registry_data", Any, "a registry to keep instead of the live state; an empty object makes no backup"),
    member("queue_data", Any, "the same for a queue"),
    member("assignments_data", Any, "the same for assignments"),
    member("description", Text, "in your own words"),
    member("manual", Flag, "whether somebody asked for it; true unless set"),
    member("tags", Object, "names and texts"),
];

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/backup",
        about: "Back up the live state of one kind, or a document that is handed over",
        query: &[],
        takes: Takes::Members(&[
            member("backup_type", Text, "registry (unless set), queue, bot_assignments or full, in any case"),
            member("data", Any, "the document; without it the backup is of the live state"),
            member("source", Text, "who makes it; backup- and the type unless set"),
            member("tags", Object, "names and texts"),
        ]),
        gives: Gives::Members(&[SUCCESS, needed("backup_id", Text, "its name"), TIMESTAMP]),
        handler: || post(backup::backup),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/restore/{backup_id}",
        about: "Give back the content of a backup, or restore it in place",
        query: &[],
        takes: Takes::Members(&[
            member("apply", Flag, "restore in place; a safety point makes it undoable"),
            member("only", List, "in place, only these collections"),
            member("dry_run", Flag, "only say what restoring in place would do"),
            member("data", Flag, "give the content back although it is restored in place"),
        ]),
        gives: Gives::Members(&[
            SUCCESS,
            member("data", Any, "the content, verified against its checksum"),
            member("restored", Object, "in place: added, changed and removed records of each collection"),
            member("undo", Text, "in place: the safety point that takes it back"),
            member("verified", Text, "in place: changed or all"),
            TIMESTAMP,
        ]),
        handler: || post(restore::restore),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/restore-point",
        about: "Make a restore point, of the live state or of documents that are handed over",
        query: &[],
        takes: Takes::Members(POINT),
        gives: Gives::Members(&[SUCCESS, needed("restore_point_id", Text, "its name"), TIMESTAMP]),
        handler: || post(point::make),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/auto-backup",
        about: "Make a restore point if the interval between automatic ones has passed",
        query: &[],
        takes: Takes::Members(POINT),
        gives: Gives::Members(&[
            needed("success", Flag, "false when the interval has not passed, or nothing has changed"),
            member("restore_point_id", Text, "its name"),
            TIMESTAMP,
        ]),
        handler: || post(point::auto_backup),
    },
    Route {
        method: Method::GET,
        path: "/api/disaster-recovery/backup-history",
        about: "List the backups, newest first",
        query: &[
            member("backup_type", Text, "only this type; an unknown one is passed over"),
            member("limit", Number, "at most so many; 100 unless set"),
        ],
        takes: Takes::Nothing,
        gives: Gives::Members(&[
            needed("backups", List, "the backups"),
            needed("count", Number, "how many are listed"),
            TIMESTAMP,
        ]),
        handler: || get(history::history),
    },
    Route {
        method: Method::GET,
        path: "/api/disaster-recovery/restore-point/{restore_point_id}",
        about: "Show a restore point and the backups in it",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Members(&[
            needed("details", Object, "restore_id, timestamp, backups, description, manual, backup_details"),
            TIMESTAMP,
        ]),
        handler: || get(point::details),
    },
    Route {
        method: Method::GET,
        path: "/api/disaster-recovery/status",
        about: "Show how recoverable the store is",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Members(&[
            TIMESTAMP,
            needed("total_backups", Number, "how many backups there are"),
            needed("total_restore_points", Number, "how many points were asked for or are automatic"),
            needed("latest_backup", Object, "the newest backup, or null"),
            needed("latest_restore_point", Object, "the newest such point, or null"),
            needed("crash_detected", Flag, "whether a session crashed and nobody has acknowledged it"),
            needed("crash_reason", Text, "process_died or stale_marker; null without a crash"),
            needed("crash", Object, "session, last_alive and restore_point of the crash; null without one"),
            needed("backups_by_type", Object, "how many there are of each type"),
            needed("disk_usage_mb", Decimal, "the summed size of the backups in MiB"),
            needed("backup_dir", Text, "the folder of the store"),
            needed("next_backup", Time, "when the next automatic backup is due; null without any"),
            needed("archive", Object, "automatic, last, same_file_system, and a warning while no copy is safe"),
        ]),
        handler: || get(status::status),
    },
    Route {
        method: Method::POST,
        path: "/api/disaster-recovery/mark-shutdown",
        about: "Say that the client stops now, so that the end of this process is no crash",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Members(&[SUCCESS, needed("message", Text, "Clean shutdown marked"), TIMESTAMP]),
        handler: || post(shutdown::mark),
    },
];
