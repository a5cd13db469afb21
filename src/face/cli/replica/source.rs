//! The replica that a verb reads, with the key to read it; and words of the commands that a person types next.

use std::fmt::Display;
use std::path::PathBuf;

use clap::Args;

use crate::face::cli::input;
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

/// A word of a command as a shell reads it.
pub(super) fn quoted(word: impl Display) -> String {
    let word = word.to_string();
    let is_plain = |one: char| one.is_alphanumeric() || "-_./:=@%+,~".contains(one);
    if !word.is_empty() && !word.starts_with('~') && word.chars().all(is_plain) {
        return word;
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_not_read_it_as_it_is() {
        for (word, typed) in [
            ("s3://b/p", "s3://b/p"),
            ("/a b", "'/a b'"),
            ("s3://b?region=r", "'s3://b?region=r'"),
            ("it's", "'it'\\''s'"),
            ("~x", "'~x'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), typed);
        }
    }
}
