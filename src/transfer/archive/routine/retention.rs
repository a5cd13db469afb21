//! The choice of automatic archives to keep: a pure function of their names, so that no other file is ever removed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const PREFIX: &str = "state-";
const SUFFIX: &str = ".tar.gz";
const ENCRYPTED: &str = ".age";
const TIME: &str = "%Y-%m-%d-%H-%M-%S";
/// The length of a time of that form.
const TIME_LEN: usize = "2026-01-02-03-04-05".len();

/// The numbers of automatic archives to keep: the newest ones, then the newest of each hour, then the newest of each
/// day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchivePolicy {
    /// The number of newest archives; 6 by default.
    pub newest: usize,
    /// The number of hours that keep their newest archive; 24 by default.
    pub hourly: usize,
    /// The number of days in UTC that keep their newest archive; 7 by default.
    pub daily: usize,
}

impl Default for ArchivePolicy {
    fn default() -> Self {
        Self { newest: 6, hourly: 24, daily: 7 }
    }
}

impl ArchivePolicy {
    /// The names among `names` to remove. It keeps names of another form, and `sound`, the newest archive that was read
    /// back.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::ArchivePolicy;
    ///
    /// let policy = ArchivePolicy { newest: 1, hourly: 0, daily: 0 };
    /// let names = ["state-2026-01-02-03-04-05.tar.gz", "state-2026-01-02-03-14-05.tar.gz", "mine.tar.gz"];
    /// assert_eq!(policy.judge(&names, None), ["state-2026-01-02-03-04-05.tar.gz"]);
    /// ```
    pub fn judge<'n>(&self, names: &[&'n str], sound: Option<&str>) -> Vec<&'n str> {
        let mut archives: Vec<_> = names.iter().filter_map(|name| Some((moment_of(name)?, *name))).collect();
        archives.sort_unstable_by(|a, b| b.cmp(a));
        let (mut hours, mut days) = (BTreeSet::new(), BTreeSet::new());
        let mut gone = Vec::new();
        for (at, ((time, _), name)) in archives.into_iter().enumerate() {
            let second = time.as_second();
            let first_of_hour = hours.len() < self.hourly && hours.insert(second.div_euclid(3600));
            let first_of_day = days.len() < self.daily && days.insert(second.div_euclid(86_400));
            if at >= self.newest && !first_of_hour && !first_of_day && sound != Some(name) {
                gone.push(name);
            }
        }
        gone
    }
}

/// The name of an archive: its second, and, except for the first archive of that second, its number.
pub(in crate::transfer::archive) fn name_of(time: Timestamp, number: u32, encrypted: bool) -> String {
    let number = if number == 1 { String::new() } else { format!("-{number}") };
    let encrypted = if encrypted { ENCRYPTED } else { "" };
    format!("{PREFIX}{}{number}{SUFFIX}{encrypted}", time.to_zoned(TimeZone::UTC).strftime(TIME))
}

/// The second and the number in a name, if it has this form.
fn moment_of(name: &str) -> Option<(Timestamp, u32)> {
    let plain = name.strip_suffix(ENCRYPTED).unwrap_or(name);
    let (text, number) = plain.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_at_checked(TIME_LEN)?;
    let number = if number.is_empty() { 1 } else { number.strip_prefix('-')?.parse().ok()? };
    let time = DateTime::strptime(TIME, text).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    (name_of(time, number, false) == plain).then_some((time, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(minutes: impl Iterator<Item = i64>) -> Vec<String> {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        minutes.map(|minute| name_of(start + jiff::SignedDuration::from_mins(minute), 1, false)).collect()
    }

    fn kept(policy: ArchivePolicy, names: &[String], sound: Option<&str>) -> Vec<String> {
        let all: Vec<_> = names.iter().map(String::as_str).collect();
        let gone = policy.judge(&all, sound);
        names.iter().filter(|name| !gone.contains(&name.as_str())).cloned().collect()
    }

    #[test]
    fn a_name_contains_its_moment_in_utc() {
        let (time, second) = ("2026-11-21T21:16:03.9Z".parse().unwrap(), "2026-11-21T21:16:03Z".parse().unwrap());
        assert_eq!(name_of(time, 1, false), "state-2026-11-21-21-16-03.tar.gz");
        assert_eq!(name_of(time, 2, true), "state-2026-11-21-21-16-03-2.tar.gz.age");
        for number in [1, 2, 10] {
            assert_eq!(moment_of(&name_of(time, number, false)), Some((second, number)));
        }
        for other in [
            "state-2026-11-21.tar.gz",
            "state-2026-02-30-00-00-00.tar.gz",
            "state-2026-11-21-21-16-03-1.tar.gz",
            "state-2026-11-21-21-16-03-02.tar.gz",
            "state-2026-11-21-21-16-03-.tar.gz",
            "state-2026-11-21-21-16-03+2.tar.gz",
            "state-日本語日本語日本.tar.gz",
            "state-x.tar.gz",
            "a.tar.gz",
        ] {
            assert_eq!(moment_of(other), None, "{other}");
        }
    }

    #[test]
    fn after_ten_days_six_newest_then_hourly_then_daily_archives_are_kept() {
        // Retention runs after each archive, as in the service.
        let mut all = Vec::new();
        for name in names((0..10 * 144).map(|n| n * 10)) {
            all.push(name);
            all = kept(ArchivePolicy::default(), &all, None);
        }
        assert_eq!(all.iter().rev().take(6).cloned().collect::<Vec<_>>(), {
            let mut newest = names((10 * 144 - 6..10 * 144).map(|n| n * 10));
            newest.reverse();
            newest
        });
        assert_eq!(all.len(), 6 + 23 + 6);
        assert!(all[0] < names([4 * 1440].into_iter())[0], "it reaches back for days: {}", all[0]);
    }

    #[test]
    fn other_files_and_the_newest_sound_archive_stay() {
        let policy = ArchivePolicy { newest: 1, hourly: 0, daily: 0 };
        let mut all = names(0..5);
        all.push("state-old.tar.gz".to_owned());
        all.push("notes".to_owned());
        let sound = all[1].clone();
        assert_eq!(kept(policy, &all, Some(&sound)), [&all[1..2], &all[4..]].concat());
        let none = ArchivePolicy { newest: 0, hourly: 0, daily: 0 };
        assert_eq!(kept(none, &all, None), all[5..]);
    }
}
