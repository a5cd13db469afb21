//! How the service runs, with everything filled in that nobody has set. Shown, it is a file that sets the same.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(not(feature = "age"))]
use crate::Error;
#[cfg(feature = "age")]
use crate::face::cli::input;
use crate::face::cli::rules::{Rules, shown_rules};
use crate::face::cli::serve::settings::Knobs;
use crate::face::cli::serve::value::Size;
use crate::face::cli::value::{Span, toml_text, toml_texts};
use crate::face::http::{Access, Limits, Live, Token};
use crate::files;
use crate::service::free_space::MIN_FREE;
use crate::service::instance::Setup;
use crate::service::webhook::Webhook;
use crate::{ExportOptions, Policy, Result};

/// Where the token may stand instead of in a file. No option holds it: everybody can see what was typed.
const TOKEN: &str = "HIVEKEEP_TOKEN";
/// As long as a client may be silent when nothing is set to end it; the timers take no more.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How the service runs.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) store: Option<PathBuf>,
    pub(super) listen: String,
    backup_interval: Span,
    archive_every: Span,
    archive_dir: Option<PathBuf>,
    archive_must_exist: bool,
    archive_recipient: Vec<String>,
    archive_passphrase_file: Option<PathBuf>,
    rules: Rules,
    no_retention: Option<bool>,
    purge_finished: Span,
    priority_aging: Span,
    history: Span,
    event_log: Option<PathBuf>,
    token_file: Option<PathBuf>,
    pub(super) insecure_no_token: bool,
    access: Access,
    max_body: Size,
    min_free: Size,
    stale_after: Span,
    on_failure: Option<String>,
    failure_url: Option<Webhook>,
    reopen_timeout: Span,
    client_timeout: Span,
}

impl From<Knobs> for Settings {
    fn from(knobs: Knobs) -> Self {
        let span = |seconds| Span(Some(Duration::from_secs(seconds)));
        Self {
            store: knobs.store.clone(),
            rules: knobs.rules(),
            listen: knobs.listen.unwrap_or_else(|| "127.0.0.1:8001".to_owned()),
            backup_interval: knobs.backup_interval.unwrap_or(span(10 * 60)),
            archive_every: knobs.archive_every.unwrap_or(span(10 * 60)),
            archive_dir: knobs.archive_dir,
            archive_must_exist: knobs.archive_must_exist.unwrap_or_default(),
            archive_recipient: knobs.archive_recipient,
            archive_passphrase_file: knobs.archive_passphrase_file,
            no_retention: knobs.no_retention,
            purge_finished: knobs.purge_finished.unwrap_or(Span(None)),
            priority_aging: knobs.priority_aging.unwrap_or(Span(None)),
            history: knobs.history.unwrap_or(Span(None)),
            event_log: knobs.event_log,
            token_file: knobs.token_file,
            insecure_no_token: knobs.insecure_no_token.unwrap_or_default(),
            access: Access { hosts: knobs.allow_host, origins: knobs.allow_origin },
            max_body: knobs.max_body.unwrap_or(Size(64 << 20)),
            min_free: knobs.min_free.unwrap_or(Size(MIN_FREE)),
            stale_after: knobs.stale_after.unwrap_or(span(30)),
            on_failure: knobs.on_failure,
            failure_url: knobs.failure_url,
            reopen_timeout: knobs.reopen_timeout.unwrap_or(span(5 * 60)),
            client_timeout: knobs.client_timeout.unwrap_or(span(30)),
        }
    }
}

impl Settings {
    /// Which of the settings that hold until the service is started again are others than these.
    pub(super) fn that_wait_for_a_start(&self, new: &Self) -> impl Iterator<Item = &'static str> {
        let differ = [
            ("store", self.store != new.store),
            ("listen", self.listen != new.listen),
            ("history", self.history != new.history),
            ("stale-after", self.stale_after != new.stale_after),
            ("reopen-timeout", self.reopen_timeout != new.reopen_timeout),
        ];
        differ.into_iter().filter_map(|(name, differs)| differs.then_some(name))
    }

    /// How the instance runs.
    ///
    /// # Errors
    ///
    /// `Invalid` when archives cannot be encrypted so; `Io` when the passphrase cannot be read.
    pub(super) fn setup(&self) -> Result<Setup> {
        Ok(Setup {
            backup_interval: self.backup_interval.0.filter(|interval| !interval.is_zero()),
            policy: self.policy(),
            purge_finished: self.purge_finished.0,
            priority_aging: self.priority_aging.0.filter(|period| !period.is_zero()),
            history: self.history.0,
            stale_mark: self.stale_after.0,
            event_log: self.event_log.clone(),
            on_failure: self.on_failure.clone(),
            failure_url: self.failure_url.clone(),
            min_free: self.min_free.0,
            archive_every: self.archive_every.0.filter(|every| !every.is_zero()),
            archive_dir: self.archive_dir.clone(),
            reopen_timeout: self.reopen_timeout.0,
            archive_must_exist: self.archive_must_exist,
            archive_sealed: self.sealed()?,
        })
    }

    /// For whom archives are encrypted.
    #[cfg(feature = "age")]
    fn sealed(&self) -> Result<ExportOptions> {
        let mut given = self.archive_recipient.iter();
        let options = given.try_fold(ExportOptions::new(), |options, recipient| options.recipient(recipient))?;
        match &self.archive_passphrase_file {
            Some(file) => options.passphrase(&input::text_file(file)?),
            None => Ok(options),
        }
    }

    /// Refuses what this build cannot do.
    #[cfg(not(feature = "age"))]
    fn sealed(&self) -> Result<ExportOptions> {
        if self.archive_recipient.is_empty() && self.archive_passphrase_file.is_none() {
            return Ok(ExportOptions::new());
        }
        Err(Error::invalid("archives cannot be encrypted: this program was built without the feature age"))
    }

    /// What is set of retention, over the usual rules; none while nothing is, so that the store's own policy holds.
    fn policy(&self) -> Option<Option<Policy>> {
        match self.no_retention {
            Some(true) => Some(None),
            None if !self.rules.are_given() => None,
            _ => Some(Some(self.rules.over(Policy::default()))),
        }
    }

    /// What requests are held against.
    ///
    /// # Errors
    ///
    /// As [`Settings::token`].
    pub(super) fn live(&self) -> Result<Live> {
        Ok(Live { token: self.token()?, access: self.access.clone(), limits: self.limits() })
    }

    /// What a client may ask for.
    fn limits(&self) -> Limits {
        let body_bytes = usize::try_from(self.max_body.0).unwrap_or(usize::MAX);
        Limits { body_bytes, silence: self.client_timeout.0.unwrap_or(FOREVER) }
    }

    /// The token that requests must show: of the file, or of the environment.
    ///
    /// # Errors
    ///
    /// `Invalid` when it can be guessed; `Io` when the file cannot be read.
    fn token(&self) -> Result<Option<Token>> {
        let text = match &self.token_file {
            Some(file) => {
                let text = files::read_text(file, files::SETTINGS_MAX);
                Some(text.map_err(|error| error.context("token file"))?)
            }
            None => std::env::var(TOKEN).ok().filter(|token| !token.is_empty()),
        };
        text.map(|text| Token::new(&text)).transpose()
    }
}

/// As a file that sets the same.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &dyn fmt::Display| toml_text(value);
        writeln!(f, "listen = {}", text(&self.listen))?;
        writeln!(f, "backup-interval = {}", text(&self.backup_interval))?;
        writeln!(f, "archive-every = {}", text(&self.archive_every))?;
        match self.policy() {
            Some(Some(policy)) => f.write_str(&shown_rules(&policy))?,
            Some(None) => writeln!(f, "no-retention = true")?,
            None => writeln!(f, "# the rules of retention are those of the store; see hivekeep point policy")?,
        }
        writeln!(f, "allow-host = {}", toml_texts(&self.access.hosts))?;
        writeln!(f, "allow-origin = {}", toml_texts(&self.access.origins))?;
        writeln!(f, "archive-must-exist = {}", self.archive_must_exist)?;
        writeln!(f, "archive-recipient = {}", toml_texts(&self.archive_recipient))?;
        writeln!(f, "purge-finished = {}", text(&self.purge_finished))?;
        writeln!(f, "priority-aging = {}", text(&self.priority_aging))?;
        writeln!(f, "history = {}", text(&self.history))?;
        writeln!(f, "stale-after = {}", text(&self.stale_after))?;
        writeln!(f, "max-body = {}", text(&self.max_body))?;
        writeln!(f, "min-free = {}", text(&self.min_free))?;
        writeln!(f, "reopen-timeout = {}", text(&self.reopen_timeout))?;
        writeln!(f, "client-timeout = {}", text(&self.client_timeout))?;
        writeln!(f, "insecure-no-token = {}", self.insecure_no_token)?;
        for (name, value) in [
            ("store", &self.store),
            ("archive-dir", &self.archive_dir),
            ("archive-passphrase-file", &self.archive_passphrase_file),
            ("event-log", &self.event_log),
            ("token-file", &self.token_file),
        ] {
            match value {
                Some(path) => writeln!(f, "{name} = {}", toml_text(path.display()))?,
                None => writeln!(f, "# {name} is not set")?,
            }
        }
        match &self.failure_url {
            Some(url) => writeln!(f, "failure-url = {}", text(url))?,
            None => writeln!(f, "# failure-url is not set")?,
        }
        match &self.on_failure {
            Some(command) => writeln!(f, "on-failure = {}", text(command)),
            None => writeln!(f, "# on-failure is not set"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::cli::value::Count;

    #[test]
    fn what_is_printed_is_a_file_that_sets_the_same() {
        let knobs = Knobs {
            failure_url: Some("http://localhost:9/hooks".parse().unwrap()),
            on_failure: Some("logger \"hive\\keep\" \u{1b}\u{7f}\u{9b}31m\u{202e}\u{e0041}\n\tgröße".into()),
            keep_tag: vec!["a=b".into(), "c".into()],
            allow_host: vec!["fleet.example".parse().unwrap(), "[fd00::7]:8001".parse().unwrap()],
            allow_origin: vec!["https://fleet.example".parse().unwrap()],
            event_log: Some("/var/log/events.jsonl".into()),
            no_thinning: Some(true),
            ..Knobs::default()
        };
        let on_failure = knobs.on_failure.clone();
        let printed = Settings::from(knobs).to_string();
        let again: Knobs = toml::from_str(&printed).unwrap();
        assert_eq!(again.on_failure, on_failure);
        assert_eq!(Settings::from(again).to_string(), printed);
        assert!(
            !printed.contains(|c| c != '\n' && crate::text::is_hidden(c)),
            "what is printed would be escaped again"
        );
    }

    #[test]
    fn rules_that_are_given_stand_over_the_usual_ones_and_without_any_the_store_has_its_own() {
        assert_eq!(Settings::from(Knobs::default()).policy(), None);
        let knobs = Knobs { keep_count: Some(Count(Some(5))), ..Knobs::default() };
        let five = Policy { cap: Some(5), ..Policy::default() };
        assert_eq!(Settings::from(knobs).policy(), Some(Some(five)));
        let retention = |no| Settings::from(Knobs { no_retention: Some(no), ..Knobs::default() }).policy();
        assert_eq!((retention(true), retention(false)), (Some(None), Some(Some(Policy::default()))));
        let thinned = Knobs { no_thinning: Some(false), ..Knobs::default() };
        assert_eq!(Settings::from(thinned).policy(), Some(Some(Policy::default())));
    }

    #[test]
    fn settings_that_hold_from_the_next_start_on_are_told_from_those_that_hold_at_once() {
        let settings = |text: &str| Settings::from(toml::from_str::<Knobs>(text).unwrap());
        let changed = |text: &str| settings("").that_wait_for_a_start(&settings(text)).collect::<Vec<_>>();
        assert_eq!(changed("store = \"b\"\nlisten = \"127.0.0.1:9\"\nmax-body = 1"), ["store", "listen"]);
        let times = "history = \"1h\"\nstale-after = \"1h\"\nreopen-timeout = \"1h\"\nbackup-interval = \"1h\"";
        assert_eq!(changed(times), ["history", "stale-after", "reopen-timeout"]);
        assert!(changed("listen = \"127.0.0.1:8001\"").is_empty(), "that is the usual one");
    }
}
