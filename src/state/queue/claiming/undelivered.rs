//! Claims that are not delivered yet. If they cannot be delivered, they are given back at once.

use crate::engine::store::Store;
use crate::state::queue::claiming::claim::Claim;

/// Claims that nobody has received yet. Dropped before they are [`delivered`](Self::delivered), they are given back.
///
/// The drop writes to the store, so it belongs on a thread that may block.
///
/// # Examples
///
/// ```
/// use hivekeep::{BotId, ClaimOptions, NewTask, Store, Undelivered};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::open(dir.path().join("hive.redb"))?;
/// # store.write(|tx| tx.queue().enqueue(NewTask::new("build")))?;
/// let bot = BotId::new("BOT-1")?;
/// let claim = || store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default()));
/// let parcel = Undelivered::new(&store, claim()?);
/// drop(parcel); // The connection broke: the task is ready again, and no attempt is counted.
/// assert_eq!(claim()?[0].attempts, 1);
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Debug)]
pub struct Undelivered {
    store: Store,
    claims: Vec<Claim>,
}

impl Undelivered {
    /// Claims that were just taken from the store.
    pub fn new(store: &Store, claims: Vec<Claim>) -> Self {
        Self { store: store.clone(), claims }
    }

    /// The claims, to be sent to the bot.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// Marks the claims as delivered: they belong to the bot from now on.
    pub fn delivered(mut self) -> Vec<Claim> {
        std::mem::take(&mut self.claims)
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        let claims = std::mem::take(&mut self.claims);
        if !claims.is_empty()
            && let Err(error) = self.store.give_back(&claims)
        {
            tracing::warn!(%error, "claims that nobody received stay until their leases end");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::queue::verbs_test::named;
    use crate::state::queue::{ClaimOptions, TaskState};
    use crate::testkit::checked_store::Fixture;

    fn take(hive: &Fixture) -> Undelivered {
        let bot = crate::state::queue::verbs_test::bot("ant");
        Undelivered::new(&hive.store, hive.store.claim(&bot, &ClaimOptions::default()).unwrap())
    }

    #[test]
    fn claims_that_nobody_receives_go_back_at_once_and_no_attempt_is_counted() {
        let hive = Fixture::new();
        hive.push(named("a"));
        hive.push(named("b"));
        let taken = take(&hive);
        assert_eq!(taken.claims()[0].id.as_str(), "a");
        drop(taken);
        let task = hive.task("a");
        assert_eq!((task.state, task.attempts), (TaskState::Ready, 0));
        assert_eq!(hive.claim_ids("ant", 1), ["a"], "it keeps its place");
        hive.check();
    }

    #[test]
    fn claims_that_have_arrived_stay() {
        let hive = Fixture::new();
        hive.push(named("a"));
        assert_eq!(take(&hive).delivered().len(), 1);
        assert_eq!(hive.task("a").state, TaskState::Claimed);
    }

    #[test]
    fn a_claim_that_is_over_is_not_given_back_for_the_one_that_followed_it() {
        let hive = Fixture::new();
        hive.push(named("a"));
        let old = take(&hive);
        hive.pass(31);
        let new = hive.claim_one("bee");
        drop(old);
        assert_eq!(hive.task("a").holder.unwrap().token, new.token);
    }
}
