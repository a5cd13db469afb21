//! The refusals of moments to which a replica cannot be restored, with those that can be.

use jiff::Timestamp;

use super::moment::ReplicaMoment;
use crate::clock::show_time;
use crate::error::Error;
use crate::replica::objects::kinds::LogBatch;
use crate::replica::terms::remote::ReplicaPosition;

/// The refusal of a moment before the oldest base.
pub(super) fn too_old(at: &ReplicaMoment, oldest: Option<&ReplicaPosition>) -> Error {
    let message = "the replica has no base that is so old";
    Error::not_found(match oldest {
        Some(ReplicaPosition { time, sequence, .. }) => {
            let oldest = show_time(*time);
            format!("{message}; restore its oldest moment or a later one: at={at} oldest={oldest} sequence={sequence}")
        }
        None => format!("{message}: at={at}"),
    })
}

/// The refusal of a moment of which the commits are not in the replica. Every later one begins at the base behind them.
/// That has the number `last`, and was made at that time or before; the state before them has the other two.
pub(super) fn in_gap(at: &ReplicaMoment, before: (u64, Timestamp), last: u64, time: Timestamp) -> Error {
    let ((from, before), to, after) = ((before.0, show_time(before.1)), last, show_time(time));
    Error::conflict(format!(
        "the replica was out of reach then, and does not have the commits; restore the nearest moment before or after: at={at} \
         before={before} after={after} missing={from}..{to}"
    ))
}

/// The refusal of a moment behind which the log has a time that is still to come.
pub(in crate::replica) fn ahead(at: &ReplicaMoment, position: &ReplicaPosition, batch: &LogBatch) -> Error {
    let (sequence, next, time) = (position.sequence, batch.last, show_time(batch.time));
    Error::conflict(format!(
        "a clock was ahead when the commits behind that moment were written, so their times do not tell when they were made; \
         restore a sequence in place of the time: at={at} sequence={sequence} next={next} next_time={time}"
    ))
}

/// The refusal of a time between that of a base and that of a commit before it.
pub(super) fn set_back(at: &ReplicaMoment, position: &ReplicaPosition, last: Timestamp) -> Error {
    let (sequence, time, last) = (position.sequence, show_time(position.time), show_time(last));
    Error::conflict(format!(
        "a clock was set back before that moment, so the time does not name one state; restore a sequence in place of \
         the time: at={at} sequence={sequence} time={time} last_time={last}"
    ))
}

/// The refusal of a moment behind the end of the log, or that is nowhere in it.
pub(super) fn not_reached(at: &ReplicaMoment, sequence: u64, time: Timestamp) -> Error {
    let newest = format!("newest={} sequence={sequence}", show_time(time));
    match at {
        ReplicaMoment::Point(_) | ReplicaMoment::Epoch(_) => {
            Error::not_found(format!("the replica has no such restore point: at={at} {newest}"))
        }
        _ => Error::conflict(format!(
            "nothing behind that moment is in the replica, so commits before it may be missing; restore the newest state, or an \
             earlier moment: at={at} {newest}"
        )),
    }
}
