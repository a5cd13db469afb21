//! What can be set, each by a flag, else the environment, else a line of the file. One list serves all three, so that
//! none knows a name that another does not.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::FalseyValueParser;
use serde::Deserialize;

use crate::face::cli::rules::{Rules, with_rules};
use crate::face::cli::serve::value::Size;
use crate::face::cli::value::{Count, Span, Whole};
use crate::face::http::{AllowedHost, Origin};
use crate::files;
use crate::service::webhook::Webhook;
use crate::{Error, Result};

/// Defines the options: rules of retention, other values, then lists, then switches.
macro_rules! knobs {
    (
        rules { $($(#[doc = $rule_about:literal])* $rule:ident: $rule_type:ty = $rule_name:literal, $rule_shown:literal;)* }
        values { $($(#[doc = $about:literal])* $value:ident: $type:ty = $name:literal, $shown:literal;)* }
        lists { $($(#[doc = $list_about:literal])* $list:ident: $item:ty = $list_name:literal, $list_shown:literal;)* }
        switches { $($(#[doc = $switch_about:literal])* $switch:ident = $switch_name:literal;)* }
    ) => {
        /// What has been set; the rest is as usual.
        #[derive(Clone, Debug, Default, Args, Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct Knobs {
            /// The store, where no option and no environment names it; in the file only.
            #[arg(skip)]
            pub(super) store: Option<PathBuf>,
            $($(#[doc = $rule_about])* #[arg(long, env = $rule_name, value_name = $rule_shown)] pub(super) $rule: Option<$rule_type>,)*
            $($(#[doc = $about])* #[arg(long, env = $name, value_name = $shown)] pub(super) $value: Option<$type>,)*
            $($(#[doc = $switch_about])* #[arg(long, env = $switch_name, value_parser = FalseyValueParser::new(), num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")] pub(super) $switch: Option<bool>,)*
            /// Keep points with this tag; may be given several times
            #[arg(long, env = "HIVEKEEP_KEEP_TAG", value_name = "NAME[=VALUE]", value_delimiter = ',')]
            pub(super) keep_tag: Vec<String>,
            /// Encrypt archives for whoever has the key of this recipient, age1...; may be given several times
            #[arg(long, env = "HIVEKEEP_ARCHIVE_RECIPIENT", value_name = "RECIPIENT", value_delimiter = ',')]
            pub(super) archive_recipient: Vec<String>,
            /// Keep every automatic point of the kept age, as many as the count allows
            #[arg(long, env = "HIVEKEEP_NO_THINNING", value_parser = FalseyValueParser::new(), num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
            pub(super) no_thinning: Option<bool>,
            $($(#[doc = $list_about])* #[arg(long, env = $list_name, value_name = $list_shown, value_delimiter = ',')] pub(super) $list: Vec<$item>,)*
        }

        impl Knobs {
            /// These where they are set, else those. Retention is set here or there, with all that belongs to it.
            pub(super) fn over(self, mut below: Self) -> Self {
                if self.no_retention == Some(true) {
                    below.forget_rules();
                } else if self.rules().are_given() {
                    below.no_retention = None;
                }
                Self {
                    store: self.store.or(below.store),
                    $($rule: self.$rule.or(below.$rule),)*
                    $($value: self.$value.or(below.$value),)*
                    $($switch: self.$switch.or(below.$switch),)*
                    keep_tag: either(self.keep_tag, below.keep_tag),
                    archive_recipient: either(self.archive_recipient, below.archive_recipient),
                    no_thinning: self.no_thinning.or(below.no_thinning),
                    $($list: if self.$list.is_empty() { below.$list } else { self.$list },)*
                }
            }

            fn forget_rules(&mut self) {
                $(self.$rule = None;)*
                (self.keep_tag, self.no_thinning) = (Vec::new(), None);
            }

            /// The rules of retention among them.
            pub(super) fn rules(&self) -> Rules {
                let (keep_tag, no_thinning) = (self.keep_tag.clone(), self.no_thinning);
                Rules { $($rule: self.$rule,)* keep_tag, no_thinning }
            }
        }
    };
}

with_rules! { knobs {
    values {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8001]
    listen: String = "HIVEKEEP_LISTEN", "ADDRESS";
    /// Between automatic backups, or off [default: 10m]
    backup_interval: Span = "HIVEKEEP_BACKUP_INTERVAL", "TIME";
    /// Remove tasks that have been done, failed, dead or cancelled for longer than this, or off [default: off]
    purge_finished: Span = "HIVEKEEP_PURGE_FINISHED", "AGE";
    /// Claims raise the priority of a task for each time that it has been ready for so long, or off [default: off]
    priority_aging: Span = "HIVEKEEP_PRIORITY_AGING", "TIME";
    /// Every commit of so long can be read and gone back to, or off [default: off]
    history: Span = "HIVEKEEP_HISTORY", "TIME";
    /// The state in the newest archive, which outlives the store's file, is never older than this, or off [default: 10m]
    archive_every: Span = "HIVEKEEP_ARCHIVE_EVERY", "TIME";
    /// Where they go, best on another disk [default: hivekeep-archives beside the store]
    archive_dir: PathBuf = "HIVEKEEP_ARCHIVE_DIR", "DIR";
    /// Encrypt them with the passphrase in this file
    archive_passphrase_file: PathBuf = "HIVEKEEP_ARCHIVE_PASSPHRASE_FILE", "FILE";
    /// Write the events to this file too, one JSON object on each line
    event_log: PathBuf = "HIVEKEEP_EVENT_LOG", "FILE";
    /// The file with the token that requests must show; HIVEKEEP_TOKEN may hold the token itself
    token_file: PathBuf = "HIVEKEEP_TOKEN_FILE", "FILE";
    /// The longest body of a request [default: 64MiB]
    max_body: Size = "HIVEKEEP_MAX_BODY", "SIZE";
    /// Less free space than this refuses a point [default: 16MiB]
    min_free: Size = "HIVEKEEP_MIN_FREE", "SIZE";
    /// A mark of a clean shutdown older than this is no excuse when its process is found dead, or off [default: 30s]
    stale_after: Span = "HIVEKEEP_STALE_AFTER", "TIME";
    /// Run this when a backup, archive, retention or check fails; HIVEKEEP_FAILED and HIVEKEEP_ERROR say what and why
    on_failure: String = "HIVEKEEP_ON_FAILURE", "COMMAND";
    /// Post the event of such a failure to this URL as JSON; http only, for https let --on-failure run curl
    failure_url: Webhook = "HIVEKEEP_FAILURE_URL", "URL";
    /// End with exit code 1 when a failure has closed the store's file and it could not be opened again for so long, or off
    /// [default: 5m]
    reopen_timeout: Span = "HIVEKEEP_REOPEN_TIMEOUT", "TIME";
    /// A client may be silent for so long, before its request or without taking its answer [default: 30s]
    client_timeout: Span = "HIVEKEEP_CLIENT_TIMEOUT", "TIME";
    }
    lists {
    /// Answer to this host too, as behind a proxy, where no token is set; may be given several times
    allow_host: AllowedHost = "HIVEKEEP_ALLOW_HOST", "HOST[:PORT]";
    /// Let pages of this origin use the service, as https://fleet.example; may be given several times
    allow_origin: Origin = "HIVEKEEP_ALLOW_ORIGIN", "ORIGIN";
    }
    switches {
    /// Do not make the folder of archives: when its disk is not mounted, say so
    archive_must_exist = "HIVEKEEP_ARCHIVE_MUST_EXIST";
    /// Forget nothing
    no_retention = "HIVEKEEP_NO_RETENTION";
    /// Let everybody who reaches the address read and change the store
    insecure_no_token = "HIVEKEEP_INSECURE_NO_TOKEN";
    }
} }

/// A list where it has something, else the other one.
fn either(list: Vec<String>, below: Vec<String>) -> Vec<String> {
    if list.is_empty() { below } else { list }
}

impl Knobs {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the line, for a name that is unknown or a value that is none; `Io`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = files::read_text(path, files::SETTINGS_MAX)?;
        let wrong = |source: toml::de::Error| Error::invalid(format!("{shown}: {}", source.to_string().trim_end()));
        let knobs: Self = toml::from_str(&text).map_err(wrong)?;
        knobs.refuse_contradiction().map_err(|error| error.context(shown))?;
        Ok(knobs)
    }

    /// Refuses options of which one would leave another without effect.
    ///
    /// # Errors
    ///
    /// `Invalid`, with their names.
    pub(super) fn refuse_contradiction(&self) -> Result<()> {
        if self.no_retention == Some(true) && self.rules().are_given() {
            return Err(Error::invalid(
                "no-retention forgets nothing, and a keep rule says what is forgotten; leave one out",
            ));
        }
        if self.insecure_no_token == Some(true) && self.token_file.is_some() {
            return Err(Error::invalid("insecure-no-token asks for no token, and token-file names one; leave one out"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Knobs> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hivekeep.toml");
        std::fs::write(&path, text).unwrap();
        Knobs::read(&path)
    }

    #[test]
    fn an_unknown_name_in_the_file_is_refused_with_those_that_there_are() {
        let error = read("listen = \"127.0.0.1:1\"\nbackup-intervall = \"5m\"\n").unwrap_err().to_string();
        assert!(error.contains("backup-intervall") && error.contains("backup-interval"), "{error}");
        assert!(read("max-body = \"1 elephant\"").unwrap_err().to_string().contains("64MiB"));
    }

    #[test]
    fn what_is_typed_goes_before_what_is_in_the_file() {
        let file = read("listen = \"127.0.0.1:1\"\nkeep-count = 5\nno-thinning = true\nkeep-tag = [\"a=b\"]").unwrap();
        let typed = Knobs { listen: Some("127.0.0.1:2".into()), ..Knobs::default() };
        let both = typed.over(file);
        assert_eq!(both.listen.as_deref(), Some("127.0.0.1:2"));
        assert_eq!((both.keep_count, both.no_thinning), (Some(Count(Some(5))), Some(true)));
        assert_eq!(both.keep_tag, ["a=b"]);
    }

    #[test]
    fn what_is_switched_off_goes_before_what_is_switched_on_in_the_file() {
        let file = read("no-retention = true\narchive-must-exist = true").unwrap();
        let off = Knobs { no_retention: Some(false), archive_must_exist: Some(false), ..Knobs::default() };
        let both = off.over(file.clone());
        assert_eq!((both.no_retention, both.archive_must_exist), (Some(false), Some(false)));
        let rule = Knobs { keep_last: Some(Whole(3)), ..Knobs::default() };
        assert_eq!(rule.clone().over(file.clone()).no_retention, None, "a rule that is typed forgets");
        assert_eq!(file.over(rule).keep_last, None);
    }

    #[test]
    fn options_that_leave_one_another_without_effect_are_refused_by_name() {
        let error = read("no-retention = true\nkeep-last = 3").unwrap_err().to_string();
        assert!(error.contains("hivekeep.toml") && error.contains("no-retention"), "{error}");
        assert!(read("no-retention = true\nno-thinning = false").is_err());
        let error = read("insecure-no-token = true\ntoken-file = \"t\"").unwrap_err().to_string();
        assert!(error.contains("insecure-no-token") && error.contains("token-file"), "{error}");
        assert!(read("no-retention = false\nkeep-last = 3\ntoken-file = \"t\"").is_ok());
    }

    #[test]
    fn the_file_names_the_store_and_takes_numbers_with_quotes_or_without() {
        let file = read("store = \"fleet.redb\"\nbackup-interval = 90\nkeep-last = \"3\"\nkeep-daily = 4").unwrap();
        assert_eq!(file.store, Some("fleet.redb".into()));
        assert_eq!(file.backup_interval, Some(Span(Some(std::time::Duration::from_secs(90)))));
        assert_eq!((file.keep_last, file.keep_daily), (Some(Whole(3)), Some(Whole(4))));
    }
}
