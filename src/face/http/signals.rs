//! The signals that a service obeys in its own way, noted from the moment on that this is made: one that comes before
//! somebody waits for it is not lost.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is noted.
pub(super) struct Signals {
    pub(super) stop: Stop,
    pub(super) hang_up: HangUp,
}

/// What tells the process to stop: Ctrl-C, or, where there is such a thing, SIGTERM.
pub(super) struct Stop {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
}

/// What has the settings read anew: SIGHUP, where there is such a thing.
pub(super) struct HangUp {
    #[cfg(unix)]
    hang_up: Signal,
}

impl Signals {
    /// Begins to note them; inside of a runtime.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    #[cfg(unix)]
    pub(super) fn note() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let hang_up = signal(SignalKind::hangup())?;
        Ok(Self { stop: Stop { interrupt, terminate }, hang_up: HangUp { hang_up } })
    }

    /// There is Ctrl-C only.
    #[cfg(not(unix))]
    pub(super) fn note() -> io::Result<Self> {
        Ok(Self { stop: Stop {}, hang_up: HangUp {} })
    }
}

impl Stop {
    /// Ends when the process is to stop.
    #[cfg(unix)]
    pub(super) async fn told(self) {
        let Self { mut interrupt, mut terminate } = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    /// Ends when the process is to stop.
    #[cfg(not(unix))]
    pub(super) async fn told(self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

impl HangUp {
    /// Ends when the signal has come since.
    #[cfg(unix)]
    pub(super) async fn told(&mut self) {
        if self.hang_up.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Nothing tells the process there.
    #[cfg(not(unix))]
    pub(super) async fn told(&mut self) {
        std::future::pending().await
    }
}
