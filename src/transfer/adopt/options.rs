//! The options of an adoption.

use jiff::tz::TimeZone;

/// The greatest size of files by default.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The options of an adoption.
///
/// # Examples
///
/// ```
/// use hivekeep::AdoptOptions;
///
/// let options = AdoptOptions { again: true, ..AdoptOptions::default() };
/// assert_eq!(options.max_file_bytes, 1 << 30);
/// ```
#[derive(Clone, Debug)]
pub struct AdoptOptions {
    /// The time zone of times without an offset from UTC. The default is the system's time zone.
    pub time_zone: TimeZone,
    /// The greatest size of a file; larger ones are refused. The default is 1 GiB.
    pub max_file_bytes: u64,
    /// Whether to adopt parts again that were adopted before and have been removed, purged or restored away since. The
    /// default is no, because a purged task would be done again.
    pub again: bool,
}

impl Default for AdoptOptions {
    fn default() -> Self {
        Self { time_zone: TimeZone::system(), max_file_bytes: MAX_FILE_BYTES, again: false }
    }
}
