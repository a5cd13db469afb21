//! Times in the forms of other programs.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};

/// The most characters of a text that an error shows.
const SHOWN: usize = 80;

/// Parses a time, with the precision of the store. A time without an offset from UTC is read in `zone`; if clocks went
/// back, it is the first of the two.
pub(super) fn read(text: &str, zone: &TimeZone) -> Result<Timestamp> {
    let exact = text.parse::<Timestamp>();
    let read = exact.or_else(|_| text.parse::<DateTime>().and_then(|naive| zone.to_timestamp(naive)));
    let micros = read.and_then(|time| Timestamp::from_microsecond(time.as_microsecond()));
    micros.map_err(|source| {
        let shown: String = text.chars().take(SHOWN).collect();
        Error::invalid(format!("a time cannot be read: time={}", shown.escape_debug())).with_source(source)
    })
}

/// The name of a time zone, for people.
pub(super) fn name(zone: &TimeZone) -> String {
    if zone.is_unknown() {
        return "UTC, because the system's time zone is not known".to_owned();
    }
    let fixed = || zone.to_fixed_offset().map(|offset| offset.to_string());
    zone.iana_name().map(str::to_owned).or_else(|| fixed().ok()).unwrap_or_else(|| "the system's".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn a_time_without_an_offset_is_read_in_the_zone() {
        for (text, utc) in [
            ("2025-07-01T12:00:00.123456", "2025-07-01T10:00:00.123456Z"),
            ("2025-12-01T12:00:00", "2025-12-01T11:00:00Z"),
            ("2025-12-01 12:00:00", "2025-12-01T11:00:00Z"),
            ("2025-12-01", "2025-11-30T23:00:00Z"),
            ("2025-12-01T12:00:00Z", "2025-12-01T12:00:00Z"),
            ("2025-12-01T12:00:00-05:00", "2025-12-01T17:00:00Z"),
            ("2025-10-26T02:30:00", "2025-10-26T00:30:00Z"),
            ("2025-03-30T02:30:00", "2025-03-30T01:30:00Z"),
            ("2025-12-01T12:00:00.123456789Z", "2025-12-01T12:00:00.123456Z"),
        ] {
            assert_eq!(read(text, &berlin()).unwrap().to_string(), utc, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_time_is_reported_up_to_a_limit() {
        assert_eq!(read("soon", &TimeZone::UTC).unwrap_err().to_string(), "a time cannot be read: time=soon");
        assert!(read(&"9".repeat(1 << 20), &TimeZone::UTC).unwrap_err().to_string().len() < 200);
        for text in ["", "2025-13-01", "2025-02-30T00:00:00", "99999-01-01T00:00:00", "-009999-01-01T00:00:00"] {
            read(text, &TimeZone::UTC).unwrap_err();
        }
    }

    #[test]
    fn a_zone_has_a_name_for_people() {
        assert_eq!(name(&TimeZone::UTC), "UTC");
        assert_eq!(name(&TimeZone::fixed(jiff::tz::offset(-5))), "-05");
        assert_eq!(name(&TimeZone::unknown()), "UTC, because the system's time zone is not known");
    }
}
