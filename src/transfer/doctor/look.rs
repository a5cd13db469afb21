//! The checks inside of the store, one function for each line of the report.

use std::time::Duration;

use crate::clock::{after, show_time};
use crate::duration;
use crate::engine::open;
use crate::engine::reserve::free_space;
use crate::engine::session::session_locks::SessionLocks;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::events::event::{Event, EventKind};
use crate::recovery::guard::is_running;
use crate::recovery::points::point::Point;
use crate::recovery::sessions::session::{Session, SessionState};
use crate::recovery::upkeep::auto_backup::changed_since_last_live_point;
use crate::state::keys::key::{Key, KeyState, Role};
use crate::text::{counted, show_bytes};
use crate::transfer::doctor::line::DiagnosisLine;

/// The longest time between two drills.
const DRILL_EVERY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The free space that a commit needs: its pages twice, and the next step of growth of the file.
const MIN_FREE: u64 = 16 << 20;
/// The acceptable difference of two clocks.
const CLOCK_SLACK: Duration = Duration::from_secs(2);
/// The acceptable number of points that are due to be forgotten.
const OVERDUE: usize = 100;
/// The time before the end of a key from which on it is named.
const KEY_WARNING: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The number of tasks named that wait for something that cannot come.
const STUCK: usize = 5;
/// The number of claims that are counted.
const CLAIMS: usize = 10_000;

/// Whether the current state could be restored.
pub(super) fn backup(store: &Store, view: &View, live: &[&Point], interval: Duration) -> Result<DiagnosisLine> {
    let topic = "backup";
    let changed = changed_since_last_live_point(view)?;
    let advice = "make one: hivekeep point create; serve does this automatically";
    let Some(latest) = live.first() else {
        let line = if changed {
            DiagnosisLine::warn(topic, "there is no restore point", advice)
        } else {
            DiagnosisLine::ok(topic, "nothing to back up")
        };
        return Ok(line);
    };
    let ago = duration::since(latest.timestamp, store.clock().now());
    let shown = format!("the newest restore point is {} old", duration::show(ago));
    Ok(if !changed {
        DiagnosisLine::ok(topic, format!("{shown}, and nothing has changed since"))
    } else if ago > interval.saturating_mul(2) {
        let interval = duration::exact(interval);
        DiagnosisLine::warn(
            topic,
            format!("{shown}, and something has changed since; it should be at most {interval} old"),
            advice,
        )
    } else {
        DiagnosisLine::ok(topic, shown)
    })
}

/// The result of the last drill.
pub(super) fn drill(store: &Store, view: &View) -> Result<DiagnosisLine> {
    let topic = "drill";
    let advice = "rehearse on a copy: hivekeep drill";
    let Some(last) = view.last_drill()? else {
        return Ok(DiagnosisLine::warn(topic, "no drill has run yet", advice));
    };
    let ago = duration::since(last.at, store.clock().now());
    let shown = duration::show(ago);
    Ok(if !last.is_met() {
        DiagnosisLine::warn(
            topic,
            format!("{shown} ago, and it missed the target of {}", last.missed().join(", ")),
            advice,
        )
    } else if ago > DRILL_EVERY {
        DiagnosisLine::warn(topic, format!("the last one was {shown} ago"), advice)
    } else {
        DiagnosisLine::ok(
            topic,
            format!("{} met their targets, {shown} ago", counted(last.scenarios.len() as u64, "disaster")),
        )
    })
}

/// The restore points of live state, and the oldest and newest of them.
pub(super) fn points(live: &[&Point], others: usize) -> DiagnosisLine {
    let partial: Vec<_> = live.iter().filter(|point| point.partial).map(|point| point.to_string()).collect();
    let (Some(newest), Some(oldest)) = (live.first(), live.last()) else {
        let others = match others {
            0 => String::new(),
            others => format!(" of the live state; {} of documents and restores", counted(others as u64, "point")),
        };
        return DiagnosisLine::ok("points", format!("none yet{others}"));
    };
    let count = counted(live.len() as u64, "restore point");
    let [from, to] = [oldest, newest].map(|point| show_time(point.timestamp));
    let shown = format!("{count}, from {from} to {to}");
    if partial.is_empty() {
        DiagnosisLine::ok("points", shown)
    } else {
        let what = format!("{shown}; a repair could not bring back all of {}", partial.join(", "));
        DiagnosisLine::warn("points", what, "see what they lost: hivekeep point show POINT")
    }
}

/// The retention policy, and whether a process applies it.
pub(super) fn retention(store: &Store, named: &[Point]) -> Result<DiagnosisLine> {
    let topic = "retention";
    let stored = store.policy()?;
    let by = stored.set.map_or("by default".to_owned(), |set| format!("set by {}", set.by));
    let Some(policy) = stored.policy else {
        return Ok(DiagnosisLine::ok(topic, format!("nothing is forgotten, {by}")));
    };
    let overdue = store.judge(&policy)?.iter().filter(|(_, verdict)| !verdict.keep).count();
    let shown = format!("{policy}, {by}");
    // A few overdue points are normal while no process applies the policy.
    Ok(if overdue > named.len() / 2 && overdue > OVERDUE {
        let overdue = counted(overdue as u64, "point");
        DiagnosisLine::warn(
            topic,
            format!("{shown}; {overdue} should be gone"),
            "is serve running? or: hivekeep point forget --policy",
        )
    } else {
        DiagnosisLine::ok(topic, shown)
    })
}

/// Whether callers of the service need keys, and whether any is valid.
pub(super) fn keys(store: &Store, view: &View) -> Result<DiagnosisLine> {
    let topic = "keys";
    let keys = view.keys().list()?;
    if keys.is_empty() {
        let what =
            "none: every program on this machine may read and change the store through a service without a token";
        return Ok(DiagnosisLine::ok(topic, what));
    }
    let valid = keys.iter().filter(|key| key.state == KeyState::Active);
    let admins = valid.clone().filter(|key| key.role == Role::Admin).count();
    let shown = format!("{} valid, {admins} of them of an admin", counted(valid.count() as u64, "key"));
    let soon = |key: &&Key| key.expires_at.is_some_and(|end| end < after(store.clock().now(), KEY_WARNING));
    let ending: Vec<_> =
        keys.iter().filter(|key| key.state == KeyState::Active).filter(soon).map(|key| key.name.to_string()).collect();
    Ok(match ending.is_empty() {
        true => DiagnosisLine::ok(topic, shown),
        false => DiagnosisLine::warn(
            topic,
            format!("{shown}; soon to expire: {}", ending.join(", ")),
            "add one that takes over in time: hivekeep key add NAME --role ROLE",
        ),
    })
}

/// Whether something failed and has not succeeded since.
pub(super) fn work(events: &[Event]) -> DiagnosisLine {
    // A request for something that does not exist is no failure of the store.
    let counts = |event: &&Event| event.details["reason"] != "not_found";
    let failed = |failure: &EventKind, success: &EventKind| {
        let last = events.iter().filter(counts).find(|event| event.kind == *failure || event.kind == *success);
        last.filter(|event| event.kind == *failure)
    };
    let pairs = [
        ("retention", EventKind::RetentionFailed, EventKind::BackupDeletedOld),
        ("a backup", EventKind::BackupFailed, EventKind::RestorePointCreated),
        ("an archive", EventKind::ArchiveFailed, EventKind::ArchiveVerified),
        ("a restore", EventKind::RestoreFailed, EventKind::RestoreSuccessful),
    ];
    for (what, failure, success) in pairs {
        if let Some(event) = failed(&failure, &success) {
            let at = show_time(event.at);
            let why = event.details.get("error").and_then(|why| why.as_str()).unwrap_or("see hivekeep log").to_owned();
            let what = format!("{what} failed at {at} and has not succeeded since: {why}");
            return DiagnosisLine::warn("work", what, "see hivekeep log");
        }
    }
    DiagnosisLine::ok("work", "no backup, retention run, archive or restore failed the last time it ran")
}

/// Whether there is space for the next commit, and for a repair.
pub(super) fn space(store: &Store) -> Result<DiagnosisLine> {
    let Some(free) = free_space(store.path()) else {
        return Ok(DiagnosisLine::ok("space", "the system does not report the free space"));
    };
    let file = std::fs::metadata(store.path())?.len();
    let shown = format!("{} free, the store is {}", show_bytes(free), show_bytes(file));
    let advice = "free some space: hivekeep point forget --policy, then hivekeep compact";
    Ok(if free < MIN_FREE {
        DiagnosisLine::warn("space", format!("nearly full: {shown}"), advice)
    } else if free < file {
        DiagnosisLine::warn("space", format!("too little for a repair or a drill: {shown}"), advice)
    } else {
        DiagnosisLine::ok("space", shown)
    })
}

/// Whether a view that is kept open makes the file grow.
pub(super) fn readers(store: &Store) -> DiagnosisLine {
    let readers = store.long_readers();
    if readers.is_empty() {
        return DiagnosisLine::ok("readers", "no process keeps a view open for long");
    }
    let what = format!("the file grows while a view is kept open: {}", readers.join("; "));
    DiagnosisLine::warn(
        "readers",
        what,
        "let that program drop its views; then the space is reused, or run hivekeep compact",
    )
}

/// Whether the write-ahead log can be moved into the file of the store.
pub(super) fn log(store: &Store) -> DiagnosisLine {
    let topic = "log";
    let Some(log) = store.log_status() else {
        return DiagnosisLine::ok(topic, "none: each commit goes into the file of the store");
    };
    let (files, length) = (counted(log.sections, "file"), show_bytes(log.bytes));
    let waiting = show_bytes(log.memory_bytes);
    if let Some(why) = log.failing {
        let what = format!("the write-ahead log cannot be moved into the file of the store, {waiting} wait: {why}");
        return DiagnosisLine::warn(
            topic,
            what,
            "mend the cause, such as a full disk; commits and reads go on meanwhile",
        );
    }
    let shared = if store.shares_log() { "shared, " } else { "" };
    let age = log.since.map(|since| duration::show(duration::since(since, store.clock().now())));
    let age = age.map_or(String::new(), |age| format!("; the file has everything until {age} ago"));
    DiagnosisLine::ok(
        topic,
        match (log.in_use, store.only_looks()) {
            (true, true) if shared.is_empty() => {
                format!(
                    "a process that did not close the store left a log, {files} of {length}; the next opening moves it"
                )
            }
            (true, true) => format!("{shared}in use, {files} of {length}{age}"),
            (true, false) => {
                format!("{shared}in use, {files} of {length}, {waiting} waiting to be moved into the file{age}")
            }
            (false, _) => format!("{shared}not in use"),
        },
    )
}

/// Whether the clock is behind the last write, or went back between points. Retention, leases and times depend on it.
pub(super) fn clock(store: &Store, named: &[Point], sessions: &[Session]) -> DiagnosisLine {
    let advice = "set the clock right; leases and retention depend on it";
    let now = store.clock().now();
    let sealed = named.iter().map(|point| point.sealed_at);
    let newest = sealed.clone().chain(sessions.iter().map(|session| session.alive_at)).max();
    if let Some(newest) = newest.filter(|newest| *newest > after(now, CLOCK_SLACK)) {
        let by = duration::show(duration::since(now, newest));
        return DiagnosisLine::warn("clock", format!("it is {by} behind the last write"), advice);
    }
    let later = sealed.clone().zip(sealed.skip(1)).find(|(newer, older)| *older > after(*newer, CLOCK_SLACK));
    if let Some((newer, older)) = later {
        let at = show_time(newer);
        let by = duration::show(duration::since(newer, older));
        return DiagnosisLine::warn("clock", format!("it was set back by {by} before {at}"), advice);
    }
    DiagnosisLine::ok("clock", "it has never gone back between points")
}

/// The processes that have the store open.
pub(super) fn sharing(store: &Store) -> Result<DiagnosisLine> {
    let living = SessionLocks::look(store.path())?.map_or(Ok(Vec::new()), |locks| locks.living())?;
    Ok(if !living.is_empty() {
        DiagnosisLine::ok("sharing", format!("open in {}", living.join(", ")))
    } else if open::in_use(store.path())? {
        DiagnosisLine::ok("sharing", "open in a process without a session")
    } else {
        DiagnosisLine::ok("sharing", "no process has it open, so there are no automatic backups now")
    })
}

/// Whether a process crashed.
pub(super) fn sessions(store: &Store, sessions: &[Session]) -> Result<DiagnosisLine> {
    if let Some(crash) = store.crash()? {
        let (program, alive) = (&crash.session.program, show_time(crash.session.alive_at));
        let what = format!("a process crashed: {program}, last alive {alive}; {}", crash.outcome());
        return Ok(DiagnosisLine::warn("sessions", what, "once seen: hivekeep crash ack"));
    }
    let open = sessions.iter().filter(|session| session.state == SessionState::Open).count();
    Ok(DiagnosisLine::ok("sessions", format!("{open} alive, none crashed")))
}

/// Whether claims are past their lease.
pub(super) fn claims(view: &View) -> Result<DiagnosisLine> {
    Ok(match view.queue().overdue(CLAIMS)? {
        0 => DiagnosisLine::ok("claims", "no claim is past its lease"),
        count => {
            let claims = counted(count as u64, "claim");
            DiagnosisLine::warn(
                "claims",
                format!("{claims} past the lease"),
                "serve, or the next claim, returns them to ready",
            )
        }
    })
}

/// Whether tasks wait for something that cannot come.
pub(super) fn tasks(view: &View) -> Result<DiagnosisLine> {
    let mut stuck = view.queue().stuck(STUCK + 1)?;
    if stuck.is_empty() {
        return Ok(DiagnosisLine::ok("tasks", "no task waits for something that cannot come"));
    }
    let more = if stuck.len() > STUCK { ", and others" } else { "" };
    stuck.truncate(STUCK);
    let named: Vec<_> = stuck.iter().map(|(id, why)| format!("{id} ({why})")).collect();
    let what = format!("tasks wait for something that cannot come: {}{more}", named.join(", "));
    Ok(DiagnosisLine::warn(
        "tasks",
        what,
        "see the reason: hivekeep queue why ID; then requeue, register a bot, or cancel",
    ))
}

/// Whether somebody fires the schedules.
pub(super) fn schedules(store: &Store, view: &View) -> Result<DiagnosisLine> {
    let (topic, advice) = ("schedules", "start hivekeep serve, which fires them");
    if let Some(stranger) = view.schedules().stranger()? {
        return Ok(DiagnosisLine::warn(topic, stranger.to_string(), "hivekeep remove schedules KEY removes it"));
    }
    let schedules = view.schedules().list()?;
    let active = schedules.iter().filter(|schedule| !schedule.paused).count();
    if active == 0 {
        return Ok(DiagnosisLine::ok(topic, "no schedule waits for its time"));
    }
    let (shown, now) = (counted(active as u64, "schedule"), store.clock().now());
    let overdue = schedules.iter().filter_map(|schedule| Some((&schedule.name, schedule.overdue_since(now)?)));
    if let Some((name, since)) = overdue.min_by_key(|(_, since)| *since) {
        let since = show_time(since);
        return Ok(DiagnosisLine::warn(topic, format!("no process fires {shown}: {name} was due at {since}"), advice));
    }
    let silent = schedules.iter().filter_map(|schedule| Some((&schedule.name, schedule.silent_until(now)?)));
    if let Some((name, until)) = silent.max_by_key(|(_, until)| *until) {
        let (until, advice) = (show_time(until), "hivekeep schedule add NAME .. --replace lets it begin now");
        let what = format!("the clock was ahead, so {name} does not fire before {until}");
        return Ok(DiagnosisLine::warn(topic, what, advice));
    }
    let living = SessionLocks::look(store.path())?.map_or(Ok(Vec::new()), |locks| locks.living())?;
    if living.is_empty() && !open::in_use(store.path())? {
        return Ok(DiagnosisLine::warn(topic, format!("no process has the store open to fire {shown}"), advice));
    }
    Ok(DiagnosisLine::ok(topic, format!("{shown}, none overdue")))
}

/// Whether a guard was killed before it could roll back.
pub(super) fn guards(named: &[Point]) -> DiagnosisLine {
    match named.iter().find(|point| is_running(point)) {
        None => DiagnosisLine::ok("guards", "no guard is running"),
        Some(point) => {
            let what = format!("a guard is running, or was killed: {}", point.description);
            let id = &point.id;
            let advice = format!("if nothing runs: hivekeep restore {id}, or hivekeep point release {id}");
            DiagnosisLine::warn("guards", what, advice)
        }
    }
}
