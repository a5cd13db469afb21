//! The signals that a service handles itself, registered as soon as this is created, so that none is lost.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The registered signals.
pub(in crate::face) struct Signals {
    pub(in crate::face) stop: Stop,
    pub(in crate::face) hang_up: HangUp,
}

/// Shutdown: Ctrl-C, or SIGTERM on Unix.
pub(in crate::face) struct Stop {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
}

/// Reload of the settings: SIGHUP on Unix.
pub(in crate::face) struct HangUp {
    #[cfg(unix)]
    hang_up: Signal,
}

impl Signals {
    /// Registers them, inside a runtime.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    #[cfg(unix)]
    pub(in crate::face) fn note() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let hang_up = signal(SignalKind::hangup())?;
        Ok(Self { stop: Stop { interrupt, terminate }, hang_up: HangUp { hang_up } })
    }

    /// Only Ctrl-C exists there.
    #[cfg(not(unix))]
    pub(in crate::face) fn note() -> io::Result<Self> {
        Ok(Self { stop: Stop {}, hang_up: HangUp {} })
    }
}

impl Stop {
    /// Resolves at shutdown.
    #[cfg(unix)]
    pub(in crate::face) async fn told(self) {
        let Self { mut interrupt, mut terminate } = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    /// Resolves at shutdown.
    #[cfg(not(unix))]
    pub(in crate::face) async fn told(self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

impl HangUp {
    /// Resolves when the signal has come.
    #[cfg(unix)]
    pub(in crate::face) async fn told(&mut self) {
        if self.hang_up.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// No such signal exists there.
    #[cfg(not(unix))]
    pub(in crate::face) async fn told(&mut self) {
        std::future::pending().await
    }
}
