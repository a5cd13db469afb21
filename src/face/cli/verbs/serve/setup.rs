//! The effect of the settings on the service, and their defaults.

use std::time::Duration;

#[cfg(feature = "age")]
use crate::face::cli::parsing::input;
use crate::face::cli::parsing::value::{Count, Span};
use crate::face::cli::verbs::rules::Rules;
use crate::face::cli::verbs::serve::settings::Settings;
use crate::face::cli::verbs::serve::value::Size;
use crate::face::http::{Access, Band, Limits, Live, RateLimits, Reach, Tls, Token};
use crate::files;
use crate::service::free_space::MIN_FREE;
use crate::service::replication::ReplicaSetup;
use crate::service::setup::Setup;
use crate::{Durability, Error, ExportOptions, Policy, Result, Sharing};

/// The environment variable that may contain the token. There is no option for it, since every user can see the
/// arguments of a process.
const TOKEN: &str = "HIVEKEEP_TOKEN";
/// The timeout of a client if it is off; the timers accept no longer one.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Settings {
    /// These settings, and the defaults of the others. A service that ships to a replica has the store for itself,
    /// unless it is told otherwise.
    pub(super) fn over_defaults(self) -> Self {
        let shares_log = self.shared_log == Some(true);
        let filled = self.over(Self::defaults());
        let exclusive = filled.exclusive.unwrap_or(filled.replica.is_some() && !shares_log);
        Self { exclusive: Some(exclusive), shared_log: Some(shares_log), ..filled }
    }

    /// The settings that have a default.
    fn defaults() -> Self {
        let span = |seconds| Some(Span(Some(Duration::from_secs(seconds))));
        let off = Some(Span(None));
        Self {
            listen: Some("127.0.0.1:8001".to_owned()),
            backup_interval: span(10 * 60),
            archive_every: span(10 * 60),
            purge_finished: off,
            priority_aging: off,
            history: off,
            max_body: Some(Size(16 << 20)),
            request_memory: Some(Size(256 << 20)),
            min_free: Some(Size(MIN_FREE)),
            stale_after: span(30),
            reopen_timeout: span(5 * 60),
            client_timeout: span(30),
            replica_interval: span(1),
            replica_keep: span(7 * 24 * 60 * 60),
            replica_drill: span(7 * 24 * 60 * 60),
            replica_write_limit: span(30),
            replica_lease: off,
            durability: Some(Durability::Disk),
            archive_must_exist: Some(false),
            insecure_no_token: Some(false),
            insecure_no_tls: Some(false),
            ..Self::default()
        }
    }

    /// How the service may be reached if it asks for keys or not.
    pub(super) fn reach(&self, asks: bool) -> Reach {
        Reach {
            asks,
            is_tls: self.tls_cert.is_some(),
            insecure_no_token: self.insecure_no_token == Some(true),
            insecure_no_tls: self.insecure_no_tls == Some(true),
        }
    }
}

impl Settings {
    /// The names of settings that differ in `new` and apply from the next start of the service on.
    pub(super) fn that_wait_for_a_start(&self, new: &Self) -> impl Iterator<Item = &'static str> {
        let differ = [
            ("store", self.store != new.store),
            ("listen", self.listen != new.listen),
            ("exclusive", self.exclusive != new.exclusive),
            ("shared-log", self.shared_log != new.shared_log),
            ("durability", self.durability != new.durability),
            ("history", self.history != new.history),
            ("stale-after", self.stale_after != new.stale_after),
            ("reopen-timeout", self.reopen_timeout != new.reopen_timeout),
            ("replica", self.replica != new.replica),
            ("replica-interval", self.replica_interval != new.replica_interval),
            ("replica-keep", self.replica_keep != new.replica_keep),
            ("replica-drill", self.replica_drill != new.replica_drill),
            ("replica-write-limit", self.replica_write_limit != new.replica_write_limit),
            ("replica-lease", self.replica_lease != new.replica_lease),
            ("replica-identity", self.replica_identity != new.replica_identity),
        ];
        differ.into_iter().filter_map(|(name, differs)| differs.then_some(name))
    }

    /// The setup of the instance.
    ///
    /// # Errors
    ///
    /// `Invalid` if archives cannot be encrypted like this; `Io` if the passphrase cannot be read.
    pub(super) fn setup(&self) -> Result<Setup> {
        Ok(Setup {
            backup_interval: interval(self.backup_interval),
            policy: self.policy(),
            purge_finished: time(self.purge_finished),
            priority_aging: interval(self.priority_aging),
            sharing: self.sharing(),
            durability: self.durability()?,
            history: time(self.history),
            stale_mark: time(self.stale_after),
            event_log: self.event_log.clone(),
            on_failure: self.on_failure.clone(),
            failure_url: self.failure_url.clone(),
            min_free: self.min_free.map_or(0, |size| size.0),
            archive_every: interval(self.archive_every),
            archive_dir: self.archive_dir.clone(),
            reopen_timeout: time(self.reopen_timeout),
            archive_must_exist: self.archive_must_exist == Some(true),
            replica: self.replica_setup()?,
            archive_sealed: self.sealed()?,
        })
    }

    /// Whether the service has the store for itself.
    fn is_alone(&self) -> bool {
        self.exclusive == Some(true)
    }

    /// Which other programs may have the store open.
    fn sharing(&self) -> Sharing {
        match (self.is_alone(), self.shared_log) {
            (true, _) => Sharing::Exclusive,
            (false, Some(true)) => Sharing::SharedLog,
            (false, _) => Sharing::Shared,
        }
    }

    /// Where the store is shipped to.
    fn replica_setup(&self) -> Result<Option<ReplicaSetup>> {
        let Some(location) = self.replica.clone() else {
            return match (&self.replica_identity, time(self.replica_lease)) {
                (None, None) => Ok(None),
                (Some(_), _) => {
                    Err(Error::invalid("replica-identity is for a service with replica; leave it out, or set both"))
                }
                (None, Some(_)) => {
                    Err(Error::invalid("replica-lease is for a service with replica; leave it out, or set both"))
                }
            };
        };
        let interval = interval(self.replica_interval).ok_or_else(|| {
            Error::invalid("replica-interval must be a time above 0; leave replica out for no replica")
        })?;
        let keep = time(self.replica_keep).ok_or_else(|| {
            Error::invalid("replica-keep must be a time; a replica does not keep every moment for ever")
        })?;
        let write_limit = time(self.replica_write_limit).filter(|limit| !limit.is_zero()).ok_or_else(|| {
            Error::invalid("replica-write-limit must be a time above 0; a write cannot wait for ever")
        })?;
        let (drill_every, identity) = (time(self.replica_drill), self.replica_identity.clone());
        let lease = time(self.replica_lease);
        if lease.is_some() && !self.is_alone() {
            let message = "replica-lease is for a store that the service has for itself; leave out exclusive=false and \
                 shared-log, or it";
            return Err(Error::invalid(message));
        }
        Ok(Some(ReplicaSetup { location, interval, write_limit, identity, keep, drill_every, lease }))
    }

    /// When a write is answered, which is chosen where the service has a log alone.
    fn durability(&self) -> Result<Durability> {
        match self.durability.unwrap_or_default() {
            Durability::System if !self.is_alone() => Err(Error::invalid(
                "durability system is for a store that the service has for itself; set exclusive too, or leave it out",
            )),
            Durability::Replicated if self.replica.is_none() => Err(Error::invalid(
                "durability replicated is for a service with replica; set replica too, or leave it out",
            )),
            durability => Ok(durability),
        }
    }

    /// The recipients or the passphrase of archives.
    #[cfg(feature = "age")]
    fn sealed(&self) -> Result<ExportOptions> {
        let mut given = self.archive_recipient.iter();
        let options = given.try_fold(ExportOptions::new(), |options, recipient| options.recipient(recipient))?;
        match &self.archive_passphrase_file {
            Some(file) => options.passphrase(&input::text_file(file)?),
            None => Ok(options),
        }
    }

    /// Refuses encryption, which this build does not contain.
    #[cfg(not(feature = "age"))]
    fn sealed(&self) -> Result<ExportOptions> {
        if self.archive_recipient.is_empty() && self.archive_passphrase_file.is_none() {
            return Ok(ExportOptions::new());
        }
        Err(Error::invalid("archives cannot be encrypted: this program was built without the feature age"))
    }

    /// The retention policy: the given rules over the defaults; none without rules, so that the policy of the store
    /// applies. A switch that is off is no rule: it overrides one that is on, and no policy of the store.
    pub(super) fn policy(&self) -> Option<Option<Policy>> {
        if self.no_retention == Some(true) {
            return Some(None);
        }
        let rules = Rules { no_thinning: self.no_thinning.filter(|is_on| *is_on), ..self.rules() };
        rules.are_given().then(|| Some(rules.over(Policy::default())))
    }

    /// Whether requests need a key even if the store has none.
    pub(super) fn asks_always(&self, is_public: bool) -> bool {
        is_public && self.insecure_no_token != Some(true)
    }

    /// The token, the access rules and the limits of requests.
    ///
    /// # Errors
    ///
    /// As [`Settings::token`].
    pub(super) fn live(&self) -> Result<Live> {
        let (hosts, origins) = (self.allow_host.clone(), self.allow_origin.clone());
        let access = Access { hosts, origins, is_tls: self.tls_cert.is_some() };
        let (limits, rates) = (self.limits(), self.rates());
        let (token, tls, band) = (self.token()?, self.tls()?, self.band()?);
        Ok(Live { token, access, limits, rates, asks_always: false, tls, band, settings: self.in_words() })
    }

    /// The name and the colour of the page.
    ///
    /// # Errors
    ///
    /// `Invalid` if this program has no page to show them on.
    fn band(&self) -> Result<Band> {
        let band = Band { name: self.name.clone(), colour: self.colour };
        if cfg!(feature = "page") || band == Band::default() {
            return Ok(band);
        }
        Err(Error::invalid("there is no page to name or colour: this program was built without the feature page"))
    }

    /// How much one key or client may ask for.
    fn rates(&self) -> RateLimits {
        let said = |count: Option<Count>| count.map(|count| count.0.filter(|count| *count > 0));
        RateLimits { requests_per_second: said(self.rate_limit), points_per_hour: said(self.point_limit) }
    }

    /// The certificate of the service.
    fn tls(&self) -> Result<Option<Tls>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificates), Some(key)) => Tls::read(certificates, key).map(Some),
            _ => Ok(None),
        }
    }

    /// The limits of requests.
    fn limits(&self) -> Limits {
        let bytes = |size: Option<Size>| size.and_then(|size| usize::try_from(size.0).ok()).unwrap_or(usize::MAX);
        let (body_bytes, memory_bytes) = (bytes(self.max_body), bytes(self.request_memory));
        Limits { body_bytes, memory_bytes, silence: time(self.client_timeout).unwrap_or(FOREVER) }
    }

    /// The token that requests must send, from the file or the environment.
    ///
    /// # Errors
    ///
    /// `Invalid` if it is easy to guess, or others can read its file; `Io` if the file cannot be read.
    fn token(&self) -> Result<Option<Token>> {
        let text = match &self.token_file {
            Some(file) => {
                let text = files::read_secret(file, files::SETTINGS_MAX);
                Some(text.map_err(|error| error.context("token file"))?)
            }
            None => std::env::var(TOKEN).ok().filter(|token| !token.is_empty()),
        };
        text.map(|text| Token::new(&text)).transpose()
    }
}

/// A duration; none if it is off.
fn time(span: Option<Span>) -> Option<Duration> {
    span.and_then(|span| span.0)
}

/// The same for an interval, which is off at 0 too.
fn interval(span: Option<Span>) -> Option<Duration> {
    time(span).filter(|interval| !interval.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(settings: Settings) -> Settings {
        settings.over_defaults()
    }

    #[test]
    fn the_printed_settings_are_a_file_with_the_same_settings() {
        let settings = Settings {
            failure_url: Some("http://localhost:9/hooks".parse().unwrap()),
            on_failure: Some("logger \"hive\\keep\" \u{1b}\u{7f}\u{9b}31m\u{202e}\u{e0041}\n\tgröße".into()),
            keep_tag: vec!["a=b".into(), "c".into()],
            allow_host: vec!["fleet.example".parse().unwrap(), "[fd00::7]:8001".parse().unwrap()],
            allow_origin: vec!["https://fleet.example".parse().unwrap()],
            event_log: Some("/var/log/events.jsonl".into()),
            no_thinning: Some(true),
            ..Settings::default()
        };
        let on_failure = settings.on_failure.clone();
        let printed = filled(settings).to_string();
        let again: Settings = toml::from_str(&printed).unwrap();
        assert_eq!(again.on_failure, on_failure);
        assert_eq!(filled(again).to_string(), printed);
        assert!(
            !printed.contains(|c| c != '\n' && crate::text::is_hidden(c)),
            "the output would be escaped a second time"
        );
    }

    #[test]
    fn given_rules_replace_the_defaults_and_without_any_the_policy_of_the_store_applies() {
        assert_eq!(filled(Settings::default()).policy(), None);
        let settings = Settings { keep_count: Some(Count(Some(5))), ..Settings::default() };
        let five = Policy { cap: Some(5), ..Policy::default() };
        assert_eq!(filled(settings).policy(), Some(Some(five)));
        let retention = |no| filled(Settings { no_retention: Some(no), ..Settings::default() }).policy();
        assert_eq!((retention(true), retention(false)), (Some(None), None));
        let thinned = Settings { no_thinning: Some(false), ..Settings::default() };
        assert_eq!(filled(thinned).policy(), None);
    }

    #[test]
    fn a_write_waits_for_a_replica_only_where_there_is_one() {
        let durability = |text: &str| filled(toml::from_str(text).unwrap()).setup().map(|setup| setup.durability);
        let refused = durability("durability = \"replicated\"\nexclusive = true").unwrap_err();
        assert!(refused.to_string().contains("replica"), "{refused}");
        let with_one = "durability = \"replicated\"\nreplica = \"there\"";
        assert_eq!(durability(with_one).unwrap(), Durability::Replicated);
        for wrong in ["off", "0s"] {
            durability(&format!("{with_one}\nreplica-write-limit = \"{wrong}\"")).unwrap_err();
        }
    }

    #[test]
    fn a_service_with_a_replica_has_the_store_for_itself_unless_it_is_told_otherwise() {
        for (text, sharing) in [
            ("", Sharing::Shared),
            ("exclusive = true", Sharing::Exclusive),
            ("shared-log = true", Sharing::SharedLog),
            ("exclusive = true\nshared-log = false", Sharing::Exclusive),
            ("replica = \"/r\"", Sharing::Exclusive),
            ("replica = \"/r\"\nexclusive = false", Sharing::Shared),
            ("replica = \"/r\"\nshared-log = true", Sharing::SharedLog),
            ("replica = \"/r\"\nexclusive = false\nshared-log = true", Sharing::SharedLog),
        ] {
            let settings = filled(toml::from_str(text).unwrap());
            assert_eq!(settings.setup().unwrap().sharing, sharing, "{text}");
            let (is_alone, shares_log) = (sharing == Sharing::Exclusive, sharing == Sharing::SharedLog);
            let printed = settings.to_string();
            assert!(
                printed.contains(&format!("exclusive = {is_alone}\nshared-log = {shares_log}\n")),
                "{text}: {printed}"
            );
            assert_eq!(filled(toml::from_str(&printed).unwrap()).to_string(), printed);
        }
    }

    #[test]
    fn changed_settings_that_a_reload_does_not_apply_are_listed() {
        let settings = |text: &str| filled(toml::from_str(text).unwrap());
        let changed = |text: &str| settings("").that_wait_for_a_start(&settings(text)).collect::<Vec<_>>();
        assert_eq!(changed("store = \"b\"\nlisten = \"127.0.0.1:9\"\nmax-body = 1"), ["store", "listen"]);
        let times = "history = \"1h\"\nstale-after = \"1h\"\nreopen-timeout = \"1h\"\nbackup-interval = \"1h\"";
        assert_eq!(changed(times), ["history", "stale-after", "reopen-timeout"]);
        assert!(changed("listen = \"127.0.0.1:8001\"").is_empty(), "the default did not change");
    }
}
