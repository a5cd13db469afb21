//! The context of a verb: the store, and the output.

use std::path::PathBuf;
use std::time::Duration;

use crate::duration;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::output::Output;
use crate::face::cli::target::{Seen, StoreLocation, Target};
use crate::face::remote::{Access, Client};
#[cfg(feature = "replica")]
use crate::text::in_shell;
use crate::{Error, Options, Resolved, Result, Selector, Store, VerifyOnOpen, show_time};

/// A store for the changes of the user of the program.
pub(super) fn acting(store: Store) -> Store {
    store.acting_as(user())
}

/// `cli:` and the number of the user.
#[cfg(unix)]
pub(super) fn user() -> String {
    format!("cli:{}", rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
pub(super) fn user() -> String {
    format!("cli:{}", std::env::var("USERNAME").unwrap_or_default())
}

/// The context of a verb.
pub(super) struct Context {
    /// The path of the store; that of the default one where a service keeps it.
    pub(super) path: PathBuf,
    /// Whether an option or the environment names the store.
    #[cfg(feature = "http")]
    pub(super) is_named: bool,
    /// The output for data and messages.
    pub(super) out: Output,
    place: StoreLocation,
    access: Access,
    /// Whether a file with damaged pages is read.
    unverified: bool,
}

impl Context {
    pub(super) fn new(store: Option<StoreLocation>, access: Access, out: Output) -> Self {
        #[cfg(feature = "http")]
        let is_named = store.is_some();
        let place = store.unwrap_or_default();
        let path = match &place {
            StoreLocation::File(path) => path.clone(),
            StoreLocation::Service(_) => PathBuf::new(),
        };
        Self {
            path,
            #[cfg(feature = "http")]
            is_named,
            out,
            place,
            access,
            unverified: false,
        }
    }

    /// The same, which reads files with damaged pages too.
    pub(super) fn unverified(self, unverified: bool) -> Self {
        Self { unverified, ..self }
    }

    /// Refuses to read a file with damaged pages: a verb that changes it could make the damage worse, and others open
    /// it in a way of their own.
    pub(super) fn refuse_unverified(&self) -> Result<()> {
        if self.unverified {
            return Err(Error::invalid("--unverified is for verbs that only read the file of a store, such as get"));
        }
        Ok(())
    }

    /// Refuses a verb, or an option of one, that needs the file of the store, where a service keeps it.
    pub(super) fn needs_file(&self, what: &str, why: &str) -> Result<()> {
        match &self.place {
            StoreLocation::File(_) => Ok(()),
            StoreLocation::Service(address) => Err(Error::invalid(format!(
                "{what} does not work over a service: {why}; run it where the file is, with its path in --store: \
                 store={address}"
            ))),
        }
    }

    /// Whether a service keeps the store.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.place, StoreLocation::Service(_))
    }

    /// How verbs open the store: without creating it, and without a session, since a verb ends soon.
    pub(super) fn options(&self) -> Options {
        Store::options().create(false).session(false)
    }

    /// The client of the service.
    fn client(&self) -> Result<Option<Client>> {
        match &self.place {
            StoreLocation::File(_) => Ok(None),
            StoreLocation::Service(address) => Client::new(address, &self.access).map(Some),
        }
    }

    /// Opens the store read-only, which leaves no trace, or asks the service.
    pub(super) fn reach(&self) -> Result<Target> {
        match self.client()? {
            Some(client) => self.refuse_unverified().map(|()| Target::There(client)),
            None => self.look().map(Target::Here),
        }
    }

    /// Opens the store to change it, or asks the service.
    pub(super) fn reach_to_change(&self) -> Result<Target> {
        self.refuse_unverified()?;
        match self.client()? {
            Some(client) => Ok(Target::There(client)),
            None => self.options().open(&self.path).map(|store| Target::Here(acting(store))),
        }
    }

    /// Changes the store, and closes it.
    pub(super) fn alter<R>(&self, work: impl FnOnce(&Target) -> Result<R>) -> Result<R> {
        let target = self.reach_to_change()?;
        let result = work(&target)?;
        target.close()?;
        Ok(result)
    }

    /// Opens the file of the store read-only, which leaves no trace.
    pub(super) fn look(&self) -> Result<Store> {
        let options = self.options().read_only(true);
        let options = if self.unverified { options.verify_on_open(VerifyOnOpen::Never) } else { options };
        options.open(&self.path)
    }

    /// The next step at damage, if the store has a replica, and the row that names it can still be read.
    #[cfg(feature = "replica")]
    pub(super) fn of_replica(&self) -> Option<String> {
        if self.is_remote() {
            return None;
        }
        let store = self.options().read_only(true).verify_on_open(VerifyOnOpen::Never).open(&self.path).ok()?;
        let watch = store.view().and_then(|view| view.replica_watch()).ok().flatten()?;
        let location = in_shell(&watch.location);
        Some(format!(
            "from its replica: hivekeep check --heal {location} gives damaged rows their bytes back, and hivekeep \
             repair --from {location} makes a new file, also of damaged pages"
        ))
    }

    /// This build has no replicas.
    #[cfg(not(feature = "replica"))]
    pub(super) fn of_replica(&self) -> Option<String> {
        None
    }

    /// Says the next step at damage, if the store has a replica.
    pub(super) fn tell_of_replica(&mut self) {
        if let Some(hint) = self.of_replica() {
            self.out.message(format_args!("hint: {hint}"));
        }
    }

    /// Reads the ids of points, so that they can be shown shortened on a terminal, including those that are about to be
    /// removed.
    pub(super) fn know_ids(&mut self) -> Result<()> {
        if self.out.is_wide() {
            return Ok(());
        }
        let target = self.reach()?;
        self.out.know_ids(&target)
    }

    /// Opens the file of the store, changes it, and closes it.
    pub(super) fn change<R>(&self, work: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
        self.change_with(self.options(), work)
    }

    /// The same for a file with damaged pages.
    #[cfg(feature = "replica")]
    pub(super) fn change_unverified<R>(&self, work: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
        self.change_with(self.options().verify_on_open(VerifyOnOpen::Never), work)
    }

    fn change_with<R>(&self, options: Options, work: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
        let store = acting(options.open(&self.path)?);
        let result = work(&store)?;
        store.close()?;
        Ok(result)
    }

    /// The state of a selector. If the selector is a time, reports which point it resolved to.
    pub(super) fn see<'t>(&self, target: &'t Target, at: &Selector) -> Result<Seen<'t>> {
        target.see(at, |resolved| self.tell_point(at, resolved))
    }

    /// How a list of a point ends: in part, if a repair lost records of the collection there.
    pub(super) fn listed(&mut self, seen: &Seen<'_>, collection: &str) -> Result<Exit> {
        let Some(lost) = seen.lost_of(collection)? else { return Ok(Exit::Done) };
        self.out.flush()?;
        let keys = match lost.as_slice() {
            [] => String::new(),
            keys => format!("; known keys: {}", keys.join(", ")),
        };
        self.out.complain(format_args!(
            "partial: a repair lost records of {collection} at that point, and the list leaves them out{keys}"
        ));
        Ok(Exit::InPart)
    }

    /// If a selector is a time, reports which point it resolved to.
    pub(super) fn tell(&self, target: &Target, at: &Selector) -> Result<()> {
        if is_time(at) {
            self.tell_point(at, &target.resolve(at)?);
        }
        Ok(())
    }

    /// The same for the file of a store.
    pub(super) fn tell_of_file(&self, store: &Store, at: &Selector) -> Result<()> {
        if is_time(at) {
            self.tell_point(at, &store.view()?.resolve(at)?);
        }
        Ok(())
    }

    fn tell_point(&self, asked: &Selector, resolved: &Resolved) {
        let (Selector::At(_) | Selector::Ago(_), Resolved::Point { id, at, off, .. }) = (asked, resolved) else {
            return;
        };
        let what = if id.is_empty() { "the commit" } else { id };
        let off = duration::show(Duration::try_from(*off).unwrap_or_default());
        self.out.aside(format_args!("{asked} means {what} of {}, {off} before it", show_time(*at)));
    }
}

fn is_time(at: &Selector) -> bool {
    matches!(at, Selector::At(_) | Selector::Ago(_))
}
