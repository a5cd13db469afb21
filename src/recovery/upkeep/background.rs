//! A thread that does something from time to time, until whoever started it lets go of it.

use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::engine::process::Process;
use crate::error::Result;

/// A running thread. When this is dropped, the thread is told to stop, and waited for.
#[derive(Debug)]
pub(crate) struct Background {
    process: Process,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// What tells a thread to stop.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: Mutex<Asked>,
    told: Condvar,
}

/// What the thread was asked for and has not done yet.
#[derive(Debug, Default)]
struct Asked {
    stop: bool,
    look: bool,
}

impl Background {
    /// Starts a thread of that name.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn start(name: &str, work: impl FnOnce(&Stop) + Send + 'static) -> Result<Self> {
        let stop = Arc::new(Stop::default());
        let own = stop.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&own))?;
        Ok(Self { process: Process::current(), stop, thread: Some(thread) })
    }
}

impl Background {
    /// Refuses a forked child, which has no such thread.
    ///
    /// # Errors
    ///
    /// `Forked` in one.
    pub(crate) fn refuse_forked(&self) -> Result<()> {
        self.process.refuse_forked()
    }

    /// Ends the thread's wait for its next look.
    pub(crate) fn wake(&self) {
        if self.process.has_forked() {
            return;
        }
        self.stop.asked.lock().look = true;
        self.stop.told.notify_all();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.process.has_forked() {
            // The thread is one of the parent's: whoever waited for it here would wait for ever.
            mem::forget(self.thread.take());
            return;
        }
        self.stop.asked.lock().stop = true;
        self.stop.told.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was its own end; there is nobody left to tell.
            let _ended = thread.join();
        }
    }
}

impl Stop {
    /// Waits that long, or until the thread is to look at once, or to stop; says whether it is to stop.
    pub(crate) fn within(&self, time: Duration) -> bool {
        self.wait(time, |asked| asked.stop || mem::take(&mut asked.look))
    }

    /// Waits that long, or until the thread is to stop; says whether it is.
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
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_thread_that_is_woken_looks_at_once() {
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
    fn a_thread_ends_when_it_is_let_go_of_however_long_it_would_wait() {
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
}
