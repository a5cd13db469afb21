//! The bytes of every kind of object.

use bytes::Bytes;
use jiff::Timestamp;

use super::kinds::*;
use super::layout::{Nonce, ObjectHash, StoreId, head, pack};
use super::name::{BaseName, ObjectName, ReplicaSlot, Term};
use super::object::{Object, StoredObject};
use crate::error::ErrorKind;

const STORE: StoreId = StoreId(0x5707e);
const NONCE: Nonce = Nonce(7);
const HASH: ObjectHash = ObjectHash([0xab; 32]);
const TERM: Term = Term(8);
const SLOT: ReplicaSlot = ReplicaSlot { term: TERM, index: 12 };
const BASE: BaseName = BaseName { slot: SLOT, attempt: 0 };

fn time() -> Timestamp {
    "2026-01-02T03:04:05.678901Z".parse().unwrap()
}

/// One object of each kind.
fn all() -> Vec<(ObjectName, Object)> {
    let (store, nonce, time, term, slot, base) = (STORE, NONCE, time(), TERM, SLOT, BASE);
    let opening = ReplicaSlot::opening(term);
    let claim = TermClaim { store, term, nonce, time, machine: "host".into(), key: None };
    let parent = Some(ReplicaSlot { term: Term(7), index: 4711 });
    let open = LogOpen {
        store,
        term,
        nonce,
        time,
        parent,
        sequence: 99,
        states: HASH,
        restore: false,
        promotion: false,
        lease_ms: None,
    };
    let promoted = LogOpen { promotion: true, lease_ms: Some(30_000), ..open.clone() };
    let batch = LogBatch {
        store,
        slot,
        nonce,
        previous: HASH,
        time,
        after: 99,
        last: u64::MAX,
        commits: 2,
        states: HASH,
        bytes: 30,
    };
    let gap = LogGap { store, slot, nonce, previous: HASH, time, after: 99, last: 500, states: HASH, base };
    let manifest = BaseManifest {
        store,
        base,
        nonce,
        previous: HASH,
        time,
        made: time,
        sequence: 99,
        states: HASH,
        parts: 1,
        rows_bytes: 10,
        bytes: 36,
    };
    let floor = GcFloor { store, number: 3, nonce, time, floor: Some(slot) };
    vec![
        (ObjectName::Store, Object::Store(StoreHead { store, nonce, time, recipients: None })),
        (ObjectName::Term(term), Object::Claim(claim)),
        (ObjectName::Log(opening), Object::Open(open)),
        (ObjectName::Log(opening), Object::Open(promoted)),
        (ObjectName::Log(slot), Object::Seal(LogSeal { store, slot, nonce, time, by: Term(9) })),
        (ObjectName::Log(slot), Object::Batch(batch)),
        (ObjectName::Log(slot), Object::Gap(gap)),
        (ObjectName::Manifest(base), Object::Manifest(manifest)),
        (ObjectName::Part(base, 0), Object::Part(BasePart { store, base, part: 0, nonce, bytes: 10 })),
        (ObjectName::Hold(1), Object::Hold(Hold { store, nonce, time, machine: "host".into(), from: slot })),
        (ObjectName::GcList(3), Object::GcList(floor.clone())),
        (ObjectName::GcGo(3), Object::GcGo(GcFloor { floor: None, ..floor })),
    ]
}

fn prepared(name: ObjectName, object: Object) -> StoredObject {
    StoredObject::prepare(name, object, |_| Ok(b"body".to_vec())).unwrap()
}

#[test]
fn every_kind_has_golden_bytes() {
    let texts: Vec<_> = all()
        .into_iter()
        .map(|(name, object)| String::from_utf8(prepared(name, object).head.to_vec()).unwrap())
        .collect();
    let golden = include_str!("golden.txt");
    assert_eq!(texts.concat(), golden);
}

#[test]
fn every_kind_reads_back_under_its_name_and_in_its_store_alone() {
    for (name, object) in all() {
        let written = prepared(name, object.clone());
        let read = StoredObject::read(name, written.bytes.clone(), STORE).unwrap();
        assert_eq!((&read.object, read.hash, &read.body[..]), (&object, written.hash, &b"body"[..]));
        assert!(read.is(&written));
        let error = StoredObject::read(name, written.bytes.clone(), StoreId(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{name}");
        for (other, _) in all().into_iter().filter(|(other, _)| *other != name) {
            let error = StoredObject::read_any(other, written.bytes.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{name} as {other}");
        }
    }
}

/// The bytes of an object with this head under any name, as a writer of nonsense would make them.
fn nonsense(name: &ObjectName, object: &Object) -> Bytes {
    let head = match object {
        Object::Open(of) => head("open", if of.lease_ms.is_some() || of.promotion { 2 } else { 1 }, of),
        Object::Seal(of) => head("seal", 1, of),
        Object::Batch(of) => head("batch", 1, of),
        Object::Gap(of) => head("gap", 1, of),
        other => head(other.kind(), 1, &serde_json::json!({})),
    };
    pack(name, head.unwrap(), b"").unwrap().0
}

#[test]
fn heads_that_contradict_themselves_or_their_name_are_damaged() {
    let all = all();
    let find = |kind: &str| all.iter().find(|(_, object)| object.kind() == kind).unwrap().1.clone();
    let (Object::Open(open), Object::Seal(seal)) = (find("open"), find("seal")) else { panic!() };
    let (Object::Batch(batch), Object::Gap(gap)) = (find("batch"), find("gap")) else { panic!() };
    let plain = open.clone();
    let (log, opening) = (ObjectName::Log(SLOT), ObjectName::Log(ReplicaSlot::opening(TERM)));
    let at_opening = LogSeal { slot: ReplicaSlot::opening(TERM), ..seal.clone() };
    for (name, object) in [
        (log, Object::Open(open.clone())),
        (opening, Object::Open(LogOpen { parent: Some(ReplicaSlot::first(TERM)), ..open.clone() })),
        (opening, Object::Open(LogOpen { parent: Some(ReplicaSlot::opening(Term(7))), ..open.clone() })),
        (opening, Object::Open(LogOpen { lease_ms: Some(999), ..open.clone() })),
        (opening, Object::Open(LogOpen { lease_ms: Some(3_600_001), ..open })),
        (log, Object::Seal(LogSeal { by: Term(7), ..seal })),
        (opening, Object::Seal(LogSeal { by: TERM, ..at_opening })),
        (log, Object::Batch(LogBatch { last: 98, ..batch.clone() })),
        (log, Object::Batch(LogBatch { commits: 0, ..batch.clone() })),
        (log, Object::Batch(LogBatch { last: 99, ..batch.clone() })),
        (log, Object::Batch(LogBatch { commits: u64::MAX, ..batch.clone() })),
        (log, Object::Batch(LogBatch { bytes: u64::MAX, ..batch.clone() })),
        (ObjectName::Log(ReplicaSlot::first(TERM)), Object::Batch(batch)),
        (log, Object::Gap(LogGap { last: 99, ..gap })),
        (log, find("store")),
    ] {
        let error = StoredObject::read_any(name, nonsense(&name, &object)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{object:?}");
    }
    // The format says whether a program that does not know the fields may read the object.
    for (format, lease_ms) in [(1, Some(30_000)), (2, None)] {
        let bytes =
            pack(&opening, head("open", format, &LogOpen { lease_ms, ..plain.clone() }).unwrap(), b"").unwrap().0;
        assert_eq!(StoredObject::read_any(opening, bytes).unwrap_err().kind(), ErrorKind::Damaged, "{format}");
    }
    let kind = pack(&log, b"{\"hivekeep\":\"other\",\"format\":1}\n".to_vec(), b"").unwrap().0;
    assert_eq!(StoredObject::read_any(log, kind).unwrap_err().kind(), ErrorKind::Damaged);
}
