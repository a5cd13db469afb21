//! A thread that works from time to time, until its owner drops it.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::engine::process::Process;
use crate::error::{Error, ErrorKind, Result};

/// A running thread. To drop it stops the thread and waits for its end, unless it was detached.
#[derive(Debug)]
pub(crate) struct Background {
    process: Process,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// The signal to the thread.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: Mutex<Asked>,
    told: Condvar,
    panicked: AtomicBool,
}

/// The requests that the thread has not handled yet.
#[derive(Debug, Default)]
struct Asked {
    stop: bool,
    look: bool,
}

impl Background {
    /// Starts a thread with that name.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn start(name: &str, work: impl FnOnce(&Arc<Stop>) + Send + 'static) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let (own, thread) = (stop.clone(), std::thread::Builder::new().name(name.to_owned()));
        let name = name.to_owned();
        let thread = thread.spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| work(&own))).is_err() {
                tracing::error!(thread = name, "a background thread panicked, and its work has ended");
                own.panicked.store(true, Ordering::Relaxed);
            }
        })?;
        Ok(Self { process: Process::current(), stop, thread: Some(thread) })
    }

    /// Lets the thread go on until its work ends by itself. A panic is still logged.
    pub(crate) fn detach(mut self) {
        drop(self.thread.take());
    }

    /// Refuses if the work has ended without being stopped.
    ///
    /// # Errors
    ///
    /// `Forked` in a forked child, which does not have the thread; `Io` when the thread panicked.
    pub(crate) fn refuse_ended(&self) -> Result<()> {
        self.process.refuse_forked()?;
        if self.stop.panicked.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Io,
                "the thread panicked, and its work has ended; start the program anew",
            ));
        }
        Ok(())
    }

    /// Wakes the thread from its wait.
    pub(crate) fn wake(&self) {
        if self.process.has_forked() {
            return;
        }
        self.stop.wake();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.process.has_forked() {
            // The thread belongs to the parent. A wait for it in the child would never end.
            mem::forget(self.thread.take());
            return;
        }
        let Some(thread) = self.thread.take() else { return };
        self.stop.asked.lock().stop = true;
        self.stop.told.notify_all();
        let _told = thread.join();
    }
}

impl Stop {
    /// Whether the thread is to stop.
    #[cfg(feature = "replica")]
    pub(crate) fn is_stopped(&self) -> bool {
        self.asked.lock().stop
    }

    /// Wakes the thread from its wait, or keeps it from the next one.
    pub(crate) fn wake(&self) {
        self.asked.lock().look = true;
        self.told.notify_all();
    }

    /// Waits that long, or until the thread is woken or stopped. Returns whether it was stopped.
    pub(crate) fn within(&self, time: Duration) -> bool {
        self.wait(time, |asked| asked.stop || mem::take(&mut asked.look))
    }

    /// Waits that long, or until the thread is stopped. Returns whether it was.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        self.wait(time, |asked| asked.stop)
    }

    fn wait(&self, time: Duration, mut is_over: impl FnMut(&mut Asked) -> bool) -> bool {
        let until = Instant::now() + time;
        let mut asked = self.asked.lock();
        while !is_over(&mut asked) && !self.told.wait_until(&mut asked, until).timed_out() {}
        asked.stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_panics_is_reported() {
        let (waits, waiting) = std::sync::mpsc::channel::<()>();
        let background = Background::start("test", move |_| {
            let _told = waiting.recv();
            panic!("in the work");
        });
        let background = background.unwrap();
        background.refuse_ended().unwrap();
        drop(waits);
        while background.refuse_ended().is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let ended = background.refuse_ended().unwrap_err().to_string();
        assert_eq!(ended, "the thread panicked, and its work has ended; start the program anew");
    }

    #[test]
    fn a_thread_that_is_woken_works_at_once() {
        let (looks, looked) = std::sync::mpsc::channel();
        let background = Background::start("test", move |stop| {
            while !stop.within(Duration::from_secs(3600)) {
                looks.send(()).unwrap();
            }
        });
        let background = background.unwrap();
        background.wake();
        looked.recv().unwrap();
    }

    #[test]
    fn a_thread_ends_when_it_is_dropped_however_long_it_would_wait() {
        let ended = Arc::new(AtomicBool::new(false));
        let own = ended.clone();
        let (waits, waiting) = std::sync::mpsc::channel();
        let background = Background::start("test", move |stop| {
            assert!(!stop.within(Duration::from_millis(1)));
            waits.send(()).unwrap();
            assert!(stop.within(Duration::from_secs(3600)));
            own.store(true, Ordering::Relaxed);
        });
        waiting.recv().unwrap();
        drop(background.unwrap());
        assert!(ended.load(Ordering::Relaxed));
    }

    #[test]
    fn a_thread_that_was_detached_goes_on() {
        let (begins, begun) = std::sync::mpsc::channel::<()>();
        let (ends, ended) = std::sync::mpsc::channel();
        let background = Background::start("test", move |stop| {
            let _told = begun.recv();
            ends.send(stop.pause(Duration::ZERO)).unwrap();
        });
        background.unwrap().detach();
        drop(begins);
        assert_eq!(ended.recv(), Ok(false), "it was not asked to stop");
    }
}
