//! The settings of the service: each is a flag, else an environment variable, else a line of the settings file. One
//! list defines all three, and what `--print-config` prints.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::FalseyValueParser;
use serde::{Deserialize, Serialize, Serializer};
use toml::Value;

use crate::face::cli::parsing::value::{Count, Span, Whole, toml_text, toml_texts};
use crate::face::cli::verbs::rules::{Rules, shown_rules, with_rules};
use crate::face::cli::verbs::serve::value::Size;
use crate::face::http::{AllowedHost, BandColour, BandName, Origin};
use crate::files;
use crate::service::webhook::Webhook;
use crate::{Durability, Error, Result};

/// Settings that may hold a password, or say where one lies.
const SECRET: [&str; 6] =
    ["on-failure", "failure-url", "token-file", "tls-key", "archive-passphrase-file", "replica-identity"];

/// Whether a setting is a rule of retention, which the store has.
fn is_rule(name: &str) -> bool {
    name.starts_with("keep-") || name == "no-thinning"
}

/// Defines the settings: rules of retention, other values, paths, lists, and switches.
macro_rules! settings {
    (
        rules { $($(#[doc = $rule_about:literal])* $rule:ident: $rule_type:ty = $rule_name:literal, $rule_shown:literal;)* }
        values { $($(#[doc = $about:literal])* $value:ident: $type:ty = $name:literal, $shown:literal;)* }
        paths { $($(#[doc = $path_about:literal])* $path:ident = $path_name:literal, $path_shown:literal;)* }
        lists { $($(#[doc = $list_about:literal])* $list:ident: $item:ty = $list_name:literal, $list_shown:literal;)* }
        switches { $($(#[doc = $switch_about:literal])* $switch:ident = $switch_name:literal;)* }
    ) => {
        /// The settings that are set; the others are none, or empty.
        #[derive(Clone, Debug, Default, Args, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct Settings {
            $($(#[doc = $rule_about])* #[arg(long, env = $rule_name, value_name = $rule_shown)]
            #[serde(skip_serializing)] pub(super) $rule: Option<$rule_type>,)*
            $($(#[doc = $about])* #[arg(long, env = $name, value_name = $shown)]
            #[serde(serialize_with = "as_text")] pub(super) $value: Option<$type>,)*
            $($(#[doc = $path_about])* #[arg(long, env = $path_name, value_name = $path_shown)]
            #[serde(serialize_with = "path_as_text")] pub(super) $path: Option<PathBuf>,)*
            $($(#[doc = $list_about])* #[arg(long, env = $list_name, value_name = $list_shown, value_delimiter = ',')]
            #[serde(serialize_with = "as_texts")] pub(super) $list: Vec<$item>,)*
            $($(#[doc = $switch_about])* #[arg(
                long, env = $switch_name, value_parser = FalseyValueParser::new(), num_args = 0..=1,
                require_equals = true, default_missing_value = "true", value_name = "true|false"
            )] pub(super) $switch: Option<bool>,)*
            /// The store, if neither an option nor the environment names it; in the file only.
            #[arg(skip)]
            #[serde(serialize_with = "path_as_text")]
            pub(super) store: Option<PathBuf>,
        }

        impl Settings {
            /// These settings, and the others from `below`. The rules of retention of `below` count only if this does
            /// not switch retention off, and the other way round. So do the two ways to have a log.
            pub(super) fn over(self, mut below: Self) -> Self {
                if self.no_retention == Some(true) {
                    below.forget_rules();
                } else if self.rules().are_given() {
                    below.no_retention = None;
                }
                match (self.exclusive, self.shared_log) {
                    (Some(true), _) => below.shared_log = None,
                    (_, Some(true)) => below.exclusive = None,
                    _ => {}
                }
                Self {
                    $($rule: self.$rule.or(below.$rule),)*
                    $($value: self.$value.or(below.$value),)*
                    $($path: self.$path.or(below.$path),)*
                    $($list: if self.$list.is_empty() { below.$list } else { self.$list },)*
                    $($switch: self.$switch.or(below.$switch),)*
                    store: self.store.or(below.store),
                }
            }

            fn forget_rules(&mut self) {
                $(self.$rule = None;)*
                (self.keep_tag, self.no_thinning) = (Vec::new(), None);
            }

            /// The rules of retention that are set.
            pub(super) fn rules(&self) -> Rules {
                let (keep_tag, no_thinning) = (self.keep_tag.clone(), self.no_thinning);
                Rules { $($rule: self.$rule,)* keep_tag, no_thinning }
            }
        }
    };
}

with_rules! { settings {
    values {
    /// The address to listen on, where port 0 selects a free one, or unix:PATH for a Unix
    /// socket [default: 127.0.0.1:8001]
    listen: String = "HIVEKEEP_LISTEN", "ADDRESS";
    /// The interval of automatic backups, or off [default: 10m]
    backup_interval: Span = "HIVEKEEP_BACKUP_INTERVAL", "TIME";
    /// Purge tasks that have been done, failed, dead or cancelled for longer than this, or off [default: off]
    purge_finished: Span = "HIVEKEEP_PURGE_FINISHED", "AGE";
    /// Raise the priority of a task in claims by one for each such time that it has been ready, or off [default: off]
    priority_aging: Span = "HIVEKEEP_PRIORITY_AGING", "TIME";
    /// Keep every commit of the service in this time as a point that can be read and restored, or off; commits that
    /// other programs make through the file merge into the next one [default: off]
    history: Span = "HIVEKEEP_HISTORY", "TIME";
    /// Make archives so that the state in the newest one is never older than this, or off [default: 10m]
    archive_every: Span = "HIVEKEEP_ARCHIVE_EVERY", "TIME";
    /// The maximum size of a request body [default: 16MiB]
    max_body: Size = "HIVEKEEP_MAX_BODY", "SIZE";
    /// The memory that the bodies and answers of all requests may take together; more are refused with 503,
    /// except small ones [default: 256MiB]
    request_memory: Size = "HIVEKEEP_REQUEST_MEMORY", "SIZE";
    /// The requests per second of one key, or of one address where no key is shown; five times as many at once, or off
    /// [default: 1000, and no limit for programs of this machine without a key]
    rate_limit: Count = "HIVEKEEP_RATE_LIMIT", "NUMBER";
    /// The points and backups that one key or address may make in an hour, or off [default: 200, in the same way]
    point_limit: Count = "HIVEKEEP_POINT_LIMIT", "NUMBER";
    /// Refuse to make a point with less free space than this [default: 16MiB]
    min_free: Size = "HIVEKEEP_MIN_FREE", "SIZE";
    /// Report a crash if a process is found dead and its mark of a clean shutdown is older than this, or off [default:
    /// 30s]
    stale_after: Span = "HIVEKEEP_STALE_AFTER", "TIME";
    /// Run this command when a backup, archive, retention run or check fails, with
    /// HIVEKEEP_FAILED and HIVEKEEP_ERROR set
    on_failure: String = "HIVEKEEP_ON_FAILURE", "COMMAND";
    /// Post the event of such a failure to this URL as JSON; http only, for https let --on-failure run curl
    failure_url: Webhook = "HIVEKEEP_FAILURE_URL", "URL";
    /// Exit with code 1 if a failure has closed the store's file and it could not be reopened for this time, or off
    /// [default: 5m]
    reopen_timeout: Span = "HIVEKEEP_REOPEN_TIMEOUT", "TIME";
    /// Disconnect a client that sends no request, or reads no answer, for this time [default: 30s]
    client_timeout: Span = "HIVEKEEP_CLIENT_TIMEOUT", "TIME";
    /// Answer a write once it is on the disk (disk), once the replica has it too (replicated, which needs replica), or
    /// once the system has it (system, which needs exclusive: a power cut may take the writes of the last 100 ms, and a
    /// kill none) [default: disk]
    durability: Durability = "HIVEKEEP_DURABILITY", "replicated|disk|system";
    /// The time for which a write waits for the replica with durability replicated [default: 30s]
    replica_write_limit: Span = "HIVEKEEP_REPLICA_WRITE_LIMIT", "TIME";
    /// Ship every commit to this replica, such as s3://bucket/prefix or a folder; hivekeep replica init makes one. The
    /// service then has the store for itself, unless exclusive is false or shared-log is true
    replica: String = "HIVEKEEP_REPLICA", "LOCATION";
    /// The interval of shipping: the most that the loss of the machine costs [default: 1s]
    replica_interval: Span = "HIVEKEEP_REPLICA_INTERVAL", "TIME";
    /// How long the replica keeps history [default: 7d]
    replica_keep: Span = "HIVEKEEP_REPLICA_KEEP", "TIME";
    /// Restore a random moment of the replica beside the store this often, compare it and remove it, or off [default:
    /// 7d]
    replica_drill: Span = "HIVEKEEP_REPLICA_DRILL", "TIME";
    /// Write only while the replica answers, so that a standby with --promote can take over after this time without a
    /// sign, or off [default: off]
    replica_lease: Span = "HIVEKEEP_REPLICA_LEASE", "TIME";
    /// The name that the page shows in a band on every screen, such as prod
    name: BandName = "HIVEKEEP_NAME", "NAME";
    /// The colour of that band: red, orange, yellow, green, blue, purple or grey
    colour: BandColour = "HIVEKEEP_COLOUR", "COLOUR";
    }
    paths {
    /// The folder of the archives, best on another disk [default: hivekeep-archives beside the store]
    archive_dir = "HIVEKEEP_ARCHIVE_DIR", "DIR";
    /// Encrypt archives with the passphrase in this file
    archive_passphrase_file = "HIVEKEEP_ARCHIVE_PASSPHRASE_FILE", "FILE";
    /// Also append the events to this file, one JSON object per line
    event_log = "HIVEKEEP_EVENT_LOG", "FILE";
    /// Read an encrypted replica with the age identity in this file; needed if another machine has written to it
    replica_identity = "HIVEKEEP_REPLICA_IDENTITY", "FILE";
    /// The file with the token that requests must send; HIVEKEEP_TOKEN can contain the token itself
    token_file = "HIVEKEEP_TOKEN_FILE", "FILE";
    /// Serve over TLS with the certificates in this PEM file, the service's own first; a reload reads them again
    tls_cert = "HIVEKEEP_TLS_CERT", "FILE";
    /// The private key of the certificate, in PEM
    tls_key = "HIVEKEEP_TLS_KEY", "FILE";
    }
    lists {
    /// Keep points with this tag; repeat for several tags
    keep_tag: String = "HIVEKEEP_KEEP_TAG", "NAME[=VALUE]";
    /// Encrypt archives to this recipient, age1...; repeat for several recipients
    archive_recipient: String = "HIVEKEEP_ARCHIVE_RECIPIENT", "RECIPIENT";
    /// Also answer requests for this host if no token is set, as behind a proxy; repeat for several hosts
    allow_host: AllowedHost = "HIVEKEEP_ALLOW_HOST", "HOST[:PORT]";
    /// Let pages of this origin use the service, such as https://fleet.example; repeat for several origins
    allow_origin: Origin = "HIVEKEEP_ALLOW_ORIGIN", "ORIGIN";
    }
    switches {
    /// Have the store for the service alone, so that each commit costs one sync; other programs ask the service
    /// [default: false, and true with replica]
    exclusive = "HIVEKEEP_EXCLUSIVE";
    /// Share a log with all other programs that open the store, so that each commit of any of them costs one sync;
    /// earlier versions of Hivekeep then refuse the store [default: false]
    shared_log = "HIVEKEEP_SHARED_LOG";
    /// Keep every automatic point of the kept age, up to the count
    no_thinning = "HIVEKEEP_NO_THINNING";
    /// Do not create the folder of the archives: fail if its disk is not mounted
    archive_must_exist = "HIVEKEEP_ARCHIVE_MUST_EXIST";
    /// Forget no point
    no_retention = "HIVEKEEP_NO_RETENTION";
    /// Let everybody who can reach the address read and change the store
    insecure_no_token = "HIVEKEEP_INSECURE_NO_TOKEN";
    /// Let other machines send keys without TLS, as behind a proxy that has it
    insecure_no_tls = "HIVEKEEP_INSECURE_NO_TLS";
    }
} }

/// The error of a settings file, with the line that it is about.
fn in_a_line(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().replace('\n', "; ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    format!("line {}: {message}: {line}", number + 1)
}

fn as_text<S: Serializer>(value: &Option<impl Display>, to: S) -> std::result::Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(to)
}

fn path_as_text<S: Serializer>(path: &Option<PathBuf>, to: S) -> std::result::Result<S::Ok, S::Error> {
    as_text(&path.as_ref().map(|path| path.display()), to)
}

fn as_texts<S: Serializer>(values: &[impl Display], to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(ToString::to_string))
}

impl Settings {
    /// Reads a settings file.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the line, for an unknown name or an invalid value, and for a contradiction; `Io`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = files::read_text(path, files::SETTINGS_MAX)?;
        let wrong = |source: toml::de::Error| Error::invalid(format!("{shown}: {}", in_a_line(&source, &text)));
        let settings: Self = toml::from_str(&text).map_err(wrong)?;
        settings.refuse_contradiction().map_err(|error| error.context(shown))?;
        Ok(settings)
    }

    /// Refuses settings of which one would have no effect because of another.
    ///
    /// # Errors
    ///
    /// `Invalid`, with their names.
    pub(super) fn refuse_contradiction(&self) -> Result<()> {
        if self.no_retention == Some(true) && self.rules().are_given() {
            return Err(Error::invalid(
                "no-retention forgets no point, and a keep rule would have no effect; leave one of them out",
            ));
        }
        if self.exclusive == Some(true) && self.shared_log == Some(true) {
            return Err(Error::invalid(
                "exclusive lets no other program open the store, and shared-log shares its log with them; leave one of \
                 them out",
            ));
        }
        for (name, size) in [("max-body", self.max_body), ("request-memory", self.request_memory)] {
            if size == Some(Size(0)) {
                return Err(Error::invalid(format!("a size of 0 would refuse every request; raise it: {name}=0")));
            }
        }
        if self.insecure_no_token == Some(true) && self.token_file.is_some() {
            return Err(Error::invalid(
                "insecure-no-token asks for no token, and token-file names one; leave one of them out",
            ));
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(Error::invalid("tls-cert and tls-key belong together; set both, or leave both out"));
        }
        if self.insecure_no_tls == Some(true) && self.tls_cert.is_some() {
            return Err(Error::invalid("insecure-no-tls is for a service without tls-cert; leave one of them out"));
        }
        Ok(())
    }

    /// The settings that are set, by name. A secret, and the path of one, are only said to be set. The
    /// rules of retention are left out, because the store has them.
    pub(super) fn in_words(&self) -> BTreeMap<String, String> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        let in_words = |(name, value): (String, Value)| {
            let text = match value {
                _ if SECRET.contains(&name.as_str()) => "set".to_owned(),
                Value::String(text) => text,
                Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
                Value::Boolean(on) => on.to_string(),
                _ => String::new(),
            };
            (name, text)
        };
        let own = table.into_iter().filter(|(name, _)| !is_rule(name));
        own.map(in_words).filter(|(_, text)| !text.is_empty()).collect()
    }

    /// The names of all settings, as a file writes them.
    fn names() -> Vec<String> {
        let options = Self::augment_args(clap::Command::new("serve"));
        let flags = options.get_arguments().filter_map(|option| option.get_long().map(str::to_owned));
        flags.chain(["store".to_owned()]).collect()
    }
}

/// The settings as a file that sets the same. Rules of retention are printed with the defaults of the others.
impl Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = toml::Table::try_from(self).map_err(|_| fmt::Error)?;
        match self.policy() {
            Some(Some(policy)) => f.write_str(&shown_rules(&policy))?,
            Some(None) => {}
            None => writeln!(f, "# the store has the rules of retention; see hivekeep point policy")?,
        }
        for name in Self::names().iter().filter(|name| !is_rule(name)) {
            match table.get(name) {
                Some(Value::String(text)) => writeln!(f, "{name} = {}", toml_text(text))?,
                Some(Value::Array(texts)) => {
                    writeln!(f, "{name} = {}", toml_texts(texts.iter().filter_map(Value::as_str)))?
                }
                Some(Value::Boolean(on)) => writeln!(f, "{name} = {on}")?,
                _ => writeln!(f, "# {name} is not set")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hivekeep.toml");
        std::fs::write(&path, text).unwrap();
        Settings::read(&path)
    }

    #[test]
    fn an_unknown_name_in_the_file_is_refused_with_the_known_ones() {
        let error = read("listen = \"127.0.0.1:1\"\nbackup-intervall = \"5m\"\n").unwrap_err().to_string();
        assert!(error.contains("backup-intervall") && error.contains("backup-interval"), "{error}");
        assert!(read("max-body = \"1 elephant\"").unwrap_err().to_string().contains("64MiB"));
        for (text, said) in [
            ("\nkeep-count = -1", "line 2: must be a non-negative integer, or off: text=-1: keep-count = -1"),
            (
                "keep-within = true",
                "line 1: invalid type: boolean `true`, expected a number or a string: keep-within = true",
            ),
            ("[listen", "line 1: "),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn options_override_the_file() {
        let file = read("listen = \"127.0.0.1:1\"\nkeep-count = 5\nno-thinning = true\nkeep-tag = [\"a=b\"]").unwrap();
        let typed = Settings { listen: Some("127.0.0.1:2".into()), ..Settings::default() };
        let both = typed.over(file);
        assert_eq!(both.listen.as_deref(), Some("127.0.0.1:2"));
        assert_eq!((both.keep_count, both.no_thinning), (Some(Count(Some(5))), Some(true)));
        assert_eq!(both.keep_tag, ["a=b"]);
    }

    #[test]
    fn a_switch_that_is_off_overrides_the_file() {
        let file = read("no-retention = true\narchive-must-exist = true").unwrap();
        let off = Settings { no_retention: Some(false), archive_must_exist: Some(false), ..Settings::default() };
        let both = off.over(file.clone());
        assert_eq!((both.no_retention, both.archive_must_exist), (Some(false), Some(false)));
        let rule = Settings { keep_last: Some(Whole(3)), ..Settings::default() };
        assert_eq!(rule.clone().over(file.clone()).no_retention, None, "a rule overrides no-retention in the file");
        assert_eq!(file.over(rule).keep_last, None);
        let switch = |text: &str| read(text).unwrap();
        let both = switch("exclusive = true").over(switch("shared-log = true"));
        assert_eq!((both.exclusive, both.shared_log), (Some(true), None));
        let both = switch("shared-log = true").over(switch("exclusive = true"));
        assert_eq!((both.exclusive, both.shared_log), (None, Some(true)));
    }

    #[test]
    fn contradictory_settings_are_refused_by_name() {
        let error = read("no-retention = true\nkeep-last = 3").unwrap_err().to_string();
        assert!(error.contains("hivekeep.toml") && error.contains("no-retention"), "{error}");
        assert!(read("no-retention = true\nno-thinning = false").is_err());
        let error = read("insecure-no-token = true\ntoken-file = \"t\"").unwrap_err().to_string();
        assert!(error.contains("insecure-no-token") && error.contains("token-file"), "{error}");
        let error = read("tls-cert = \"c\"").unwrap_err().to_string();
        assert!(error.contains("tls-cert") && error.contains("tls-key"), "{error}");
        assert!(read("no-retention = false\nkeep-last = 3\ntoken-file = \"t\"").is_ok());
        let error = read("exclusive = true\nshared-log = true").unwrap_err().to_string();
        assert!(error.contains("exclusive") && error.contains("shared-log"), "{error}");
        assert!(read("exclusive = false\nshared-log = true").is_ok());
    }

    #[test]
    fn the_file_names_the_store_and_accepts_numbers_with_or_without_quotes() {
        let file = read("store = \"fleet.redb\"\nbackup-interval = 90\nkeep-last = \"3\"\nkeep-daily = 4").unwrap();
        assert_eq!(file.store, Some("fleet.redb".into()));
        assert_eq!(file.backup_interval, Some(Span(Some(std::time::Duration::from_secs(90)))));
        assert_eq!((file.keep_last, file.keep_daily), (Some(Whole(3)), Some(Whole(4))));
    }
}
