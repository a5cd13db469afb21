//! An object with its name: what is prepared before it is written, and what was read.

use bytes::Bytes;

use super::commits::COMMITS_MAX;
use super::kinds::{BaseManifest, BasePart, GcFloor, Hold, LogBatch, LogGap, LogOpen, LogSeal, StoreHead, TermClaim};
use super::layout::{self, BODY_MAX, Nonce, ObjectHash, StoreId};
use super::name::{BaseName, ObjectName, PART_MAX, ReplicaSlot, Term};
use crate::error::{Error, Result};

/// The head of an object, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Store(StoreHead),
    Claim(TermClaim),
    Open(LogOpen),
    Seal(LogSeal),
    Batch(LogBatch),
    Gap(LogGap),
    Manifest(BaseManifest),
    Part(BasePart),
    Hold(Hold),
    GcList(GcFloor),
    GcGo(GcFloor),
}

/// An object that is stored, or is about to be. Its bytes never change.
#[derive(Clone, Debug)]
pub(crate) struct StoredObject {
    pub(crate) name: ObjectName,
    pub(crate) object: Object,
    /// Stands for all of its bytes and its name.
    pub(crate) hash: ObjectHash,
    pub(crate) bytes: Bytes,
    /// The head and the body within the bytes.
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
}

impl StoredObject {
    /// The object as it will be written. `body` makes the sealed body from the head.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is too long; `Damaged` for one that no reader would accept; and those of `body`.
    pub(crate) fn prepare(
        name: ObjectName,
        object: Object,
        body: impl FnOnce(&[u8]) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        if !object.belongs_to(&name) {
            return Err(Error::damaged(format!("an object that no reader accepts was not written: object={name}")));
        }
        let head = object.head()?;
        let length = head.len();
        let body = body(&head)?;
        let (bytes, hash) = layout::pack(&name, head, &body)?;
        let (head, body) = (bytes.slice(..length), bytes.slice(length..length + body.len()));
        Ok(Self { name, object, hash, bytes, head, body })
    }

    /// Reads an object of a store.
    ///
    /// # Errors
    ///
    /// `Damaged` for anything that no writer writes under this name; `Conflict` for an object of another store;
    /// `NewerFormat`.
    pub(crate) fn read(name: ObjectName, bytes: Bytes, store: StoreId) -> Result<Self> {
        let read = Self::read_any(name, bytes)?;
        // O3: objects of another replica in the same folder are whole, and must not be mixed with these.
        if read.object.store() != store {
            let other = read.object.store();
            return Err(Error::conflict(format!(
                "the object belongs to the replica of another store: object={name} store={other} own={store}"
            )));
        }
        Ok(read)
    }

    /// Reads an object of any store.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), but for another store.
    pub(crate) fn read_any(name: ObjectName, bytes: Bytes) -> Result<Self> {
        let unpacked = layout::unpack(&name, &bytes)?;
        let object = match unpacked.kind.as_str() {
            "store" => Object::Store(unpacked.fields(&name)?),
            "term" => Object::Claim(unpacked.fields(&name)?),
            "open" => Object::Open(unpacked.fields(&name)?),
            "seal" => Object::Seal(unpacked.fields(&name)?),
            "batch" => Object::Batch(unpacked.fields(&name)?),
            "gap" => Object::Gap(unpacked.fields(&name)?),
            "base" => Object::Manifest(unpacked.fields(&name)?),
            "part" => Object::Part(unpacked.fields(&name)?),
            "hold" => Object::Hold(unpacked.fields(&name)?),
            "gc" => Object::GcList(unpacked.fields(&name)?),
            "go" => Object::GcGo(unpacked.fields(&name)?),
            kind => {
                let kind = kind.escape_debug();
                return Err(Error::damaged(format!(
                    "an object of the replica is of no kind: object={name} kind={kind}"
                )));
            }
        };
        if !object.belongs_to(&name) || unpacked.format != object.format() {
            let kind = unpacked.kind;
            return Err(Error::damaged(format!(
                "an object of the replica is not consistent: object={name} kind={kind}"
            )));
        }
        Ok(Self { name, object, hash: unpacked.hash, bytes, head: unpacked.head, body: unpacked.body })
    }

    /// O4: whether it is the same object. Two processes may write equal fields at one time, but no equal nonce.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.object.kind() == other.object.kind() && self.object.nonce() == other.object.nonce()
    }
}

impl Object {
    /// The name of the kind in the head.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Claim(_) => "term",
            Self::Open(_) => "open",
            Self::Seal(_) => "seal",
            Self::Batch(_) => "batch",
            Self::Gap(_) => "gap",
            Self::Manifest(_) => "base",
            Self::Part(_) => "part",
            Self::Hold(_) => "hold",
            Self::GcList(_) => "gc",
            Self::GcGo(_) => "go",
        }
    }

    /// The number by which its writer recognizes it.
    pub(crate) fn nonce(&self) -> Nonce {
        match self {
            Self::Store(of) => of.nonce,
            Self::Claim(of) => of.nonce,
            Self::Open(of) => of.nonce,
            Self::Seal(of) => of.nonce,
            Self::Batch(of) => of.nonce,
            Self::Gap(of) => of.nonce,
            Self::Manifest(of) => of.nonce,
            Self::Part(of) => of.nonce,
            Self::Hold(of) => of.nonce,
            Self::GcList(of) | Self::GcGo(of) => of.nonce,
        }
    }

    fn store(&self) -> StoreId {
        match self {
            Self::Store(of) => of.store,
            Self::Claim(of) => of.store,
            Self::Open(of) => of.store,
            Self::Seal(of) => of.store,
            Self::Batch(of) => of.store,
            Self::Gap(of) => of.store,
            Self::Manifest(of) => of.store,
            Self::Part(of) => of.store,
            Self::Hold(of) => of.store,
            Self::GcList(of) | Self::GcGo(of) => of.store,
        }
    }

    /// O2: the format of its head.
    fn format(&self) -> u64 {
        match self {
            Self::Open(LogOpen { lease_ms: Some(_), .. } | LogOpen { promotion: true, .. }) => layout::FORMAT_OF_MOVES,
            _ => layout::FORMAT,
        }
    }

    fn head(&self) -> Result<Vec<u8>> {
        let (kind, format) = (self.kind(), self.format());
        match self {
            Self::Store(of) => layout::head(kind, format, of),
            Self::Claim(of) => layout::head(kind, format, of),
            Self::Open(of) => layout::head(kind, format, of),
            Self::Seal(of) => layout::head(kind, format, of),
            Self::Batch(of) => layout::head(kind, format, of),
            Self::Gap(of) => layout::head(kind, format, of),
            Self::Manifest(of) => layout::head(kind, format, of),
            Self::Part(of) => layout::head(kind, format, of),
            Self::Hold(of) => layout::head(kind, format, of),
            Self::GcList(of) | Self::GcGo(of) => layout::head(kind, format, of),
        }
    }

    /// O3: whether an object with this head may have that name, and its numbers fit together.
    fn belongs_to(&self, name: &ObjectName) -> bool {
        let body = |bytes: u64| bytes <= BODY_MAX as u64;
        match (self, *name) {
            (Self::Store(_), ObjectName::Store) | (Self::Hold(_), ObjectName::Hold(_)) => true,
            (Self::Claim(of), ObjectName::Term(term)) => of.term == term,
            (Self::Open(of), ObjectName::Log(slot)) => {
                let is_parent = |parent: ReplicaSlot| parent.index > 0 && parent.term < of.term;
                slot == ReplicaSlot::opening(of.term) && of.parent.is_none_or(is_parent) && of.has_sound_lease()
            }
            (Self::Seal(of), ObjectName::Log(slot)) => {
                slot == of.slot && (of.by > slot.term || of.by == slot.term && slot.index > 0)
            }
            (Self::Batch(of), ObjectName::Log(slot)) => {
                let is_count = of.commits <= COMMITS_MAX as u64 && (of.commits == 0) == (of.after == of.last);
                slot == of.slot && slot.index > 0 && of.after <= of.last && is_count && body(of.bytes)
            }
            (Self::Gap(of), ObjectName::Log(slot)) => {
                slot == of.slot && slot.index > 0 && of.after < of.last && of.base.slot == slot
            }
            (Self::Manifest(of), ObjectName::Manifest(base)) => {
                of.base == base && is_base(base) && of.parts <= PART_MAX && body(of.bytes)
            }
            (Self::Part(of), ObjectName::Part(base, part)) => {
                of.base == base && is_base(base) && of.part == part && body(of.bytes)
            }
            (Self::GcList(of), ObjectName::GcList(number)) => of.number == number && of.floor.is_some(),
            (Self::GcGo(of), ObjectName::GcGo(number)) => of.number == number,
            _ => false,
        }
    }
}

/// A base stands behind the opening of a term.
fn is_base(base: BaseName) -> bool {
    base.slot.term > Term(0) && base.slot.index > 0
}
