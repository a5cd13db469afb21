//! Copies outside of the file, since restore points do not outlive it.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::show_time;
use crate::duration;
use crate::engine::open;
use crate::engine::store::Store;
use crate::error::Result;
use crate::recovery::events::event::Event;
use crate::transfer::archive::Outside;
use crate::transfer::archives::{self, Export};
use crate::transfer::doctor::line::DiagnosisLine;
use crate::transfer::replica_state::ReplicaState;

/// The newest archive, its age, and whether it would be lost together with the store.
pub(super) fn outside(
    store: &Store,
    events: &[Event],
    folder: Option<&Path>,
    interval: Duration,
    replica: Option<&ReplicaState>,
) -> Result<DiagnosisLine> {
    let topic = "archives";
    let until = replica.and_then(|replica| replica.restorable_until(store));
    // No risk while the replica is another copy.
    let at_risk = |what: String, advice| match until {
        Some(until) => {
            DiagnosisLine::ok(topic, format!("{what}; the replica has everything until {}", show_time(until)))
        }
        None => DiagnosisLine::warn(topic, what, advice),
    };
    let path = std::path::absolute(store.path())?;
    let folder = folder.map_or_else(|| archives::folder_of(store, &path), |folder| Ok(folder.to_path_buf()))?;
    let Some((newest, metadata)) = archives::newest(&folder, &Export::among(events)) else {
        let advice = "copy it to another disk: hivekeep export FILE.tar.gz; serve does this automatically";
        let what = match until {
            Some(_) => "no archive".to_owned(),
            None if replica.is_some_and(|replica| replica.is_beside(store)) => {
                "no archive, and the replica is on the same file system as the store".to_owned()
            }
            None => format!("no copy outside of this file: {}", folder.display()),
        };
        return Ok(at_risk(what, advice));
    };
    let name = newest.file_name().unwrap_or_default().to_string_lossy();
    let outside = store.outside()?.filter(|outside| Path::new(&outside.last.file) == newest);
    let (shown, behind) = outside.as_ref().map_or_else(|| by_file(store, &path, &metadata), |own| by_state(store, own));
    let shown = format!("{name}, {shown}");
    Ok(if behind > interval.saturating_mul(2) {
        at_risk(format!("the newest is old: {shown}"), "is serve running, with archives on?")
    } else if archives::same_file_system(&newest, &path) == Some(true) {
        let advice = "keep them on another disk too: hivekeep serve --archive-dir, or copy them away";
        at_risk(format!("on the same file system as the store: {shown}"), advice)
    } else if outside.is_some_and(|outside| !outside.last.opened) {
        let known = "it is encrypted, and its bytes are what was written; only its key tells whether it opens: \
                     hivekeep import FILE --dry-run --identity KEY";
        DiagnosisLine::ok(topic, format!("the newest is {shown}; {known}"))
    } else {
        DiagnosisLine::ok(topic, format!("the newest is {shown}"))
    })
}

/// The age of the state in an automatic archive, and how far back the loss of the store would reach.
fn by_state(store: &Store, outside: &Outside) -> (String, Duration) {
    let now = store.clock().now();
    let since = if outside.changed_since { "something" } else { "nothing" };
    let age = duration::show(duration::since(outside.last.state_at, now));
    (format!("of the state of {age} ago, and {since} has changed since"), outside.lag(now))
}

/// The same for an archive of which only the file is known.
fn by_file(store: &Store, path: &Path, metadata: &Metadata) -> (String, Duration) {
    let made = metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
    let ago = made.map_or(Duration::MAX, |made| duration::since(made, store.clock().now()));
    let behind = if is_older_than_the_store(path, metadata) { ago } else { Duration::ZERO };
    (format!("made {} ago", duration::show(ago)), behind)
}

/// An archive of a store that has not changed need not be recent.
fn is_older_than_the_store(store: &Path, archive: &Metadata) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    // The newest commits of a store with a log change nothing but the log.
    let changed = open::files_of_log(store).iter().filter_map(|log| modified(log)).chain(modified(store)).max();
    changed.zip(archive.modified().ok()).is_none_or(|(store, archive)| archive < store)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::check::last_replica::ReplicaWatch;
    use crate::testkit::checked_store::Fixture;
    use crate::transfer::doctor::Condition;
    use crate::transfer::doctor::diagnosis::DiagnosisOptions;
    use crate::transfer::replica_state::ReplicaWaiting;
    use crate::transfer::summary::OutsideCopy;

    #[test]
    fn a_replica_that_is_shipped_is_a_copy_outside_of_the_file_and_the_diagnosis_says_until_when() {
        let hive = Fixture::new();
        let (now, folder) = (hive.store.clock().now(), hive.store.path().parent().unwrap().to_owned());
        let waiting = ReplicaWaiting { shipped: 1, shipped_at: Some(now), kept_bytes: 0, is_shipped: true };
        let at = |location: &str| ReplicaState {
            watch: ReplicaWatch { location: location.into(), ..ReplicaWatch::default() },
            shipping: None,
            waiting: Some(waiting.clone()),
            overtaken: None,
            copy: None,
        };
        let look = |replica: Option<ReplicaState>| {
            let warning = OutsideCopy::beside(&hive.store, replica.as_ref()).unwrap().warning;
            let diagnosed = hive.store.diagnose(&DiagnosisOptions { replica, ..DiagnosisOptions::default() }).unwrap();
            let line = diagnosed.lines.into_iter().find(|line| line.topic == "archives").unwrap();
            (line.verdict, line.what, diagnosed.restorable_until, warning)
        };
        let (verdict, what, until, warning) = look(Some(at("s3://b/p")));
        assert_eq!((verdict, until, warning), (Condition::Ok, Some(now), None), "{what}");
        assert!(what.contains("the replica has everything until 20"), "{what}");
        let (verdict, what, until, warning) = look(Some(at(folder.to_str().unwrap())));
        assert_eq!((verdict, until), (Condition::Warn, None));
        for words in [what, warning.unwrap().into_owned()] {
            assert!(words.contains("the replica is on the same file system as the store"), "{words}");
        }
        let (verdict, what, until, warning) = look(None);
        assert!(verdict == Condition::Warn && until.is_none() && what.contains("no copy outside of this file"));
        assert!(warning.is_some());
    }
}
