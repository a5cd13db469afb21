//! Rate limits: how many requests and points each key or client may ask for, and how long a client that
//! has shown wrong keys must wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use parking_lot::Mutex;

use crate::face::http::problem::Problem;
use crate::face::http::sockets::client::Client;

/// The most clients that are counted apart, so that memory is bounded. All others share one bucket.
const MOST: usize = 10_000;
/// Requests per second, unless an option says otherwise. Programs of this machine that show no key have no limit then.
const REQUESTS: u64 = 1_000;
/// The burst: a client may send the requests of this many seconds at once.
const SECONDS_AT_ONCE: u64 = 5;
/// Points per hour, in the same way.
const POINTS: u64 = 200;
/// This many wrong keys are answered at once. After that there is an event, and the wait grows with each key, up to a
/// limit.
const AT_ONCE: u32 = 10;
const WAIT_STEP: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Wrong keys are forgotten when none was shown for this long.
const FORGOTTEN: Duration = Duration::from_secs(10 * 60);
/// The shortest time between two such events, of all clients together.
const BETWEEN_EVENTS: Duration = Duration::from_secs(1);

/// The limits that options set; none for the defaults, and no limit where that is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::face) struct RateLimits {
    pub(in crate::face) requests_per_second: Option<Option<u64>>,
    pub(in crate::face) points_per_hour: Option<Option<u64>>,
}

/// Whose rate it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::face::http) enum Who {
    /// The holder of the key of that name.
    Key(String),
    /// A client without one.
    Client(Client),
}

/// The wrong keys of one client that claim to be of the same name; none for a text that names no key of the store.
pub(in crate::face::http) type Claimed = (Client, Option<String>);

/// The rates of everybody. Read and written by every request.
#[derive(Debug, Default)]
pub(in crate::face::http) struct Rates {
    requests: Mutex<Buckets>,
    points: Mutex<Buckets>,
    wrong: Mutex<Wrong>,
}

/// Token buckets.
type Buckets = HashMap<Who, Bucket>;

/// The tokens that are left, as of a time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    at: Instant,
}

#[derive(Debug, Default)]
struct Wrong {
    by_claim: HashMap<Claimed, Shown>,
    /// When a client has last shown the right token.
    tokens: HashMap<Client, Instant>,
    event_at: Option<Instant>,
}

/// Wrong keys that were shown.
#[derive(Clone, Copy, Debug)]
struct Shown {
    count: u32,
    last: Instant,
}

impl Rates {
    /// Takes a request of somebody, or says when there is room for another.
    pub(in crate::face::http) fn request(&self, who: &Who, limits: RateLimits) -> Result<(), Problem> {
        let Some(rate) = rate_of(who, limits.requests_per_second, REQUESTS) else { return Ok(()) };
        let (per_second, most) = (rate as f64, rate.saturating_mul(SECONDS_AT_ONCE) as f64);
        take(&mut self.requests.lock(), who, per_second, most, Instant::now())
            .map_err(|wait| too_many("requests", "--rate-limit", rate, wait))
    }

    /// The same for a point.
    pub(in crate::face::http) fn point(&self, who: &Who, limits: RateLimits) -> Result<(), Problem> {
        let Some(rate) = rate_of(who, limits.points_per_hour, POINTS) else { return Ok(()) };
        take(&mut self.points.lock(), who, rate as f64 / 3600.0, rate as f64, Instant::now())
            .map_err(|wait| too_many("points", "--point-limit", rate, wait))
    }

    /// Whether a key may be looked at, or how long to wait because of wrong ones before.
    pub(in crate::face::http) fn may_show(&self, claimed: &Claimed) -> Result<(), Problem> {
        let wrong = self.wrong.lock();
        let Some(shown) = wrong.by_claim.get(claimed) else { return Ok(()) };
        let waits = wait_after(shown.count).saturating_sub(shown.last.elapsed());
        if waits.is_zero() || shown.last.elapsed() > FORGOTTEN { Ok(()) } else { Err(too_many_wrong(waits)) }
    }

    /// Whether a client has shown the right token lately, so that others on its machine cannot keep it out.
    pub(in crate::face::http) fn knows_token(&self, client: Client) -> bool {
        self.wrong.lock().tokens.get(&client).is_some_and(|at| at.elapsed() < FORGOTTEN)
    }

    /// Notes that a client has shown the right token.
    pub(in crate::face::http) fn token_was_right(&self, client: Client) {
        let mut wrong = self.wrong.lock();
        make_room(&mut wrong.tokens, |at| at.elapsed() > FORGOTTEN);
        if wrong.tokens.len() < MOST || wrong.tokens.contains_key(&client) {
            wrong.tokens.insert(client, Instant::now());
        }
    }

    /// Notes a wrong key. Returns their number if an event should be written.
    pub(in crate::face::http) fn was_wrong(&self, claimed: Claimed) -> Option<u32> {
        let (mut wrong, now) = (self.wrong.lock(), Instant::now());
        make_room(&mut wrong.by_claim, |shown| shown.last.elapsed() > FORGOTTEN);
        let claimed = known_or_others(&wrong.by_claim, claimed, (Client::Others, None));
        let shown = wrong.by_claim.entry(claimed).or_insert(Shown { count: 0, last: now });
        if shown.last.elapsed() > FORGOTTEN {
            shown.count = 0;
        }
        (shown.count, shown.last) = (shown.count.saturating_add(1), now);
        let count = shown.count;
        let is_due = wrong.event_at.is_none_or(|at| at.elapsed() >= BETWEEN_EVENTS);
        if count == 0 || !count.is_multiple_of(AT_ONCE) || !is_due {
            return None;
        }
        wrong.event_at = Some(now);
        Some(count)
    }
}

/// The limit of somebody; none without one.
fn rate_of(who: &Who, said: Option<Option<u64>>, default: u64) -> Option<u64> {
    match (said, who) {
        (Some(said), _) => said,
        (None, Who::Client(client)) if client.is_local() => None,
        (None, _) => Some(default),
    }
}

/// Takes one out of a bucket, or says how long it takes until there is one.
fn take(buckets: &mut Buckets, who: &Who, per_second: f64, most: f64, now: Instant) -> Result<(), Duration> {
    let is_full = |bucket: &Bucket| bucket.level + (now - bucket.at).as_secs_f64() * per_second >= most;
    make_room(buckets, is_full);
    let who = known_or_others(buckets, who.clone(), Who::Client(Client::Others));
    let bucket = buckets.entry(who).or_insert(Bucket { level: most, at: now });
    let level = (bucket.level + (now - bucket.at).as_secs_f64() * per_second).min(most);
    *bucket = Bucket { level, at: now };
    if level < 1.0 {
        return Err(Duration::try_from_secs_f64((1.0 - level) / per_second).unwrap_or(LONGEST_WAIT));
    }
    bucket.level -= 1.0;
    Ok(())
}

/// Drops entries that no longer matter, once there are too many.
fn make_room<K: Eq + Hash, V>(map: &mut HashMap<K, V>, is_over: impl Fn(&V) -> bool) {
    if map.len() >= MOST {
        map.retain(|_, value| !is_over(value));
    }
}

/// The key of a client, or the shared key if there is no room for another client.
fn known_or_others<K: Eq + Hash, V>(map: &HashMap<K, V>, key: K, others: K) -> K {
    if map.len() < MOST || map.contains_key(&key) { key } else { others }
}

fn wait_after(count: u32) -> Duration {
    WAIT_STEP.saturating_mul((count + 1).saturating_sub(AT_ONCE)).min(LONGEST_WAIT)
}

fn too_many(what: &str, option: &str, limit: u64, wait: Duration) -> Problem {
    let detail =
        format!("too many {what}; retry later, or raise the limit with hivekeep serve {option}: limit={limit}");
    refused(detail, wait)
}

fn too_many_wrong(wait: Duration) -> Problem {
    refused("too many wrong keys were shown from here; wait, then show the right one".to_owned(), wait)
}

fn refused(detail: String, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
        .with(header::RETRY_AFTER, seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Who {
        Who::Key(name.to_owned())
    }

    #[test]
    fn a_bucket_refills_with_time_and_is_nobody_elses() {
        let (mut buckets, begun) = (Buckets::new(), Instant::now());
        let mut taken = |who: &str, millis| {
            let now = begun + Duration::from_millis(millis);
            take(&mut buckets, &key(who), 10.0, 20.0, now).is_ok()
        };
        assert_eq!((0..25).filter(|_| taken("a", 0)).count(), 20);
        assert!(taken("b", 0) && !taken("a", 50) && taken("a", 101) && !taken("a", 102));
        assert_eq!((0..25).filter(|_| taken("a", 60_000)).count(), 20);
    }

    #[test]
    fn clients_beyond_the_limit_share_one_bucket() {
        let (mut buckets, now) = (Buckets::new(), Instant::now());
        for number in 0..MOST + 50 {
            let _taken = take(&mut buckets, &key(&number.to_string()), 0.001, 2.0, now);
        }
        assert_eq!(buckets.len(), MOST + 1);
        assert!(take(&mut buckets, &key("new"), 0.001, 2.0, now).is_err());
        assert!(take(&mut buckets, &key("1"), 0.001, 2.0, now).is_ok());
    }

    #[test]
    fn programs_of_this_machine_without_a_key_have_no_limit_unless_an_option_says_so() {
        let local = Who::Client(Client::User(0));
        assert_eq!(rate_of(&local, None, 7), None);
        assert_eq!(rate_of(&key("a"), None, 7), Some(7));
        assert_eq!((rate_of(&local, Some(Some(3)), 7), rate_of(&key("a"), Some(None), 7)), (Some(3), None));
    }

    #[test]
    fn the_wait_after_wrong_keys_grows_and_is_that_of_one_client_and_name() {
        let all: Duration = (1..3_000).map(wait_after).sum();
        assert!(all > Duration::from_secs(300), "3,000 guesses take {all:?}");
        let (rates, guess) = (Rates::default(), (Client::User(7), Some("BOT-1".to_owned())));
        assert!((0..9).all(|_| rates.was_wrong(guess.clone()).is_none()) && rates.may_show(&guess).is_ok());
        let events: Vec<_> = (0..30).filter_map(|_| rates.was_wrong(guess.clone())).collect();
        assert_eq!(events, [10], "one event a second");
        assert!(rates.may_show(&guess).is_err());
        assert!(rates.may_show(&(Client::User(8), guess.1.clone())).is_ok(), "another client waits");
        assert!(rates.may_show(&(guess.0, Some("BOT-2".to_owned()))).is_ok(), "another key waits");
    }
}
