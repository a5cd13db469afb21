//! The replica that a verb reads, with the key to read it; and words of the commands that a person types next.

use std::fmt::Display;
use std::path::PathBuf;

use clap::Args;

use crate::face::cli::parsing::input;
use crate::text::in_shell;
use crate::{ReplicaLocation, Result};

/// The replica of a verb that reads it.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The folder or the bucket
    #[arg(value_name = "LOCATION")]
    pub(super) location: ReplicaLocation,
    /// Read an encrypted replica with the age identity in this file
    #[arg(long, value_name = "FILE", env = "HIVEKEEP_REPLICA_IDENTITY")]
    identity: Option<PathBuf>,
}

impl Source {
    pub(super) fn identity(&self) -> Result<Option<String>> {
        self.identity.as_deref().map(input::text_file).transpose()
    }
}

/// A word of a command that a person types next.
pub(super) fn quoted(word: impl Display) -> String {
    in_shell(&word.to_string()).into_owned()
}
