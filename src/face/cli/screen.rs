//! What a terminal has room for: times as ages, ids as short as they are unique, and rows of its width. Whoever reads the
//! output by a program, or asks with `--wide`, gets everything.

use std::io::{self, IsTerminal};

use jiff::Timestamp;
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::duration;
use crate::engine::records::{KeyRange, scan_rows};
use crate::engine::schema::Table;
use crate::text::is_hidden;
use crate::{Clock, Result, Store, SystemClock, show_time};

/// The width of a terminal that does not say how wide it is.
const WIDTH: usize = 80;
/// No id is shown shorter.
const ID_MIN: usize = 8;
/// A UUID with its dashes; ids of other programs are shown whole, as they cannot be named by their beginning.
const ID_LEN: usize = 36;

/// A terminal that rows are fitted to.
pub(super) struct Screen {
    width: usize,
    now: Timestamp,
    /// Every id of a point, in order. Where one is named, points are looked through first.
    points: Vec<String>,
    /// The same with those of backups.
    all: Vec<String>,
}

/// A part of a row.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Text(String),
    Time(Timestamp),
    /// Of a point or a backup.
    Id(String),
    /// The id of a bot or a task, or a key: it can be typed when it is whole and nothing in it is hidden.
    Name(String),
    /// JSON, of an object its members as `name=value`; texts without quotes.
    Members(Value),
}

/// How a cell gives way when a row is wider than the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It ends in `…`.
    Cut,
    /// The same, between words.
    CutBetweenWords,
    /// Never: it is of no use when it is cut.
    Whole,
}

impl Screen {
    /// The terminal that standard output is, unless everything is asked for.
    pub(super) fn of_output(wide: bool) -> Option<Self> {
        if wide || !io::stdout().is_terminal() {
            return None;
        }
        let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let of_terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let width = set.or_else(of_terminal).filter(|width| *width > 0).unwrap_or(WIDTH);
        Some(Self { width, now: SystemClock.now(), points: Vec::new(), all: Vec::new() })
    }

    /// Reads the ids among which short ones are to be unique.
    pub(super) fn know_ids(&mut self, store: &Store) -> Result<()> {
        let view = store.view()?;
        let ids = |table| -> Result<Vec<String>> {
            let rows = scan_rows(&view, table, KeyRange::all());
            rows.filter_map(|row| row.map(|(id, _)| String::from_utf8(id).ok()).transpose()).collect()
        };
        self.points = ids(Table::PointIds)?;
        self.all = [self.points.clone(), ids(Table::Backups)?].concat();
        self.all.sort_unstable();
        self.all.dedup();
        Ok(())
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// `2m ago`, in the largest unit.
    pub(super) fn time(&self, at: Timestamp) -> String {
        let largest = |age: String| age.split(' ').next().unwrap_or_default().to_owned();
        if at <= self.now {
            format!("{} ago", largest(duration::show(duration::since(at, self.now))))
        } else {
            format!("in {}", largest(duration::show(duration::since(self.now, at))))
        }
    }

    /// As much of an id as tells it from every other; all of one that is not known.
    pub(super) fn id<'i>(&self, id: &'i str) -> &'i str {
        let place = |ids: &[String]| ids.binary_search_by(|known| known.as_str().cmp(id)).ok();
        let of = |ids| place(ids).map(|at| (ids, at));
        let Some((ids, at)) = of(&*self.points).or_else(|| of(&*self.all)) else { return id };
        let alike = |other: Option<&String>| {
            other.map_or(0, |other| other.bytes().zip(id.bytes()).take_while(|(a, b)| a == b).count())
        };
        let before = at.checked_sub(1).and_then(|before| ids.get(before));
        let mut length = ID_MIN.max(1 + alike(before).max(alike(ids.get(at + 1))));
        // A dash at the end tells nothing.
        length += usize::from(id.as_bytes().get(length - 1) == Some(&b'-'));
        if id.len() == ID_LEN { id.get(..length).unwrap_or(id) } else { id }
    }
}

impl Cell {
    /// A time, or a dash.
    pub(super) fn time(at: Option<Timestamp>) -> Self {
        at.map_or_else(|| "-".into(), Self::Time)
    }

    /// As it stands in a row: at a terminal, or for whoever has room.
    pub(super) fn shown(&self, screen: Option<&Screen>) -> String {
        match (self, screen) {
            (Self::Text(text), _) | (Self::Name(text), _) => text.clone(),
            (Self::Time(at), None) => show_time(*at),
            (Self::Time(at), Some(screen)) => screen.time(*at),
            (Self::Id(id), None) => id.clone(),
            (Self::Id(id), Some(screen)) => screen.id(id).to_owned(),
            (Self::Members(value), screen) => members(value, screen),
        }
    }

    /// How it gives way where there is no room for it.
    pub(super) fn fit(&self) -> Fit {
        match self {
            Self::Members(_) => Fit::CutBetweenWords,
            Self::Time(_) | Self::Id(_) => Fit::Whole,
            Self::Name(name) if !name.contains(is_hidden) => Fit::Whole,
            Self::Text(_) | Self::Name(_) => Fit::Cut,
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The members of an object, at a terminal those last that are lists: they need much room and say little.
fn members(value: &Value, screen: Option<&Screen>) -> String {
    let Value::Object(members) = value else { return value.to_string() };
    let (lists, others): (Vec<_>, Vec<_>) =
        members.iter().partition(|(_, value)| screen.is_some() && (value.is_array() || value.is_object()));
    let shown = others.into_iter().chain(lists).map(|(name, value)| match (value, screen) {
        (Value::String(text), None) => format!("{name}={text}"),
        (Value::String(text), Some(screen)) => format!("{name}={}", screen.id(text)),
        (value, _) => format!("{name}={value}"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// The columns that a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// A text of so many columns at most, with `…` where more was.
pub(super) fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let fits = |c: &char| {
        let rest = left.checked_sub(c.width().unwrap_or_default());
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{kept}…")
}

/// The same, cut behind a word where one fits.
pub(super) fn cut_between_words(text: &str, most: usize) -> String {
    let cut = cut(text, most);
    match cut.strip_suffix('…').filter(|_| columns(text) > most).and_then(|kept| kept.rfind(' ')) {
        Some(end) => format!("{} …", cut.get(..end).unwrap_or_default()),
        None => cut,
    }
}

/// A text in lines of so many columns at most, broken between words.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if columns(line) + 1 + columns(word) <= most {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in crate::face::cli) fn screen(width: usize, ids: &[&str]) -> Screen {
        let mut points: Vec<_> = ids.iter().map(|id| (*id).to_owned()).collect();
        points.sort_unstable();
        Screen { width, now: "2026-01-02T03:04:05Z".parse().unwrap(), all: points.clone(), points }
    }

    #[test]
    fn an_id_is_shown_as_short_as_it_is_unique_and_no_shorter_than_eight() {
        let [one, two, three] = [
            "019a1b2c-3d4e-7000-8000-000000000001",
            "019a1b2c-3d4e-7100-8000-000000000002",
            "67006b98-460f-425f-ac8d-c624ce4b9dc0",
        ];
        let screen = screen(80, &[one, two, three, "nightly-backup-of-another-program"]);
        assert_eq!([one, two, three].map(|id| screen.id(id)), ["019a1b2c-3d4e-70", "019a1b2c-3d4e-71", "67006b98"]);
        assert_eq!(screen.id("nightly-backup-of-another-program"), "nightly-backup-of-another-program");
        let gone = "00000000-0000-0000-0000-000000000000";
        assert_eq!(screen.id(gone), gone, "what is not there cannot be told from others");
        let details = Cell::Members(json!({"restore_id": three, "n": 1}));
        assert_eq!(details.shown(Some(&screen)), "restore_id=67006b98 n=1");
        assert_eq!(details.shown(None), format!("restore_id={three} n=1"));
        let details = Cell::Members(json!({"backup_ids": [one], "restore_id": three}));
        assert_eq!(details.shown(Some(&screen)), format!("restore_id=67006b98 backup_ids=[\"{one}\"]"));
    }

    #[test]
    fn the_id_of_a_backup_is_told_from_points_too_which_need_not_be_told_from_it() {
        let [point, backup] = ["019a1b2c-3d4e-7000-8000-000000000004", "019a1b2c-3d4e-7000-8000-000000000003"];
        let mut screen = screen(80, &[point]);
        screen.all.insert(0, backup.to_owned());
        assert_eq!((screen.id(point), screen.id(backup)), ("019a1b2c", backup));
    }

    #[test]
    fn a_time_is_shown_as_its_age_in_the_largest_unit() {
        let screen = screen(80, &[]);
        for (time, shown) in [
            ("2026-01-02T03:04:05Z", "0s ago"),
            ("2026-01-02T03:02:00Z", "2m ago"),
            ("2025-12-30T00:00:00Z", "3d ago"),
            ("2026-01-02T04:10:00Z", "in 1h"),
        ] {
            assert_eq!(screen.time(time.parse().unwrap()), shown);
        }
    }

    #[test]
    fn texts_are_cut_and_wrapped_by_the_columns_that_they_take() {
        assert_eq!((cut("größe", 5), cut("größer", 5)), ("größe".to_owned(), "größ…".to_owned()));
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(
            (cut_between_words("a few words", 8), cut_between_words("longer", 4)),
            ("a few …".into(), "lon…".into())
        );
        assert_eq!(cut_between_words("a few words", 11), "a few words");
        assert_eq!(wrapped("a few words", 5), ["a few", "words"]);
        assert_eq!(wrapped("averylongword and", 5), ["averylongword", "and"]);
    }
}
