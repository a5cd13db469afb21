//! The options of a restore, and the command line that has them.

/// The part of the state to restore, and options. The default restores everything.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    pub(crate) only: Vec<String>,
    pub(crate) key: Option<String>,
    pub(crate) keep_finished: bool,
    pub(crate) verify: bool,
    pub(crate) partial: bool,
    pub(crate) expect: Option<String>,
}

impl RestoreOptions {
    /// Restores everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Restores only these collections. Queue and assignments belong together.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, collections: impl IntoIterator<Item = S>) -> Self {
        self.only = collections.into_iter().map(Into::into).collect();
        self
    }

    /// Restores only this record of the one collection named by [`RestoreOptions::only`]. A task includes its
    /// assignment.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Refuses the restore unless the state is still that of a plan: its [`state`](crate::RestorePlan::state).
    #[must_use]
    pub fn expect(mut self, state: impl Into<String>) -> Self {
        self.expect = Some(state.into());
        self
    }

    /// Keeps tasks finished that finished since the point; otherwise they would run again. Tasks that were purged since
    /// do not return as long as the queue [remembers](crate::Queue::remembered) them.
    #[must_use]
    pub fn keep_finished(mut self, keep: bool) -> Self {
        self.keep_finished = keep;
        self
    }

    /// Verifies every record and every point first, not only the records that the restore touches.
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Restores a point even if a repair lost part of it. Records that are known to be lost stay as they are now;
    /// others may be missing, or have an older value.
    ///
    /// A document with lost rows is reassembled from the remaining ones; the event of the restore names it.
    #[must_use]
    pub fn partial(mut self, partial: bool) -> Self {
        self.partial = partial;
        self
    }

    /// The command that restores a point with these options.
    pub(crate) fn command(&self, point: &str) -> String {
        let only = (!self.only.is_empty()).then(|| format!(" --only {}", word(&self.only.join(","))));
        let key = self.key.as_ref().map(|key| format!(" --key {}", word(key)));
        let flags =
            [(self.verify, " --verify"), (self.keep_finished, " --keep-finished"), (self.partial, " --partial")];
        let flags: String = flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag).collect();
        format!("hivekeep restore {}{}{}{flags}", word(point), only.unwrap_or_default(), key.unwrap_or_default())
    }
}

/// A word of a command line, with quotes if a shell needs them.
fn word(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "._-:/+,@%".contains(char);
    let shown: String = text
        .chars()
        .flat_map(|char| if char.is_control() { char.escape_default().collect::<Vec<_>>() } else { vec![char] })
        .collect();
    if !shown.is_empty() && shown.chars().all(is_plain) { shown } else { format!("'{}'", shown.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_if_a_shell_needs_it() {
        for (text, quoted) in
            [("BOT-1", "BOT-1"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''"), ("a\n$", r"'a\n$'")]
        {
            assert_eq!(word(text), quoted);
        }
    }
}
