//! The verb `serve`: the run, and its first messages.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::FalseyValueParser;
use jiff::tz::TimeZone;
use serde_json::json;

#[cfg(feature = "page")]
use super::open;
use super::settings::Settings;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::verbs::crash::told;
use crate::face::http::{self, Listener, Live, Renew, Served};
use crate::service::instance::Instance;
use crate::service::steward::ServiceEnd;
use crate::text::in_shell;
use crate::{Error, ErrorKind, ReplicaState, Result, Session, SessionState, Store, duration};

/// Open the store, or create it, and serve it over HTTP until stopped
///
/// The service detects crashes, backs up every ten minutes, and applies the retention policy. SIGTERM and Ctrl-C shut
/// it down cleanly, with exit code 0. A setting comes from an option, else from the environment, else from the file of
/// --config. The file names each option without its dashes, and a time without a unit is in seconds: backup-interval =
/// "10m", store = "fleet.redb", keep-count = 50. With --json the address is printed on standard output as JSON. SIGHUP,
/// which a closing terminal also sends, reloads the file of --config and the token. All settings except store, listen,
/// exclusive, shared-log, durability, history, stale-after, reopen-timeout and those of the replica take effect at
/// once; the log names each of these that was changed.
///
/// The store keeps the retention policy. If you set one of its rules here, your rules and the defaults of the others
/// become the store's policy. If you set none, the policy of the store applies: see hivekeep point policy.
///
/// The address shows a page in a browser: what is going on, any screen at any restore point, comparisons and restores.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep serve
  hivekeep serve --listen 127.0.0.1:9000
  hivekeep serve --backup-interval 5m --keep-within 30d --keep-count 500 --event-log events.jsonl
  hivekeep serve --listen 0.0.0.0:8001 --tls-cert cert.pem --tls-key key.pem
  hivekeep serve --listen unix:/run/hivekeep.sock
  hivekeep serve --exclusive
  hivekeep serve --shared-log
  hivekeep serve --open
  hivekeep serve --name prod --colour red
  hivekeep serve --allow-host fleet.example --allow-origin https://fleet.example
  hivekeep serve --config /etc/hivekeep.toml --print-config
  hivekeep serve --store fleet.redb")]
pub(in crate::face::cli) struct Serve {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// A TOML file with settings; unknown names are refused
    #[arg(long, value_name = "FILE", env = "HIVEKEEP_CONFIG")]
    config: Option<PathBuf>,
    /// Print the settings, as such a file, and exit
    #[arg(long, env = "HIVEKEEP_PRINT_CONFIG", value_parser = FalseyValueParser::new())]
    print_config: bool,
    /// Open the page in a browser; without a terminal or a display, print its address
    #[cfg(feature = "page")]
    #[arg(long)]
    pub(super) open: bool,
}

impl Serve {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        self.settings.refuse_contradiction()?;
        let store = context.is_named.then(|| context.path.clone());
        let source = Source { typed: Settings { store, ..self.settings }, config: self.config };
        if self.print_config {
            context.out.file(source.read()?)?;
            return Ok(Exit::Done);
        }
        #[cfg(feature = "page")]
        let opens = self.open;
        #[cfg(not(feature = "page"))]
        let opens = false;
        run(source, context, opens)
    }
}

/// The minimum number of open files; with fewer the service could not start or accept connections.
#[cfg(unix)]
const FILES: u64 = 32;

/// Refuses a low limit of open files before the service has started in part.
#[cfg(unix)]
fn refuse_too_few_files() -> Result<()> {
    use rustix::process::{Resource, getrlimit};
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < FILES => Err(Error::conflict(format!(
            "the limit of open files is too low; raise it with ulimit -n 1024, or LimitNOFILE= in the unit: files={files} min={FILES}"
        ))),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_too_few_files() -> Result<()> {
    Ok(())
}

/// The sources of the settings.
struct Source {
    /// The flags and the environment.
    pub(super) typed: Settings,
    config: Option<PathBuf>,
}

impl Source {
    pub(super) fn read(&self) -> Result<Settings> {
        let file = self.config.as_deref().map(Settings::read).transpose()?;
        Ok(self.typed.clone().over(file.unwrap_or_default()).over_defaults())
    }

    /// Reloads the settings of a service that was started with `first`.
    fn renew(&self, instance: &Instance, first: &Settings, is_public: bool) -> Result<Live> {
        let settings = self.read()?;
        let live = settings.live()?;
        for setting in first.that_wait_for_a_start(&settings) {
            tracing::warn!(setting, "a reload does not apply this setting; restart the service to apply it");
        }
        let asks_for_keys = || instance.store().view()?.keys().are_used();
        if first.tls_cert.is_some() != settings.tls_cert.is_some() {
            return Err(Error::invalid("a reload does not switch TLS on or off; restart the service for that"));
        }
        if is_public {
            let asks = live.token.is_some() || asks_for_keys()?;
            settings.reach(asks).check(settings.listen.as_deref().unwrap_or_default())?;
        }
        instance.renew(settings.setup()?)?;
        let mut shown = live.settings.clone();
        let before = first.in_words();
        for name in first.that_wait_for_a_start(&settings) {
            // The service goes on with that of before.
            shown.remove(name);
            shown.extend(before.get_key_value(name).map(|(name, value)| (name.clone(), value.clone())));
        }
        Ok(Live { asks_always: settings.asks_always(is_public), settings: shown, ..live })
    }
}

fn run(source: Source, context: &mut Context, opens: bool) -> Result<Exit> {
    refuse_too_few_files()?;
    // From here on no signal kills the process, and no signal is lost.
    let service = http::Service::new()?;
    let settings = source.read()?;
    if let Some(store) = &settings.store {
        context.path.clone_from(store);
    }
    let live = settings.live()?;
    let token = &live.token;
    let listen = settings.listen.as_deref().unwrap_or_default();
    let asks = token.is_some() || has_keys(context)?;
    let listener = http::bind(listen, settings.reach(asks))?;
    if listener.is_public && !asks {
        context.out.message("warning: everybody who can reach this address can read and change the store");
    }
    let is_new = !context.path.exists();
    let setup = settings.setup()?;
    if let Some(replica) = setup.replica.as_ref().filter(|_| is_new && cfg!(feature = "replica")) {
        return Err(nothing_to_ship(&context.path, &replica.location));
    }
    let instance = Arc::new(Instance::open(&context.path, setup)?);
    if token.is_none() && instance.keyring().shuts_everybody_out(instance.store().clock().now()) {
        context
            .out
            .message("no key of the store is valid, so nobody is let in; add one: hivekeep key add NAME --role admin");
    }
    greet(context, &instance, &listener, is_new)?;
    if opens {
        open_page(context, &listener)?;
    }
    let steward = instance.steward().clone();
    let is_public = listener.is_public;
    let live = Live { asks_always: settings.asks_always(is_public), ..live };
    let renew: Renew = Arc::new(move |instance| source.renew(instance, &settings, is_public));
    service.serve(Served { instance: instance.clone(), live, renew }, listener)?;
    if let Some(ServiceEnd::Closed(why)) = steward.end() {
        let message =
            format!("{why}; nothing acknowledged is lost: fix the cause, or run hivekeep check, then restart");
        return Err(Error::new(ErrorKind::Reopen, message));
    }
    if steward.end() == Some(&ServiceEnd::Replaced) {
        // Its file has no name any more, so nothing is written at its closing.
        let message = "the standby has made the copy anew, as the history went another way; start this service again";
        return Err(Error::new(ErrorKind::Moved, message));
    }
    match Arc::try_unwrap(instance) {
        Ok(instance) => instance.close()?,
        Err(instance) => instance.close_in_use()?,
    }
    if steward.end() == Some(&ServiceEnd::Promoted) {
        context
            .out
            .message("the copy was promoted, so this service ends: the one that ships the store may need its file");
    }
    context.out.message("closed");
    Ok(Exit::Done)
}

/// The refusal of a service that is to ship a store where there is none: a new one would be in the way of the restore
/// that the operator of a new machine has forgotten.
fn nothing_to_ship(path: &Path, replica: &str) -> Error {
    let (path, replica) = (path.to_string_lossy(), in_shell(replica));
    let path = in_shell(&path);
    let message = format!(
        "no store at {path}, so there is nothing to ship; on a new machine, restore it first: hivekeep replica restore \
         {replica} --to {path} --take-over; a new fleet begins with hivekeep serve, and then hivekeep replica init {replica}"
    );
    Error::new(ErrorKind::NoStore, message)
}

/// Whether the store has keys, which the service then asks for.
fn has_keys(context: &Context) -> Result<bool> {
    if context.path.exists() { context.look()?.view()?.keys().are_used() } else { Ok(false) }
}

/// Prints the store and the address, how the last run ended, and the next steps.
fn greet(context: &mut Context, instance: &Instance, listener: &Listener, is_new: bool) -> Result<()> {
    let (store, address) = (instance.store(), listener.url()?);
    let summary = store.summary()?;
    let holds = if is_new { "new".to_owned() } else { summary.to_string() };
    let out = &mut context.out;
    out.message(format_args!("store {} ({holds})", summary.store.display()));
    // The last run of a file that nobody writes to was that of another machine, or could not write down its end.
    let is_written = !summary.replica.as_ref().is_some_and(ReplicaState::refuses_writes);
    let shipped = instance.replica()?.and_then(|replica| replica.greeting().map(|greeting| (replica, greeting)));
    if let Some((_, greeting)) = &shipped {
        out.message(format_args!("replica: {greeting}"));
    }
    if let Some(last_run) = last_run(store)?.filter(|_| is_written) {
        out.message(format_args!("last run: {last_run}"));
    }
    match store.is_only_read() {
        true => {
            out.message("read only: this file is a copy, or another machine has its history; no backups and archives")
        }
        false => out.message(format_args!("next backup: {}", next_backup(instance)?)),
    }
    out.message(format_args!("listening {address}"));
    if cfg!(feature = "page") && listener.path().is_none() {
        out.message(format_args!("page {address}/"));
    }
    let curl = listener.path().map_or(address.clone(), |path| format!("--unix-socket {path} http://localhost"));
    out.message(format_args!("try: curl {curl}/api/disaster-recovery/status"));
    if out.is_json() {
        let replica = shipped.map(|(replica, _)| {
            let term = replica.shipping.as_ref().and_then(|shipping| shipping.term);
            json!({"location": replica.watch.location, "term": term, "sequence": replica.sequence()})
        });
        let store = summary.store.to_string_lossy();
        out.json_line(&json!({"store": store, "holds": holds, "replica": replica, "listening": address}))?;
        out.flush()?;
    }
    Ok(())
}

/// Opens the page in a browser. The listener is bound, so the first request waits until the service serves.
#[cfg(feature = "page")]
fn open_page(context: &mut Context, listener: &Listener) -> Result<()> {
    if listener.path().is_some() {
        return Err(Error::invalid(
            "a browser reaches no socket in the file system; leave --open or --listen unix: out",
        ));
    }
    open::open(&mut context.out, &format!("{}/", listener.url()?));
    Ok(())
}

#[cfg(not(feature = "page"))]
fn open_page(_: &mut Context, _: &Listener) -> Result<()> {
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
            let crash = store.crash()?.map(|crash| format!(", {}", told(&crash))).unwrap_or_default();
            format!("CRASHED {}{crash}", shown_time(store, &last))
        }
    }))
}

/// The time at which a session was last alive, in UTC as every time.
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
