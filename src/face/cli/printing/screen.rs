//! How values are shown on a terminal: times as ages, ids as short as they are unique, and rows of its width. Programs
//! that read the output, and people who pass `--wide`, get everything.

use std::io::{self, IsTerminal};

use jiff::Timestamp;
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::duration;
use crate::face::cli::target::Target;
use crate::text::is_hidden;
use crate::{Clock, Result, ShortIds, SystemClock, show_time};

/// The width of a terminal that does not report its own.
const WIDTH: usize = 80;

/// A terminal that rows are fitted to.
pub(in crate::face::cli) struct Screen {
    width: usize,
    now: Timestamp,
    ids: ShortIds,
}

/// One cell of a row.
#[derive(Clone, Debug)]
pub(in crate::face::cli) enum Cell {
    Text(String),
    Time(Timestamp),
    /// The id of a point or a backup.
    Id(String),
    /// The id of a bot or a task, or a key. It stays whole, so that it can be typed, unless it contains invisible
    /// characters.
    Name(String),
    /// The path of a file. Its end says most.
    Path(String),
    /// JSON. An object is shown as `name=value`, with strings unquoted.
    Members(Value),
}

/// How a cell is fitted into a row that is wider than the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::face::cli) enum Fit {
    /// Cut at any character, with `…` at the end.
    Cut,
    /// Cut between words.
    CutBetweenWords,
    /// Cut at the front, with `…` there if something is missing.
    CutAtFront,
    /// Never cut: a part of it is useless.
    Whole,
}

impl Screen {
    /// Standard output, if it is a terminal and `wide` is not set.
    pub(super) fn of_output(wide: bool) -> Option<Self> {
        if wide || !io::stdout().is_terminal() {
            return None;
        }
        let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let of_terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let width = set.or_else(of_terminal).filter(|width| *width > 0).unwrap_or(WIDTH);
        Some(Self { width, now: SystemClock.now(), ids: ShortIds::default() })
    }

    /// Reads the ids that shortened ids must be unique among.
    pub(in crate::face::cli) fn know_ids(&mut self, target: &Target) -> Result<()> {
        self.ids = target.short_ids()?;
        Ok(())
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The age of a time in its largest unit, such as `2m ago`.
    pub(in crate::face::cli) fn time(&self, at: Timestamp) -> String {
        let largest = |age: String| age.split(' ').next().unwrap_or_default().to_owned();
        if at <= self.now {
            format!("{} ago", largest(duration::show(duration::since(at, self.now))))
        } else {
            format!("in {}", largest(duration::show(duration::since(self.now, at))))
        }
    }

    /// The shortest unique prefix of an id; the whole id if it is not known.
    pub(in crate::face::cli) fn id<'i>(&self, id: &'i str) -> &'i str {
        self.ids.shorten(id)
    }
}

impl Cell {
    /// A time, or a dash.
    pub(in crate::face::cli) fn time(at: Option<Timestamp>) -> Self {
        at.map_or_else(|| "-".into(), Self::Time)
    }

    /// The text of the cell, on a terminal or in full.
    pub(in crate::face::cli) fn shown(&self, screen: Option<&Screen>) -> String {
        match (self, screen) {
            (Self::Text(text) | Self::Name(text) | Self::Path(text), _) => text.clone(),
            (Self::Time(at), None) => show_time(*at),
            (Self::Time(at), Some(screen)) => screen.time(*at),
            (Self::Id(id), None) => id.clone(),
            (Self::Id(id), Some(screen)) => screen.id(id).to_owned(),
            (Self::Members(value), screen) => members(value, screen),
        }
    }

    /// How the cell is fitted.
    pub(super) fn fit(&self) -> Fit {
        match self {
            Self::Members(_) => Fit::CutBetweenWords,
            Self::Path(path) if !path.contains(is_hidden) => Fit::CutAtFront,
            Self::Time(_) | Self::Id(_) => Fit::Whole,
            Self::Name(name) if !name.contains(is_hidden) => Fit::Whole,
            Self::Text(_) | Self::Name(_) | Self::Path(_) => Fit::Cut,
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

/// The fields of an object. On a terminal, arrays and objects come last, since they are long and say little.
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

/// The display width of a text.
pub(in crate::face::cli) fn columns(text: &str) -> usize {
    text.width()
}

/// Cuts a text to a display width, with `…` at the end if something is missing.
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

/// The same, with the end of the text kept.
pub(super) fn cut_at_front(text: &str, most: usize) -> String {
    let wide = columns(text);
    if wide <= most {
        return text.to_owned();
    }
    let mut over = (wide + 1).saturating_sub(most);
    let is_over = |c: &char| {
        let is_over = over > 0;
        over = over.saturating_sub(c.width().unwrap_or_default());
        is_over
    };
    // A mark without its letter goes with it.
    let kept = text.chars().skip_while(is_over).skip_while(|c| c.width().unwrap_or_default() == 0);
    format!("…{}", kept.collect::<String>())
}

/// The same, cut after a word if possible.
pub(super) fn cut_between_words(text: &str, most: usize) -> String {
    let cut = cut(text, most);
    match cut.strip_suffix('…').filter(|_| columns(text) > most).and_then(|kept| kept.rfind(' ')) {
        Some(end) => format!("{} …", cut.get(..end).unwrap_or_default()),
        None => cut,
    }
}

/// Breaks a text into lines of at most that width, between words.
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
        let ids = ShortIds::new(ids.iter().map(|id| (*id).to_owned()).collect(), Vec::new());
        Screen { width, now: "2026-01-02T03:04:05Z".parse().unwrap(), ids }
    }

    #[test]
    fn a_path_keeps_its_end() {
        for (most, shown) in [(16, "/backups/größe.7"), (15, "…ackups/größe.7"), (6, "…öße.7"), (1, "…"), (0, "…")]
        {
            assert_eq!(cut_at_front("/backups/größe.7", most), shown);
        }
        assert_eq!(cut_at_front("/見/見", 5), "…/見");
        assert_eq!(cut_at_front("/ae\u{301}b", 2), "…b");
    }

    #[test]
    fn ids_within_details_are_shown_short_at_a_terminal_only() {
        let id = "67006b98-460f-425f-ac8d-c624ce4b9dc0";
        let details = Cell::Members(json!({"restore_id": id, "n": 1}));
        assert_eq!(details.shown(Some(&screen(80, &[id]))), "restore_id=67006b98 n=1");
        assert_eq!(details.shown(None), format!("restore_id={id} n=1"));
        let (screen, other) = (screen(80, &[id]), "019a1b2c-3d4e-7000-8000-000000000001");
        let details = Cell::Members(json!({"backup_ids": [other], "restore_id": id}));
        assert_eq!(details.shown(Some(&screen)), format!("restore_id=67006b98 backup_ids=[\"{other}\"]"));
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
    fn texts_are_cut_and_wrapped_by_their_display_width() {
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
