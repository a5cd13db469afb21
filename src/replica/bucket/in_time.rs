//! Work with a folder, on threads for blocking work: calls side by side do not wait for each other, and a folder of
//! another machine that hangs keeps its threads, and nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::error::{Error, ErrorKind, Result};

/// So many threads may hang at one place. Further work there is refused until one of them ends.
const HANGING_MAX: usize = 8;

/// The threads that hang at each place.
static HANGING: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// The progress of work that may take long.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU64);

impl Progress {
    /// The work went on.
    pub(super) fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The end of work, as its thread and its caller agree on it.
#[derive(Debug)]
enum Work {
    Runs,
    /// Nobody waits for it any more.
    Hangs(String),
    Done,
}

/// Runs blocking work at a place, which may take any time as long as it goes on within each `limit`. Gives its result.
///
/// # Errors
///
/// `Io` when it does not. Then the work may still be done later.
pub(super) async fn in_time<R: Send + 'static>(
    place: &str,
    limit: Duration,
    work: impl FnOnce(&Progress) -> Result<R> + Send + 'static,
) -> Result<Result<R>> {
    let late = || Error::new(ErrorKind::Io, format!("the folder does not answer in time: path={place}"));
    if HANGING.lock().get(place).is_some_and(|hanging| *hanging >= HANGING_MAX) {
        return Err(late());
    }
    let (progress, state) = (Arc::new(Progress::default()), Arc::new(Mutex::new(Work::Runs)));
    let (own_progress, own_state) = (progress.clone(), state.clone());
    let mut done = spawn_blocking(move || {
        let done = work(&own_progress);
        if let Work::Hangs(place) = std::mem::replace(&mut *own_state.lock(), Work::Done) {
            goes_on(&place);
        }
        done
    });
    let mut seen = 0;
    loop {
        if let Ok(done) = timeout(limit, &mut done).await {
            return done
                .map_err(|source| Error::new(ErrorKind::Reopen, "the runtime is shutting down").with_source(source));
        }
        let now = progress.0.load(Ordering::Relaxed);
        if now == seen {
            break;
        }
        seen = now;
    }
    let mut state = state.lock();
    if matches!(*state, Work::Runs) {
        *state = Work::Hangs(place.to_owned());
        *HANGING.lock().entry(place.to_owned()).or_default() += 1;
    }
    Err(late())
}

/// A thread that hung at a place has ended.
fn goes_on(place: &str) {
    let mut hanging = HANGING.lock();
    if let Some(count) = hanging.get_mut(place) {
        *count -= 1;
        if *count == 0 {
            hanging.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::replica::connection::runtime::block_on;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn a_folder_that_hangs_is_given_up_and_asked_again_once_its_threads_end() {
        let place = "a folder that hangs";
        let mut ends = Vec::new();
        for _ in 0..HANGING_MAX {
            let (end, ended) = channel::<()>();
            ends.push(end);
            let work = move |_: &Progress| {
                let _end = ended.recv();
                Ok(())
            };
            let late = block_on(in_time(place, SHORT, work)).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::Io, "{late}");
        }
        let refused = block_on(in_time(place, SHORT, |_| -> Result<()> { panic!("it runs") })).unwrap_err();
        assert!(refused.to_string().contains("does not answer in time"), "{refused}");
        block_on(in_time("another folder", 1000 * SHORT, |_| Ok(()))).unwrap().unwrap();
        drop(ends);
        while HANGING.lock().contains_key(place) {
            std::thread::sleep(Duration::from_millis(1));
        }
        block_on(in_time(place, 1000 * SHORT, |_| Ok(()))).unwrap().unwrap();
    }

    #[test]
    fn work_that_goes_on_may_take_long() {
        let work = |progress: &Progress| {
            for _ in 0..20 {
                std::thread::sleep(SHORT);
                progress.step();
            }
            Ok(())
        };
        block_on(in_time("a slow folder", 10 * SHORT, work)).unwrap().unwrap();
    }
}
