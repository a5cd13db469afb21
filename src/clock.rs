//! The one door through which time and chance come in, so that a test can move the time, and the
//! one way in which time is written.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::fmt::temporal::Pieces;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Tells the time and waits. A store gets its clock when it is opened.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time now, in UTC.
    fn now(&self) -> Timestamp;

    /// Waits that long.
    fn sleep(&self, duration: Duration);
}

/// The clock of the operating system. If it is set to a time after the year 9999, which no [`Timestamp`] can represent,
/// it stops at the last representable time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        of_system(SystemTime::now())
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A wait on a clock that may be set back. A wait whose start lies in the future now is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Its beginning.
    pub(crate) from: Timestamp,
    to: Timestamp,
}

impl Wait {
    /// A wait of that length from now.
    pub(crate) fn new(now: Timestamp, duration: Duration) -> Self {
        Self { from: now, to: after(now, duration) }
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.to || now < self.from
    }

    /// Its end.
    pub(crate) fn end(&self) -> Timestamp {
        self.to
    }
}

/// A clock that only changes when it is set. Clones show the same time.
///
/// # Examples
///
/// ```
/// use hivekeep::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().to_string(), "2026-01-02T03:05:05Z");
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<Mutex<Timestamp>>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: Arc::new(Mutex::new(now)) }
    }

    /// Moves the clock forward; it stops at the last time that can be shown.
    pub fn advance(&self, duration: Duration) {
        let mut now = self.now.lock();
        *now = after(*now, duration);
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now: Timestamp) {
        *self.now.lock() = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock()
    }

    /// Moves the clock instead of waiting.
    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

/// The time since some moment in the past, by a clock that nobody sets, and that goes on while the machine sleeps.
#[cfg(feature = "replica")]
pub(crate) fn boot_time() -> Duration {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        // Outside of Linux this one goes on during sleep where any does.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const CLOCK: ClockId = ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const CLOCK: ClockId = ClockId::Monotonic;
        Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
    }
    #[cfg(not(unix))]
    {
        static FROM: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
        FROM.elapsed()
    }
}

/// The id of this start of the machine, as the kernel of Linux writes it; none elsewhere.
pub(crate) fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

/// A time of the operating system, or the nearest one that can be shown.
fn of_system(time: SystemTime) -> Timestamp {
    let end = if time < UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::try_from(time).unwrap_or(end)
}

/// An id that nobody else has. Later ones are greater, unless the clock goes back, or is set to a time before 1970.
pub(crate) fn new_id() -> uuid::Uuid {
    if SystemTime::now() >= UNIX_EPOCH {
        return uuid::Uuid::now_v7();
    }
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 0, 0))
}

/// Bytes that nobody can predict, from the operating system.
pub(crate) fn random() -> [u8; 32] {
    // A UUID has 122 random bits; the hash spreads those of three over all bytes.
    let mut hasher = blake3::Hasher::new();
    for _ in 0..3 {
        hasher.update(uuid::Uuid::new_v4().as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// A number that nobody can predict.
#[cfg(any(test, feature = "replica"))]
pub(crate) fn random_number() -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = random();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// `time` plus `duration`, or the last time that can be shown.
pub(crate) fn after(time: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// `time` minus `duration`, or the first time that can be shown.
pub(crate) fn before(time: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    time.saturating_sub(duration).unwrap_or(Timestamp::MIN)
}

/// A time at the precision that the store keeps, so that a call returns the same time that is read back.
pub(crate) fn as_stored(time: Timestamp) -> Timestamp {
    let whole = Timestamp::from_microsecond(time.as_microsecond());
    // No fraction of the last second reads back.
    whole.or_else(|_| Timestamp::from_second(time.as_second())).unwrap_or(time)
}

/// Reads a time with its offset from UTC, such as `2026-01-02T03:04:05Z`. A time in the last hours
/// of the year 9999, which people write for *never*, becomes the last time that a [`Timestamp`] can have.
///
/// # Errors
///
/// `Invalid` when it is no such time.
///
/// # Examples
///
/// ```
/// let time = hivekeep::parse_time("2026-11-21T22:16:03+01:00")?;
/// assert_eq!(hivekeep::show_time(time), "2026-11-21T21:16:03.000000+00:00");
/// # Ok::<(), hivekeep::Error>(())
/// ```
pub fn parse_time(text: &str) -> Result<Timestamp> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let pieces = Pieces::parse(text).ok();
    if pieces.is_some_and(|pieces| pieces.date().year() == 9999 && pieces.time().is_some() && pieces.offset().is_some())
    {
        return Ok(as_stored(Timestamp::MAX));
    }
    Err(Error::invalid(format!("a time is written like 2026-01-02T03:04:05Z: text={}", text.escape_debug())))
}

/// A time as every face shows it: `2026-11-21T21:16:03.624407+00:00`, always six digits, which every client can parse.
///
/// # Examples
///
/// ```
/// let time = "2026-11-21T21:16:03.5Z".parse().unwrap();
/// assert_eq!(hivekeep::show_time(time), "2026-11-21T21:16:03.500000+00:00");
/// ```
pub fn show_time(time: Timestamp) -> String {
    // Years before 0 get six digits and a sign, so that they too read back.
    let text = format!("{time:.6}");
    format!("{}+00:00", text.trim_end_matches('Z'))
}

/// For `#[serde(with = "hivekeep::time")]`: a time as [`show_time`] writes it for people,
/// microseconds since 1970 in the store.
///
/// # Examples
///
/// ```
/// #[derive(serde::Serialize)]
/// struct Seen {
///     #[serde(with = "hivekeep::time")]
///     at: jiff::Timestamp,
/// }
///
/// let seen = Seen { at: "2026-11-21T21:16:03Z".parse().unwrap() };
/// assert_eq!(serde_json::json!(seen)["at"], "2026-11-21T21:16:03.000000+00:00");
/// ```
pub mod time {
    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes a time.
    ///
    /// # Errors
    ///
    /// As the serializer.
    pub fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(&super::show_time(*time))
        } else {
            super::as_stored(*time).as_microsecond().serialize(to)
        }
    }

    /// Reads a time.
    ///
    /// # Errors
    ///
    /// When it is no time, and as the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        if from.is_human_readable() {
            Timestamp::deserialize(from)
        } else {
            Timestamp::from_microsecond(i64::deserialize(from)?).map_err(D::Error::custom)
        }
    }

    /// The same for a time that may be absent.
    pub mod option {
        use super::{Deserialize, Deserializer, Serialize, Serializer, Timestamp};

        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        struct Time(#[serde(with = "super")] Timestamp);

        /// Writes a time, or nothing.
        ///
        /// # Errors
        ///
        /// As the serializer.
        pub fn serialize<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
            time.map(Time).serialize(to)
        }

        /// Reads a time, or nothing.
        ///
        /// # Errors
        ///
        /// When it is no time, and as the deserializer.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
            Ok(Option::<Time>::deserialize(from)?.map(|time| time.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_with_six_digits_even_before_1970() {
        let time = Timestamp::from_microsecond(-1_500_000).unwrap();
        assert_eq!(show_time(time), "1969-12-31T23:59:58.500000+00:00");
    }

    #[test]
    fn every_time_reads_back_as_it_is_shown() {
        for time in [Timestamp::MIN, Timestamp::from_second(-62_200_000_000).unwrap(), Timestamp::UNIX_EPOCH] {
            assert_eq!(show_time(time).parse::<Timestamp>().unwrap(), time, "{}", show_time(time));
        }
    }

    #[test]
    fn a_clock_of_the_system_beyond_the_ends_of_time_stands_still_there() {
        let (long_ago, far) = (Duration::from_secs(400_000 * 365 * 86_400), Duration::from_secs(9_000 * 365 * 86_400));
        assert_eq!(of_system(UNIX_EPOCH - long_ago), Timestamp::MIN);
        assert_eq!(of_system(UNIX_EPOCH + far), Timestamp::MAX);
        assert_eq!(of_system(UNIX_EPOCH - Duration::from_secs(1)).to_string(), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn moving_past_the_ends_of_time_stops_there() {
        assert_eq!(after(Timestamp::MAX, Duration::MAX), Timestamp::MAX);
        assert_eq!(before(Timestamp::MIN, Duration::MAX), Timestamp::MIN);
    }

    #[test]
    fn the_end_of_time_as_people_write_it_is_a_time() {
        assert_eq!(parse_time("2026-01-02T03:04:05Z").unwrap().to_string(), "2026-01-02T03:04:05Z");
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999+00:00", "9999-12-31T23:59:59-12:00"] {
            assert_eq!(parse_time(text).unwrap(), as_stored(Timestamp::MAX), "{text}");
        }
        for text in ["9999-12-31T23:59:59", "9999-12-32T00:00:00Z", "10000-01-01T00:00:00Z", "soon", ""] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
