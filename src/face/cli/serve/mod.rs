//! `serve`: the service, from opening the store to closing it.
//!
//! * [`settings`]: what can be set, by flag, environment or file
//! * [`setup`]: what follows from that, with everything filled in
//! * [`value`]: how sizes are written
//! * here: the run, and what it says as it begins

mod settings;
mod setup;
mod value;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap::builder::FalseyValueParser;
use jiff::tz::TimeZone;
use serde_json::json;

use self::settings::Knobs;
use self::setup::Settings;
use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::http::{self, Listener, Live, Renew, Served};
use crate::service::instance::Instance;
use crate::{Error, ErrorKind, Result, Session, SessionState, Store};

/// Open the store, or create it, and serve it over HTTP until stopped
///
/// It notices crashes, backs up every ten minutes, and keeps what retention says. SIGTERM and Ctrl-C end it cleanly, with
/// exit code 0. What is not given as an option is taken from the environment, then from the file of --config, where an
/// option is written without its dashes, with a time in seconds when it has no unit: backup-interval = "10m", store =
/// "fleet.redb", keep-count = 50. With --json the address is printed on standard output as JSON. SIGHUP, which a terminal
/// also sends that goes away, ends nothing: it has the file of --config and the token read anew. All but store, listen, history,
/// stale-after and reopen-timeout then hold at once; the log names those of them that were changed.
///
/// The store keeps the policy of retention. When one of its rules is set here, those that are set and the defaults of the
/// others become the store's policy; when none is, the store's own holds: see hivekeep point policy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep serve
  hivekeep serve --listen 127.0.0.1:9000
  hivekeep serve --backup-interval 5m --keep-within 30d --keep-count 500 --event-log events.jsonl
  hivekeep serve --listen 0.0.0.0:8001 --token-file /run/secrets/hivekeep
  hivekeep serve --allow-host fleet.example --allow-origin https://fleet.example
  hivekeep serve --config /etc/hivekeep.toml --print-config
  hivekeep serve --store fleet.redb")]
pub(super) struct Serve {
    #[command(flatten)]
    knobs: Knobs,
    /// A TOML file with what is not set otherwise; an unknown name in it is refused
    #[arg(long, value_name = "FILE", env = "HIVEKEEP_CONFIG")]
    config: Option<PathBuf>,
    /// Print what is set, as such a file, and end
    #[arg(long, env = "HIVEKEEP_PRINT_CONFIG", value_parser = FalseyValueParser::new())]
    print_config: bool,
}

impl Serve {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        self.knobs.refuse_contradiction()?;
        let store = context.is_named.then(|| context.path.clone());
        let source = Source { knobs: self.knobs, config: self.config, store };
        if self.print_config {
            context.out.file(source.read()?)?;
            return Ok(Exit::Done);
        }
        run(source, context)
    }
}

/// A service with fewer open files than this could not be begun, or not take connections.
#[cfg(unix)]
const FILES: u64 = 32;

/// Refuses a limit of open files that is too low, before there is something half begun.
#[cfg(unix)]
fn refuse_too_few_files() -> Result<()> {
    use rustix::process::{Resource, getrlimit};
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < FILES => Err(Error::conflict(format!(
            "the service may open too few files; raise the limit, as with ulimit -n 1024 or LimitNOFILE= in its unit: files={files} least={FILES}"
        ))),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_too_few_files() -> Result<()> {
    Ok(())
}

/// Where the settings come from.
struct Source {
    knobs: Knobs,
    config: Option<PathBuf>,
    /// Where the store is, when an option or the environment says so.
    store: Option<PathBuf>,
}

impl Source {
    fn read(&self) -> Result<Settings> {
        let file = self.config.as_deref().map(Knobs::read).transpose()?;
        let typed = Knobs { store: self.store.clone(), ..self.knobs.clone() };
        Ok(Settings::from(typed.over(file.unwrap_or_default())))
    }

    /// Reads the settings anew for a service that others reach or not, and that was started with `first`.
    fn renew(&self, instance: &Instance, first: &Settings, is_public: bool) -> Result<Live> {
        let settings = self.read()?;
        let live = settings.live()?;
        for setting in first.that_wait_for_a_start(&settings) {
            tracing::warn!(setting, "this setting was changed, and holds from the next start of the service on");
        }
        if is_public && live.token.is_none() && !settings.insecure_no_token {
            return Err(Error::invalid("without a token everybody who reaches the address could change the store"));
        }
        instance.renew(settings.setup()?)?;
        Ok(live)
    }
}

fn run(source: Source, context: &mut Context) -> Result<Exit> {
    refuse_too_few_files()?;
    // From here on no signal ends the process by itself, nor is one lost.
    let service = http::Service::new()?;
    let settings = source.read()?;
    if let Some(store) = &settings.store {
        context.path.clone_from(store);
    }
    let live = settings.live()?;
    let token = &live.token;
    let listener = http::bind(&settings.listen, token.is_some() || settings.insecure_no_token)?;
    if listener.is_public && token.is_none() {
        context.out.message("warning: everybody who reaches this address can read and change the store");
    }
    let is_new = !context.path.exists();
    let instance = Arc::new(Instance::open(&context.path, settings.setup()?)?);
    greet(context, &instance, &listener, is_new)?;
    let steward = instance.steward().clone();
    let is_public = listener.is_public;
    let renew: Renew = Arc::new(move |instance| source.renew(instance, &settings, is_public));
    service.serve(Served { instance: instance.clone(), live, renew }, listener)?;
    if let Some(why) = steward.end() {
        let message =
            format!("{why}; nothing that was acknowledged is lost: mend that, or run hivekeep check, and start again");
        return Err(Error::new(ErrorKind::Reopen, message));
    }
    match Arc::try_unwrap(instance) {
        Ok(instance) => instance.close()?,
        Err(instance) => instance.close_in_use()?,
    }
    context.out.message("closed");
    Ok(Exit::Done)
}

/// Says what is served and where, how the last run ended, and what to do next.
fn greet(context: &mut Context, instance: &Instance, listener: &Listener, is_new: bool) -> Result<()> {
    let (store, address) = (instance.store(), listener.url()?);
    let summary = store.summary()?;
    let holds = if is_new { "new".to_owned() } else { summary.to_string() };
    let out = &mut context.out;
    out.message(format_args!("store {} ({holds})", summary.store.display()));
    if let Some(last_run) = last_run(store)? {
        out.message(format_args!("last run: {last_run}"));
    }
    out.message(format_args!("next backup: {}", next_backup(instance)?));
    out.message(format_args!("listening {address}"));
    out.message(format_args!("try: curl {address}/api/disaster-recovery/status"));
    if out.is_json() {
        out.json_line(&json!({"store": summary.store.to_string_lossy(), "holds": holds, "listening": address}))?;
        out.flush()?;
    }
    Ok(())
}

/// How the session before this one ended, if there was one.
fn last_run(store: &Store) -> Result<Option<String>> {
    let own = store.session();
    let last = store.sessions()?.into_iter().find(|session| Some(session.id) != own);
    let Some(last) = last else { return Ok(None) };
    let ended = last.ended_at.unwrap_or(last.alive_at);
    let ago = duration::show(store.clock().now().duration_since(ended).try_into().unwrap_or_default());
    Ok(Some(match last.state {
        SessionState::Open => format!("still open, as process {}", last.pid),
        SessionState::Closed | SessionState::Acknowledged => format!("closed cleanly {ago} ago"),
        SessionState::Crashed | SessionState::StaleMarker => {
            let crash = store.crash()?.map(|crash| format!(", {crash}")).unwrap_or_default();
            format!("CRASHED {}{crash}", shown_time(store, &last))
        }
    }))
}

/// When a session was last alive, as every time is shown: in UTC.
fn shown_time(store: &Store, session: &Session) -> String {
    let (alive, now) = (session.alive_at.to_zoned(TimeZone::UTC), store.clock().now().to_zoned(TimeZone::UTC));
    let format = if alive.date() == now.date() { "%H:%M UTC" } else { "%Y-%m-%d %H:%M UTC" };
    alive.strftime(format).to_string()
}

fn next_backup(instance: &Instance) -> Result<String> {
    let Some(next) = instance.next_backup()? else { return Ok("never, as automatic backups are off".to_owned()) };
    let left = next.duration_since(instance.store().clock().now());
    let left = duration::show(left.try_into().unwrap_or_default());
    Ok(if left == "0s" { "now".to_owned() } else { format!("in {left}") })
}
