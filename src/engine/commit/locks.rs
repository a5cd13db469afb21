//! The locks that writers queue at: parking_lot's, or, with `--cfg shuttle`, those of a
//! scheduler that tries interleavings.

#[cfg(not(shuttle))]
mod of_the_system {
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::thread::yield_now;
    pub(crate) use std::thread_local;
}

#[cfg(not(shuttle))]
pub(crate) use of_the_system::*;

#[cfg(shuttle)]
mod of_the_scheduler {
    use std::time::Instant;

    pub(crate) use shuttle::thread::yield_now;
    pub(crate) use shuttle::thread_local;
    pub(crate) use shuttle_parking_lot_impl::{Mutex, MutexGuard};

    /// The result of a wait with a limit: the limit was not reached.
    pub(crate) struct WaitTimeoutResult;

    impl WaitTimeoutResult {
        pub(crate) fn timed_out(&self) -> bool {
            false
        }
    }

    /// A condition variable with parking_lot's verbs: waiting ends when the number of notices has changed.
    #[derive(Debug)]
    pub(crate) struct Condvar {
        notices: shuttle::sync::Mutex<u64>,
        noticed: shuttle::sync::Condvar,
    }

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self { notices: shuttle::sync::Mutex::new(0), noticed: shuttle::sync::Condvar::new() }
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            // Locked before the other lock is released, so that no notice is missed.
            let mut notices = self.notices.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            MutexGuard::unlocked(guard, || {
                let before = *notices;
                while *notices == before {
                    notices = self.noticed.wait(notices).unwrap_or_else(|poisoned| poisoned.into_inner());
                }
                drop(notices);
            });
        }

        /// Time does not pass here.
        pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _until: Instant) -> WaitTimeoutResult {
            self.wait(guard);
            WaitTimeoutResult
        }

        pub(crate) fn notify_all(&self) {
            *self.notices.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
            self.noticed.notify_all();
        }
    }
}

#[cfg(shuttle)]
pub(crate) use of_the_scheduler::*;
