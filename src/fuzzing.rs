//! What the fuzzer reaches inside of the engine. It is built for fuzzing and for tests only.

use std::fmt::Debug;

use crate::engine::codec::{self, Stored};
use crate::engine::digest::Stats;
use crate::engine::epoch::Epochs;
use crate::engine::frame;
use crate::engine::point::{Commit, Manifest};
use crate::engine::schema::Table;
use crate::recovery::backups::Backup;
use crate::recovery::events::Event;
use crate::state::assignments::Assignment;
use crate::state::audit::Entry;
use crate::state::chat::Message;
use crate::state::queue::Task;
use crate::state::registry::Bot;

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

/// Asks the service anything, without a socket: it answers, and no error is its own. The first line is the method and the
/// target, the rest the body.
#[cfg(feature = "http")]
pub fn request(data: &[u8]) {
    crate::face::http::inside::request(data);
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
}

/// Bytes that are read as a `T` are one way to write it: encoded and read again, it is the same.
fn keeps<T: Stored + Debug + PartialEq>(data: &[u8]) {
    if let Ok(value) = codec::decode::<T>(data) {
        let again = codec::encode(&value).ok().and_then(|bytes| codec::decode::<T>(&bytes).ok());
        assert_eq!(again.as_ref(), Some(&value));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    fn run(target: &str, body: fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        for seed in fs::read_dir(seeds).unwrap() {
            body(&fs::read(seed.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn every_seed_of_the_frame_target_holds() {
        run("frame", super::frame);
    }

    #[cfg(feature = "http")]
    #[test]
    fn every_seed_of_the_request_target_is_answered() {
        run("request", super::request);
    }
}
