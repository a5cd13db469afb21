//! The context of a verb: the store, and the output.

use std::path::PathBuf;
use std::time::Duration;

use crate::duration;
use crate::face::cli::output::Output;
use crate::{Options, Resolved, Result, Selector, Store, View, show_time};

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

/// The default store.
const STORE: &str = "hivekeep.redb";

/// The context of a verb.
pub(super) struct Context {
    /// The path of the store.
    pub(super) path: PathBuf,
    /// Whether an option or the environment names the store.
    #[cfg(feature = "http")]
    pub(super) is_named: bool,
    /// The output for data and messages.
    pub(super) out: Output,
}

impl Context {
    pub(super) fn new(store: Option<PathBuf>, out: Output) -> Self {
        Self {
            #[cfg(feature = "http")]
            is_named: store.is_some(),
            path: store.unwrap_or_else(|| STORE.into()),
            out,
        }
    }

    /// How verbs open the store: without creating it, and without a session, since a verb ends soon.
    pub(super) fn options(&self) -> Options {
        Store::options().create(false).session(false)
    }

    /// Opens the store read-only, which leaves no trace.
    pub(super) fn look(&self) -> Result<Store> {
        self.options().read_only(true).open(&self.path)
    }

    /// Reads the ids of points, so that they can be shown shortened on a terminal, including those that are about to be
    /// removed.
    pub(super) fn know_ids(&mut self) -> Result<()> {
        if self.out.is_wide() {
            return Ok(());
        }
        let store = self.look()?;
        self.out.know_ids(&store)
    }

    /// Opens the store, changes it, and closes it.
    pub(super) fn change<R>(&self, work: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
        let store = acting(self.options().open(&self.path)?);
        let result = work(&store)?;
        store.close()?;
        Ok(result)
    }

    /// The view of a selector. If the selector is a time, reports which point it resolved to.
    pub(super) fn view(&self, store: &Store, at: &Selector) -> Result<View> {
        let now = store.view()?;
        if *at == Selector::Now {
            return Ok(now);
        }
        let resolved = now.resolve(at)?;
        self.tell_point(at, &resolved);
        store.view_at(resolved.epoch())
    }

    /// If a selector is a time, reports which point it resolved to.
    pub(super) fn tell(&self, store: &Store, at: &Selector) -> Result<()> {
        if matches!(at, Selector::At(_) | Selector::Ago(_)) {
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
