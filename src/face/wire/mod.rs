//! JSON on the wire, as all faces read and write it that have a program on the other side.
//!
//! * `field`: the description of an object; `fields`: reads the fields of a request
//! * `task`: a new task, and the token that a bot shows; `shorten`: long values in answers; `hint`: that of an error

pub(in crate::face) mod field;
pub(in crate::face) mod fields;
pub(in crate::face) mod hint;
pub(in crate::face) mod shorten;
pub(in crate::face) mod task;
