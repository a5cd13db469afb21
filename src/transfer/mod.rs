//! Entering the file from other programs.

pub(crate) mod adopt;
