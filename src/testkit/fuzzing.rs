//! Entry points of the fuzzer inside the engine, built for fuzzing and for tests only.

use std::fmt::Debug;
use std::path::Path;

use crate::engine::codec::{self, Stored};
use crate::engine::digest::Stats;
use crate::engine::epoch::Epochs;
use crate::engine::frame;
use crate::engine::point::{Commit, Manifest};
use crate::engine::schema::Table;
use crate::recovery::backups::Backup;
use crate::recovery::events::event::Event;
use crate::state::assignments::Assignment;
use crate::state::audit::Entry;
use crate::state::chat::Message;
use crate::state::keys::key::StoredKey;
use crate::state::queue::Task;
use crate::state::registry::Bot;
use crate::testkit::proof::choices::Choices;
use crate::testkit::proof::disk::Operation;
use crate::testkit::proof::fault::{Attempt, fault};
use crate::testkit::proof::fleet::Mode;
use crate::testkit::proof::power_cut::Run;
use crate::testkit::proof::step::Shape;

/// The key that the frames of the fuzzer belong to.
const KEY: &[u8] = b"\0\0\0\x02key";

/// Reads any bytes as a frame and as each stored type: it gives an error, or what encodes to the same again.
pub fn frame(data: &[u8]) {
    any_frame(data);
    any_payload(data);
    if let Some((&flip, payload)) = data.split_first() {
        a_flipped_bit(usize::from(flip), payload);
    }
}

/// Reads any bytes as a section of the log.
pub fn log(data: &[u8]) {
    crate::engine::wal::read_any(data);
}

/// Asks the service anything, without a socket: it answers, and no error is its own. The first line is the method and
/// the target, the rest the body.
#[cfg(feature = "http")]
pub fn request(data: &[u8]) {
    crate::face::http::inside::request(data);
}

/// Reads any bytes as the headers `Authorization` and `Cookie`, and as a key: only what a key or a session can be is
/// found in them, and it stands there as it is.
#[cfg(feature = "http")]
pub fn credentials(data: &[u8]) {
    crate::face::http::inside::credentials(data);
}

/// Looks at, verifies, restores and follows a replica that any bytes describe, as `testkit/made_replica.rs` says.
/// Copies are made in `folder`.
#[cfg(feature = "replica")]
pub fn replica(data: &[u8], folder: &Path) {
    let _is_sound = crate::testkit::made_replica::read_any(data, folder);
}

fn any_frame(data: &[u8]) {
    for table in Table::ALL {
        let place = table.place(KEY);
        if let Ok(read) = frame::decode(place, data) {
            let mut again = Vec::new();
            frame::encode(&mut again, place, read.birth, read.state);
            assert_eq!(again, data);
        }
    }
}

fn a_flipped_bit(flip: usize, payload: &[u8]) {
    let place = Table::Live.place(KEY);
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, place, crate::Epoch(flip as u64), frame::State::Present(payload));
    assert_eq!(frame::decode(place, &bytes).ok().and_then(|read| read.payload()), Some(payload));
    let length = bytes.len();
    if let Some(byte) = bytes.get_mut(flip % length) {
        *byte ^= 1 << (flip % 8);
    }
    assert!(frame::decode(place, &bytes).is_err(), "a flipped bit went unseen");
}

fn any_payload(data: &[u8]) {
    keeps::<Manifest>(data);
    keeps::<Commit>(data);
    keeps::<Epochs>(data);
    keeps::<Stats>(data);
    keeps::<Backup>(data);
    keeps::<Event>(data);
    keeps::<Assignment>(data);
    keeps::<Entry>(data);
    keeps::<Message>(data);
    keeps::<Task>(data);
    keeps::<Bot>(data);
    keeps::<StoredKey>(data);
}

/// Bytes that are read as a `T` are one way to write it: encoded and read again, it is the same.
fn keeps<T: Stored + Debug + PartialEq>(data: &[u8]) {
    if let Ok(value) = codec::decode::<T>(data) {
        let again = codec::encode(&value).ok().and_then(|bytes| codec::decode::<T>(&bytes).ok());
        assert_eq!(again.as_ref(), Some(&value));
    }
}

/// More steps than this find nothing new, and only take time.
const STEPS_MAX: usize = 24;
/// So many operations fail, one at a time.
const FAULTS: usize = 8;

/// Works on a store over a disk as the bytes say, compares it with a model after every step, lets operations of the
/// disk fail, and cuts the power at every sync. In `folder` the sessions are kept.
pub fn power_cut(data: &[u8], folder: &Path) {
    let mut choices = Choices::from_bytes(data);
    let mode = Mode { long: false, ..Mode::of(choices.below(8)) };
    let run = Run::record(folder, mode, STEPS_MAX, &mut choices);
    run.cut_everywhere(1, 16, &mut choices);
    let steps: Vec<_> = run.marks.windows(2).filter(|marks| marks[1].shape != Shape::Reopened).collect();
    for _ in 0..FAULTS.min(steps.len()) {
        let step = choices.of(&steps);
        let kind = *choices.of(&[Operation::Read, Operation::Write, Operation::SetLen, Operation::Sync]);
        let fault = fault(kind, 1 + choices.below(40), choices.once_in(2), choices.once_in(2));
        Attempt { folder, mode, before: &step[0], after: &step[1] }.survives(fault);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn seeds(target: &str) -> Vec<PathBuf> {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let seeds: Vec<_> = fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(!seeds.is_empty());
        seeds
    }

    #[test]
    fn every_seed_of_the_frame_target_holds() {
        seeds("frame").iter().for_each(|seed| frame(&fs::read(seed).unwrap()));
    }

    #[test]
    fn every_seed_of_the_log_target_holds() {
        seeds("log").iter().for_each(|seed| log(&fs::read(seed).unwrap()));
    }

    #[test]
    fn every_seed_of_the_power_cut_target_holds() {
        for seed in seeds("power_cut") {
            eprintln!("{}", seed.display());
            let folder = tempfile::tempdir().unwrap();
            power_cut(&fs::read(&seed).unwrap(), folder.path());
        }
    }

    #[cfg(feature = "replica")]
    #[test]
    fn every_seed_of_the_replica_target_holds() {
        for seed in seeds("replica") {
            eprintln!("{}", seed.display());
            let folder = tempfile::tempdir().unwrap();
            replica(&fs::read(&seed).unwrap(), folder.path());
        }
    }

    #[cfg(feature = "http")]
    #[test]
    fn every_seed_of_the_credentials_target_holds() {
        seeds("credentials").iter().for_each(|seed| credentials(&fs::read(seed).unwrap()));
    }

    #[cfg(feature = "http")]
    #[test]
    fn every_seed_of_the_request_target_is_answered() {
        for seed in seeds("request") {
            eprintln!("{}", seed.display());
            request(&fs::read(&seed).unwrap());
        }
    }
}
