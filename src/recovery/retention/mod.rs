//! Which points are kept: a pure function of points, policy and now, which gives each verdict its reasons.
//!
//! * here: what goes in and what comes out
//! * [`judge`]: how the rules work together
//! * [`number`]: the rules that go by number, which no burst of points may turn against earlier ones

mod apply;
mod judge;
#[cfg(test)]
mod laws;
mod number;
pub(crate) mod stored;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::duration;
use crate::engine::epoch::Epoch;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What retention needs to know of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its epoch, which no other candidate has.
    pub epoch: Epoch,
    /// When it was made; of an adopted backup, when it was adopted.
    pub at: Timestamp,
    /// Why it was made.
    pub class: Class,
    /// The sort of point within which the cap and the rules count, such as `point` or the kind of a backup.
    pub kind: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether a hold is on it.
    pub held: bool,
    /// Whether it is not known to be damaged.
    pub sound: bool,
}

/// Why a point was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The scheduler made it.
    Automatic,
    /// Somebody asked for it.
    Manual,
    /// A restore made it, so that the restore can be undone.
    Safety,
}

/// The rules by which points are kept.
///
/// # Examples
///
/// ```
/// use hivekeep::Policy;
/// use std::time::Duration;
///
/// let policy = Policy { keep_daily: 30, cap: None, ..Policy::default() };
/// assert_eq!(policy.keep_within, Some(Duration::from_secs(7 * 24 * 60 * 60)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Points up to this age are kept; `None` keeps them at any age. 7 days by default.
    #[serde(with = "duration::stored::option")]
    pub keep_within: Option<Duration>,
    /// At most so many points of a kind that are older than the floor are kept, beside those that a hold or a rule
    /// keeps. 100 by default.
    pub cap: Option<u64>,
    /// The cap forgets, and counts, no point that is younger than this. A day by default.
    #[serde(with = "duration::stored")]
    pub floor: Duration,
    /// So many points of a kind may be made at once, and a tenth of that an hour; what is more is thinned at any age, so
    /// that a program which makes points without end does not fill the disk. Scheduled points and those that somebody
    /// asks for are counted apart, and no earlier point goes for a later one. 1,000 by default.
    pub burst: Option<u64>,
    /// From which age on automatic points are thinned, and how much; empty for not at all. The defaults keep all of
    /// the last 6 hours, then one an hour to 30 hours, then one every 6 hours.
    pub thinning: Vec<Thinning>,
    /// So many of the newest points of a kind are kept.
    pub keep_last: u64,
    /// The newest point of each of the last so many hours that have one is kept; hours are of UTC.
    pub keep_hourly: u64,
    /// The same by day.
    pub keep_daily: u64,
    /// The same by week, which begins on Monday.
    pub keep_weekly: u64,
    /// The same by month.
    pub keep_monthly: u64,
    /// Points with one of these tags are kept.
    pub keep_tags: Vec<TagRule>,
    /// Safety points are kept so long. 7 days by default.
    #[serde(with = "duration::stored")]
    pub keep_safety: Duration,
}

/// Of automatic points older than `from`, one is kept in each stretch of `every`.
///
/// Stretches begin at whole multiples of `every` since 1970, not at now, so that thinning again changes nothing. The
/// first sound point of a stretch stands for it. Where there are several steps, let each `every` be a whole multiple of
/// the one before, or points are forgotten that were to stand for a later step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinning {
    /// The age from which on it holds.
    #[serde(with = "duration::stored")]
    pub from: Duration,
    /// The length of a stretch; zero keeps them all.
    #[serde(with = "duration::stored")]
    pub every: Duration,
}

/// A tag that keeps the points that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRule {
    /// The name of the tag.
    pub name: String,
    /// Its value; `None` means any.
    pub value: Option<String>,
}

/// What becomes of a point, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The point.
    pub epoch: Epoch,
    /// Whether it is kept.
    pub keep: bool,
    /// Why; at least one.
    pub reasons: Vec<Reason>,
}

/// Why a point is kept or forgotten.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Kept: a hold is on it.
    Held,
    /// Kept: it is the newest point of its kind that is not known to be damaged.
    LatestGood,
    /// Kept: it is the newest of its kind, and none is known to be sound.
    Latest,
    /// Kept: it is one of the newest so many.
    Last(u64),
    /// Kept: it is the newest of its hour.
    Hourly,
    /// Kept: it is the newest of its day.
    Daily,
    /// Kept: it is the newest of its week.
    Weekly,
    /// Kept: it is the newest of its month.
    Monthly,
    /// Kept: it has this tag.
    Tag(String),
    /// Kept: it is no older than this.
    Within(Duration),
    /// Kept: no age is set at which points are forgotten.
    NoAge,
    /// Kept: it stands for a stretch of this length.
    OnePer(Duration),
    /// Kept: a restore made it no longer ago than this.
    Safety(Duration),
    /// Forgotten: it is older than this.
    OlderThan(Duration),
    /// Forgotten: another point stands for its stretch of this length.
    Thinned(Duration),
    /// Forgotten: there are more than this many of its kind.
    OverCap(u64),
    /// Forgotten: more than this many came at once, and there was no room yet for another one.
    Burst(u64),
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            keep_within: Some(7 * DAY),
            cap: Some(100),
            floor: DAY,
            burst: Some(1_000),
            thinning: vec![Thinning { from: 6 * HOUR, every: HOUR }, Thinning { from: 30 * HOUR, every: 6 * HOUR }],
            keep_last: 0,
            keep_hourly: 0,
            keep_daily: 0,
            keep_weekly: 0,
            keep_monthly: 0,
            keep_tags: Vec::new(),
            keep_safety: 7 * DAY,
        }
    }
}

impl Policy {
    /// Judges every point, in any order; the verdicts come in the order of epochs.
    ///
    /// A hold always wins, then the newest sound point of each kind, then the rules (`keep_last` to `keep_tags`):
    /// neither age, nor thinning, nor a number forgets what one of them keeps, but the cap counts it. Over the cap, those
    /// go first that share their minute with another one, then those that share their hour, newest first; so a burst
    /// thins itself. Then automatic points go, oldest first, then manual ones. Safety points go by age and
    /// by the room for a burst, and the cap does not count them. Points that are known to be damaged are no choice of a
    /// rule.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Candidate, Class, Epoch, Policy};
    ///
    /// let point = |epoch, at: &str| Candidate {
    ///     epoch: Epoch(epoch),
    ///     at: at.parse().unwrap(),
    ///     class: Class::Manual,
    ///     kind: "point".into(),
    ///     tags: Default::default(),
    ///     held: false,
    ///     sound: true,
    /// };
    /// let points = [point(1, "2026-01-01T00:00:00Z"), point(2, "2026-01-12T00:00:00Z")];
    /// let verdicts = Policy::default().judge(&points, "2026-01-13T00:00:00Z".parse().unwrap());
    /// assert!(!verdicts[0].keep);
    /// assert_eq!(verdicts[0].reasons[0].to_string(), "older than 7d");
    /// assert!(verdicts[1].keep);
    /// ```
    #[must_use]
    pub fn judge(&self, points: &[Candidate], now: Timestamp) -> Vec<Verdict> {
        judge::judge(self, points, now)
    }
}

impl fmt::Display for TagRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held"),
            Self::LatestGood => f.write_str("latest good point"),
            Self::Latest => f.write_str("latest point, none is known to be sound"),
            Self::Last(count) => write!(f, "one of the last {count}"),
            Self::Hourly => f.write_str("newest of its hour"),
            Self::Daily => f.write_str("newest of its day"),
            Self::Weekly => f.write_str("newest of its week"),
            Self::Monthly => f.write_str("newest of its month"),
            Self::Tag(name) => write!(f, "tagged {name}"),
            Self::Within(most) => write!(f, "within {}", duration::exact(*most)),
            Self::NoAge => f.write_str("kept at any age"),
            Self::OnePer(every) => write!(f, "the one kept for its {}", duration::show(*every)),
            Self::Safety(most) => write!(f, "safety point, within {}", duration::exact(*most)),
            Self::OlderThan(most) => write!(f, "older than {}", duration::exact(*most)),
            Self::Thinned(every) => write!(f, "another one is kept for its {}", duration::show(*every)),
            Self::OverCap(cap) => write!(f, "more than {cap} of its kind"),
            Self::Burst(burst) => write!(f, "more than {burst} came at once"),
        }
    }
}
