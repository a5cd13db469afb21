//! The claims of one session of a bot: their leases are extended while the session lives, and they are given back when
//! it ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::state::ids::{TaskId, Token};
use crate::state::queue::claiming::claim::Claim;

/// The pause after an extension that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The claims of one session, such as the connection of an agent. Somebody calls [`extend_due`](Self::extend_due) as
/// often as it says. Dropped, it gives back the claims that it still keeps, so it belongs on a thread that may block;
/// [`leave`](Self::leave) leaves them to their leases instead.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hivekeep::{BotId, ClaimOptions, KeptClaims, NewTask, Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::open(dir.path().join("hive.redb"))?;
/// store.write(|tx| tx.queue().enqueue(NewTask::new("build")))?;
/// let kept = KeptClaims::default();
/// let claims = store.write(|tx| tx.queue().claim(&BotId::new("BOT-1")?, &ClaimOptions::default()))?;
/// kept.keep(&store, claims, Duration::from_secs(30))?;
/// assert!(kept.extend_due().unwrap() <= Duration::from_secs(10));
/// drop(kept); // The session ended: the task is ready again, and no attempt is counted.
/// assert_eq!(store.view()?.queue().counts()?.ready, 1);
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct KeptClaims(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    has_ended: bool,
    claims: BTreeMap<TaskId, KeptClaim>,
}

#[derive(Clone, Debug)]
struct KeptClaim {
    /// The store, for the changes of the one who claimed.
    store: Store,
    claim: Claim,
    lease: Duration,
    /// When its lease must be extended.
    due: Instant,
}

impl KeptClaims {
    /// Keeps claims that were just taken from the store with that lease.
    ///
    /// # Errors
    ///
    /// `Conflict` when the session has ended; then the claims are given back. As [`Store::give_back`] then.
    pub fn keep(&self, store: &Store, claims: Vec<Claim>, lease: Duration) -> Result<()> {
        let mut kept = self.0.lock();
        if kept.has_ended {
            drop(kept);
            let count = store.give_back(&claims)?;
            return Err(Error::conflict(format!("the session has ended; the claims were given back: count={count}")));
        }
        for claim in claims {
            let own = KeptClaim { store: store.clone(), due: due(lease), claim, lease };
            kept.claims.insert(own.claim.id.clone(), own);
        }
        Ok(())
    }

    /// The token of a claim that it keeps.
    pub fn token(&self, task: &TaskId) -> Option<Token> {
        self.0.lock().claims.get(task).map(|kept| kept.claim.token)
    }

    /// The tasks that it keeps, in the order of their ids.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.0.lock().claims.keys().cloned().collect()
    }

    /// Notes that the claim with that token was extended to another lease, which counts from now on.
    pub fn was_extended(&self, task: &TaskId, token: Token, lease: Duration) {
        if let Some(kept) = self.0.lock().claims.get_mut(task).filter(|kept| kept.claim.token == token) {
            (kept.lease, kept.due) = (lease, due(lease));
        }
    }

    /// Drops the claim with that token, which has ended.
    pub fn let_go(&self, task: &TaskId, token: Token) {
        let mut kept = self.0.lock();
        if kept.claims.get(task).is_some_and(|kept| kept.claim.token == token) {
            kept.claims.remove(task);
        }
    }

    /// Extends each claim once a third of its lease has passed, so that two extensions may fail, and drops those that
    /// have ended. Returns the time until the next extension; none if it keeps no claim.
    pub fn extend_due(&self) -> Option<Duration> {
        let now = Instant::now();
        let all_due: Vec<_> = self.0.lock().claims.values().filter(|kept| kept.due <= now).cloned().collect();
        for KeptClaim { store, claim, lease, .. } in all_due {
            match store.write(|tx| tx.queue().extend(&claim.id, claim.token, lease)) {
                Ok(_) => self.was_extended(&claim.id, claim.token, lease),
                Err(error) if ends_the_claim(error.kind()) => {
                    tracing::warn!(%error, task = %claim.id, "the claim of a session has ended");
                    self.let_go(&claim.id, claim.token);
                }
                Err(error) => {
                    tracing::warn!(%error, task = %claim.id, "the claim of a session could not be extended");
                    self.try_again(&claim.id);
                }
            }
        }
        self.0.lock().claims.values().map(|kept| kept.due.saturating_duration_since(Instant::now())).min()
    }

    fn try_again(&self, task: &TaskId) {
        if let Some(kept) = self.0.lock().claims.get_mut(task) {
            kept.due = Instant::now() + PAUSE.min(kept.lease / 4);
        }
    }

    /// Ends the session, and leaves the claims that it keeps to their leases, which are no longer
    /// extended. Returns their number.
    pub fn leave(&self) -> usize {
        let mut kept = self.0.lock();
        kept.has_ended = true;
        std::mem::take(&mut kept.claims).len()
    }

    /// Ends the session: gives back the claims that it keeps, and keeps no more. Returns their number.
    ///
    /// # Errors
    ///
    /// As [`Store::give_back`], after all were tried. Claims that could not be given back stay until their leases end.
    pub fn end(&self) -> Result<usize> {
        let claims = {
            let mut kept = self.0.lock();
            kept.has_ended = true;
            std::mem::take(&mut kept.claims)
        };
        let (mut given, mut failed) = (0, None);
        for KeptClaim { store, claim, .. } in claims.into_values() {
            match store.give_back(&[claim]) {
                Ok(count) => given += count,
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(given), Err)
    }
}

impl Drop for KeptClaims {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "claims of a session that ended stay until their leases end");
        }
    }
}

/// When a claim with that lease must be extended.
fn due(lease: Duration) -> Instant {
    Instant::now() + lease / 3
}

/// Whether a claim has ended for its holder, so that a retry is useless.
fn ends_the_claim(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Forbidden | ErrorKind::Forked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::queue::verbs_test::{bot, id, named};
    use crate::state::queue::{ClaimOptions, TaskState};
    use crate::testkit::checked_store::Fixture;

    const LEASE: Duration = Duration::from_secs(30);

    /// The claim of a task by `ant`, kept.
    fn holding(hive: &Fixture, task: &str, lease: Duration) -> KeptClaims {
        hive.push(named(task));
        let kept = KeptClaims::default();
        let options = ClaimOptions { lease, ..ClaimOptions::default() };
        kept.keep(&hive.store, hive.store.claim(&bot("ant"), &options).unwrap(), lease).unwrap();
        kept
    }

    #[test]
    fn a_claim_is_given_back_when_its_session_ends_and_no_attempt_is_counted() {
        let hive = Fixture::new();
        let kept = holding(&hive, "a", LEASE);
        assert_eq!(kept.tasks(), [id("a")]);
        drop(kept);
        assert_eq!((hive.task("a").state, hive.task("a").attempts), (TaskState::Ready, 0));
        let kept = holding(&hive, "b", LEASE);
        assert_eq!(kept.end().unwrap(), 1);
        assert_eq!(kept.end().unwrap(), 0);
        hive.check();
    }

    #[test]
    fn a_claim_that_comes_after_the_end_of_its_session_is_given_back() {
        let hive = Fixture::new();
        let kept = KeptClaims::default();
        kept.end().unwrap();
        hive.push(named("a"));
        let claims = hive.store.claim(&bot("ant"), &ClaimOptions::default()).unwrap();
        assert_eq!(kept.keep(&hive.store, claims, LEASE).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(hive.task("a").state, TaskState::Ready);
    }

    #[test]
    fn a_lease_is_extended_when_a_third_of_it_has_passed() {
        let hive = Fixture::new();
        let kept = holding(&hive, "a", Duration::from_millis(3));
        let before = hive.task("a").holder.unwrap().deadline;
        std::thread::sleep(Duration::from_millis(2));
        hive.clock.advance(Duration::from_millis(2));
        kept.extend_due().unwrap();
        assert!(hive.task("a").holder.unwrap().deadline > before);
        let long = holding(&hive, "b", LEASE);
        let next = long.extend_due().unwrap();
        assert!(next <= LEASE / 3 && next > LEASE / 4, "{next:?}");
    }

    #[test]
    fn a_claim_that_another_bot_has_got_is_let_go_and_not_given_back() {
        let hive = Fixture::new();
        let kept = holding(&hive, "a", Duration::from_millis(3));
        std::thread::sleep(Duration::from_millis(2));
        hive.pass(31);
        let new = hive.claim_one("bee");
        assert_eq!(kept.extend_due(), None);
        assert_eq!(kept.token(&id("a")), None);
        drop(kept);
        assert_eq!(hive.task("a").holder.unwrap().token, new.token);
    }

    #[test]
    fn a_finished_claim_is_let_go_by_its_token_only() {
        let hive = Fixture::new();
        let kept = holding(&hive, "a", LEASE);
        let token = kept.token(&id("a")).unwrap();
        kept.let_go(&id("a"), Token(token.0 + 1));
        assert_eq!(kept.token(&id("a")), Some(token));
        kept.let_go(&id("a"), token);
        assert_eq!(kept.extend_due(), None);
        drop(kept);
        assert_eq!(hive.task("a").state, TaskState::Claimed);
    }
}
