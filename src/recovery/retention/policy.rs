//! A policy, the points that it is asked about, and its verdicts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::duration;
use crate::engine::epoch::Epoch;

pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A point, as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its epoch, which is unique among the candidates.
    pub epoch: Epoch,
    /// When it was made. For an adopted backup: when it was adopted.
    pub at: Timestamp,
    /// Its class.
    pub class: Class,
    /// Its kind, such as `point` or the kind of a backup. The cap and the rules count each kind separately.
    pub kind: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether it is held.
    pub held: bool,
    /// Whether it is not known to be damaged.
    pub sound: bool,
}

/// The class of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A scheduler made it.
    Automatic,
    /// A person or a program requested it.
    Manual,
    /// A restore made it, so that the restore can be undone.
    Safety,
}

/// A retention policy: the rules that choose the points to keep.
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
    /// Keeps points up to this age; `None` keeps them at any age. The default is 7 days.
    #[serde(with = "duration::stored::option")]
    pub keep_within: Option<Duration>,
    /// The most points of a kind that are older than the floor and not kept by a hold or a rule. The default is 100.
    pub cap: Option<u64>,
    /// The cap neither forgets nor counts points that are younger than this. The default is a day.
    #[serde(with = "duration::stored")]
    pub floor: Duration,
    /// The number of points of a kind that may be made at once; a tenth of it may be made per hour after that. Points
    /// beyond it are thinned at any age, so that a program that makes points without end does not fill the disk.
    /// Scheduled and requested points count separately, and no earlier point is removed in favour of a later one. The
    /// default is 1,000.
    pub burst: Option<u64>,
    /// The ages from which automatic points are thinned, and the periods; empty for no thinning. The defaults keep all
    /// points of the last 6 hours, then one an hour to 30 hours, then one every 6 hours.
    pub thinning: Vec<Thinning>,
    /// Keeps this many of the newest points of a kind.
    pub keep_last: u64,
    /// Keeps the newest point of each of the last hours in UTC that have one; this many hours.
    pub keep_hourly: u64,
    /// The same for days.
    pub keep_daily: u64,
    /// The same for weeks, which begin on Monday.
    pub keep_weekly: u64,
    /// The same for months.
    pub keep_monthly: u64,
    /// Keeps points with one of these tags.
    pub keep_tags: Vec<TagRule>,
    /// Keeps safety points up to this age. The default is 7 days.
    #[serde(with = "duration::stored")]
    pub keep_safety: Duration,
}

/// Thins automatic points older than `from` to one in each period of `every`.
///
/// Periods begin at whole multiples of `every` since 1970, and not at the present time, so that a second thinning
/// changes nothing. The first sound point of a period represents it. If there are several steps, let each `every` be a
/// whole multiple of the one before. Otherwise points are forgotten that should represent a later step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinning {
    /// The age from which the step applies.
    #[serde(with = "duration::stored")]
    pub from: Duration,
    /// The length of a period; zero keeps all points.
    #[serde(with = "duration::stored")]
    pub every: Duration,
}

/// A tag whose points are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRule {
    /// The name of the tag.
    pub name: String,
    /// Its value; `None` accepts any value.
    pub value: Option<String>,
}

/// The verdict about a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The point.
    pub epoch: Epoch,
    /// Whether it is kept.
    pub keep: bool,
    /// The reasons; at least one.
    pub reasons: Vec<Reason>,
}

/// The reason to keep or forget a point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Kept: it is held.
    Held,
    /// Kept: it is the newest point of its kind that is not known to be damaged.
    LatestGood,
    /// Kept: it is the newest of its kind, and none is known to be sound.
    Latest,
    /// Kept: it is one of this many newest points.
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
    /// Kept: the policy has no age at which points are forgotten.
    NoAge,
    /// Kept: it represents a period of this length.
    OnePer(Duration),
    /// Kept: a restore made it no longer ago than this.
    Safety(Duration),
    /// Forgotten: it is older than this.
    OlderThan(Duration),
    /// Forgotten: another point represents its period of this length.
    Thinned(Duration),
    /// Forgotten: there are more than this many of its kind.
    OverCap(u64),
    /// Forgotten: more than this many came at once, and there was no room for another one.
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
            Self::Latest => f.write_str("latest point, as none is known to be sound"),
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
