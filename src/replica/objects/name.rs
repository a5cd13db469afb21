//! The names of objects. Their numbers have a fixed width, so that names sort as the numbers do.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The greatest term that a name has digits for.
const TERM_MAX: u32 = 99_999_999;
/// The greatest index of a slot that a name has digits for: 30,000 years of one object in each second.
pub(crate) const INDEX_MAX: u64 = 999_999_999_999;
/// The greatest number of a part: 3 TB of parts of 32 MiB.
pub(crate) const PART_MAX: u32 = 99_999;
pub(crate) const ATTEMPT_MAX: u16 = 999;

/// The number of a term: a stretch of the log that one process writes. The first one is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Term(pub(crate) u32);

/// The place of an object in the log: the term, and the index of the object in it. The first object of a term has index
/// 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplicaSlot {
    pub(crate) term: Term,
    pub(crate) index: u64,
}

/// The name of a base: the slot behind the state that it has, and a number for each attempt to make one there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaseName {
    pub(crate) slot: ReplicaSlot,
    /// An attempt that failed half-way leaves parts behind, and the slot stays the same while nothing is written.
    pub(crate) attempt: u16,
}

/// The name of an object, below the prefix of the replica. Names of one folder have the order of their texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ObjectName {
    /// The description of the whole replica.
    Store,
    /// The claim of a term.
    Term(Term),
    /// An object of the log.
    Log(ReplicaSlot),
    /// The description of a base, written last.
    Manifest(BaseName),
    /// A part of a base.
    Part(BaseName, u32),
    /// A hold of a restore.
    Hold(u128),
    /// The list of a collection of old objects.
    GcList(u32),
    /// The decision that a listed collection may delete.
    GcGo(u32),
    /// An object with which the bucket proves itself.
    Probe(u128, u32),
}

/// A folder of objects that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Folder {
    Terms,
    /// The log of one term.
    Log(Term),
    /// The logs of all terms.
    Logs,
    Bases,
    Holds,
    Gc,
    Probe(u128),
}

impl Term {
    /// The term after this one.
    ///
    /// # Errors
    ///
    /// `Invalid` when no name is left.
    pub(crate) fn next(self) -> Result<Self> {
        let next = self.0.saturating_add(1);
        if next > TERM_MAX {
            return Err(Error::invalid(format!("the replica has no more terms; begin a new one: term={next}")));
        }
        Ok(Self(next))
    }

    /// The term before this one; none before the first.
    pub(crate) fn before(self) -> Option<Self> {
        self.0.checked_sub(1).filter(|term| *term > 0).map(Self)
    }
}

impl ReplicaSlot {
    /// The slot of the object that opens a term, or that says that nobody will.
    pub(crate) fn opening(term: Term) -> Self {
        Self { term, index: 0 }
    }

    /// The first slot behind the opening.
    pub(crate) fn first(term: Term) -> Self {
        Self { term, index: 1 }
    }

    /// The slot after this one, in the same term.
    ///
    /// # Errors
    ///
    /// `Invalid` when no name is left.
    pub(crate) fn next(self) -> Result<Self> {
        let index = self.index.saturating_add(1);
        if index > INDEX_MAX {
            return Err(Error::invalid(format!(
                "the term has no more slots; start again to begin another: slot={index}"
            )));
        }
        Ok(Self { index, ..self })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for ReplicaSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.term, self.index)
    }
}

impl fmt::Display for BaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}-{:012}-{:03}", self.slot.term.0, self.slot.index, self.attempt)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("store"),
            Self::Term(term) => write!(f, "term/{:08}", term.0),
            Self::Log(slot) => write!(f, "log/{:08}/{:012}", slot.term.0, slot.index),
            Self::Manifest(base) => write!(f, "base/{base}/manifest"),
            Self::Part(base, part) => write!(f, "base/{base}/part-{part:05}"),
            Self::Hold(id) => write!(f, "hold/{id:032x}"),
            Self::GcList(number) => write!(f, "gc/{number:08}/list"),
            Self::GcGo(number) => write!(f, "gc/{number:08}/go"),
            Self::Probe(id, number) => write!(f, "probe/{id:032x}/{number:04}"),
        }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terms => f.write_str("term"),
            Self::Log(term) => write!(f, "log/{:08}", term.0),
            Self::Logs => f.write_str("log"),
            Self::Bases => f.write_str("base"),
            Self::Holds => f.write_str("hold"),
            Self::Gc => f.write_str("gc"),
            Self::Probe(id) => write!(f, "probe/{id:032x}"),
        }
    }
}

impl Ord for ObjectName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for ObjectName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ObjectName {
    /// The numbers by which names of one folder sort as their texts do.
    fn order(&self) -> (u8, u128, u64, u16, u32) {
        let slot = |slot: ReplicaSlot| (u128::from(slot.term.0), slot.index);
        match *self {
            Self::Store => (0, 0, 0, 0, 0),
            Self::Term(term) => (1, term.0.into(), 0, 0, 0),
            Self::Log(of) => (2, slot(of).0, slot(of).1, 0, 0),
            Self::Manifest(base) => (3, slot(base.slot).0, slot(base.slot).1, base.attempt, 0),
            Self::Part(base, part) => (3, slot(base.slot).0, slot(base.slot).1, base.attempt, part.saturating_add(1)),
            Self::Hold(id) => (4, id, 0, 0, 0),
            Self::GcGo(number) => (5, number.into(), 0, 0, 0),
            Self::GcList(number) => (5, number.into(), 0, 0, 1),
            Self::Probe(id, number) => (6, id, 0, 0, number),
        }
    }

    /// Reads a name; none for anything that [`Display`](fmt::Display) does not write. Other programs may leave files in
    /// a bucket, so a list ignores such names.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = match text.split('/').collect::<Vec<_>>()[..] {
            ["store"] => Self::Store,
            ["term", term] => Self::Term(parse_term(term)?),
            ["log", term, index] => Self::Log(ReplicaSlot { term: parse_term(term)?, index: number(index, 12)? }),
            ["base", base, "manifest"] => Self::Manifest(parse_base(base)?),
            ["base", base, part] => Self::Part(parse_base(base)?, small(part.strip_prefix("part-")?, 5)?),
            ["hold", id] => Self::Hold(parse_id(id)?),
            ["gc", gc, "list"] => Self::GcList(small(gc, 8)?),
            ["gc", gc, "go"] => Self::GcGo(small(gc, 8)?),
            ["probe", id, probe] => Self::Probe(parse_id(id)?, small(probe, 4)?),
            _ => return None,
        };
        Some(name)
    }
}

fn parse_base(text: &str) -> Option<BaseName> {
    let [term, index, attempt] = text.split('-').collect::<Vec<_>>()[..] else { return None };
    let slot = ReplicaSlot { term: parse_term(term)?, index: number(index, 12)? };
    let attempt = u16::try_from(number(attempt, 3)?).ok().filter(|attempt| *attempt <= ATTEMPT_MAX)?;
    Some(BaseName { slot, attempt })
}

fn parse_term(text: &str) -> Option<Term> {
    small(text, 8).filter(|term| *term > 0).map(Term)
}

fn parse_id(text: &str) -> Option<u128> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if is_id { u128::from_str_radix(text, 16).ok() } else { None }
}

fn small(text: &str, width: usize) -> Option<u32> {
    u32::try_from(number(text, width)?).ok()
}

/// A number of exactly so many digits.
fn number(text: &str, width: usize) -> Option<u64> {
    let is_number = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLOT: ReplicaSlot = ReplicaSlot { term: Term(7), index: 4711 };
    const BASE: BaseName = BaseName { slot: SLOT, attempt: 2 };

    #[test]
    fn every_name_is_written_in_one_way_and_reads_back() {
        for (name, text) in [
            (ObjectName::Store, "store"),
            (ObjectName::Term(Term(7)), "term/00000007"),
            (ObjectName::Log(SLOT), "log/00000007/000000004711"),
            (ObjectName::Manifest(BASE), "base/00000007-000000004711-002/manifest"),
            (ObjectName::Part(BASE, 12), "base/00000007-000000004711-002/part-00012"),
            (ObjectName::Hold(255), "hold/000000000000000000000000000000ff"),
            (ObjectName::GcList(3), "gc/00000003/list"),
            (ObjectName::GcGo(3), "gc/00000003/go"),
            (ObjectName::Probe(1, 80), "probe/00000000000000000000000000000001/0080"),
        ] {
            assert_eq!((name.to_string().as_str(), ObjectName::parse(text)), (text, Some(name)));
        }
    }

    #[test]
    fn names_sort_as_their_numbers_and_end_before_they_grow_wider() {
        let names =
            [(9, 999), (10, 5), (10, 40)].map(|(term, index)| ObjectName::Log(ReplicaSlot { term: Term(term), index }));
        assert!(names.is_sorted_by_key(ToString::to_string) && names.is_sorted());
        let other = BaseName { attempt: 3, ..BASE };
        let of_bases = [
            ObjectName::Manifest(BASE),
            ObjectName::Part(BASE, 0),
            ObjectName::Part(BASE, 9),
            ObjectName::Manifest(other),
        ];
        assert!(of_bases.is_sorted_by_key(ToString::to_string) && of_bases.is_sorted());
        let of_gc = [ObjectName::GcGo(1), ObjectName::GcList(1), ObjectName::GcGo(2)];
        assert!(of_gc.is_sorted_by_key(ToString::to_string) && of_gc.is_sorted());
        assert!(Term(TERM_MAX).next().is_err() && Term(TERM_MAX - 1).next().is_ok());
        assert!(ReplicaSlot { term: Term(1), index: INDEX_MAX }.next().is_err());
        assert_eq!((Term(1).before(), Term(2).before()), (None, Some(Term(1))));
    }

    #[test]
    fn a_name_of_another_program_is_none() {
        for text in [
            "",
            "store/",
            "/store",
            "Store",
            "term/7",
            "term/00000000",
            "term/+0000007",
            "term/٠٠٠٠٠٠٠٧",
            "log/00000007",
            "log/00000007/000000004711/x",
            "base/00000007-000000004711/manifest",
            "hold/FF",
            "gc/00000003",
            "log/00000007/.000000004711.00.unfinished",
            "../store",
        ] {
            assert_eq!(ObjectName::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_that_reads_is_written_as_it_was(text in "(term|log|base|gc)/[0-9]{8}(/[0-9]{12})?(-[0-9]{12}-[0-9]{3}/manifest)?") {
            if let Some(name) = ObjectName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
