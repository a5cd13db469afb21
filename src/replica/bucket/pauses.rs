//! The pauses between tries: short at first, longer with each, different for each process, and with an end.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, Result};

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// The pauses of one operation.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    until: Instant,
}

impl Pauses {
    /// Pauses for an operation that may take so long.
    pub(crate) fn within(patience: Duration) -> Self {
        Self { next: SHORTEST, until: Instant::now() + patience }
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
