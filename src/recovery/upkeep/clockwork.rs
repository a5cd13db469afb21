//! The thread that fires schedules. It is apart from other periodic work, which may take long.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::duration;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::upkeep::background::Background;
use crate::recovery::upkeep::work::{Attendant, Health, Work, note};
use crate::state::schedules::fire::Firing;

/// The thread sleeps until the next due time, and at most for this long: the shortest interval of a schedule, so that
/// it knows a new schedule, of any process, before it is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pause after a failed look.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Starts the thread.
///
/// # Errors
///
/// `Io` when no thread can be started.
pub(crate) fn start(store: Store, health: Arc<Mutex<Health>>, attendant: Arc<dyn Attendant>) -> Result<Background> {
    Background::start("hivekeep-schedules", move |stop| {
        let (mut firing, mut known) = (Firing::default(), None);
        while !store.is_closed() {
            let wait = look(&store, &mut firing, &mut known, &*attendant);
            health.lock().schedules_error.clone_from(&known);
            if stop.within(wait) {
                break;
            }
        }
    })
}

/// Fires all due times. Returns the time until the next look.
fn look(store: &Store, firing: &mut Firing, known: &mut Option<String>, attendant: &dyn Attendant) -> Duration {
    // In a standby its source fires them, and of a store that was overtaken, or may have been, another machine does.
    if store.is_left_alone() {
        return LOOK_EVERY;
    }
    match firing.look(store) {
        Ok(fired) => {
            let failure = firing.failure().map(|error| Error::new(error.kind(), error.to_string()));
            note(Work::Schedules, known, failure, store, attendant);
            let until = fired.next.map(|next| duration::since(store.clock().now(), next));
            until.map_or(LOOK_EVERY, |until| until.clamp(Duration::from_millis(1), LOOK_EVERY))
        }
        Err(error) => {
            // The keeper that reopens the file reports that it was closed.
            if error.kind() == ErrorKind::Reopen {
                *known = Some(error.to_string());
            } else {
                note(Work::Schedules, known, Some(error), store, attendant);
            }
            AGAIN_AFTER
        }
    }
}
