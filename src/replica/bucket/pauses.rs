//! The pauses between tries: short at first, longer with each, different for each process, and with an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, Result};

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// A person is told after so long why nothing happens.
const SILENT: Duration = Duration::from_secs(2);

/// The pauses of one operation.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    begun: Instant,
    until: Instant,
    /// Whether the bucket was said before not to answer.
    was_told: Arc<AtomicBool>,
}

impl Pauses {
    /// Pauses for an operation that may take so long.
    pub(crate) fn within(patience: Duration) -> Self {
        let begun = Instant::now();
        Self { next: SHORTEST, begun, until: begun + patience, was_told: Arc::default() }
    }

    /// The same, and it is told once, for all operations with this mark, that they take long.
    #[must_use]
    pub(super) fn marked(self, was_told: Arc<AtomicBool>) -> Self {
        Self { was_told, ..self }
    }

    /// Pauses, unless there is no time left.
    ///
    /// # Errors
    ///
    /// `why`, once the time is over.
    pub(crate) async fn pause(&mut self, why: Error) -> Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(why);
        }
        if self.begun.elapsed() >= SILENT && !self.was_told.swap(true, Ordering::Relaxed) {
            // The command line shows it as a message of its own.
            tracing::warn!(target: "hivekeep::bucket", "still trying, for at most {} s: {why}", left.as_secs());
        }
        tracing::debug!(error = %why, pause = ?self.next, "the bucket is tried again");
        let [chance, ..] = crate::clock::random();
        // Between a half and all of it, so that two processes do not stay in step.
        let pause = self.next.mul_f64(0.5 + f64::from(chance) / 512.0);
        self.next = (self.next * 2).min(LONGEST);
        sleep(pause.min(left)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_with_the_last_error() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let begun = Instant::now();
            let mut pauses = Pauses::within(Duration::from_millis(300));
            let mut count = 0;
            let error = loop {
                match pauses.pause(Error::invalid(format!("try {count}"))).await {
                    Ok(()) => count += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.to_string(), format!("try {count}"));
            assert!((3..=6).contains(&count), "{count}");
            assert!(begun.elapsed() >= Duration::from_millis(300));
        });
    }
}
