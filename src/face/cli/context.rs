//! What every verb works with: the store that was named, and where its output goes.

use std::path::PathBuf;
use std::time::Duration;

use crate::duration;
use crate::face::cli::output::Output;
use crate::{Options, Resolved, Result, Selector, Store, View, show_time};

/// The store when nobody names one.
const STORE: &str = "hivekeep.redb";

/// What every verb works with.
pub(super) struct Context {
    /// Where the store is.
    pub(super) path: PathBuf,
    /// Whether somebody has named it, by option or environment.
    #[cfg(feature = "http")]
    pub(super) is_named: bool,
    /// Where data and messages go.
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

    /// How verbs open the store: they do not create it, and are over too soon to have a session.
    pub(super) fn options(&self) -> Options {
        Store::options().create(false).session(false)
    }

    /// Opens the store for looking only, which leaves no trace.
    pub(super) fn look(&self) -> Result<Store> {
        self.options().read_only(true).open(&self.path)
    }

    /// Lets ids of the store's points be shown short, where they are, also of those that are about to go.
    pub(super) fn know_ids(&mut self) -> Result<()> {
        if self.out.is_wide() {
            return Ok(());
        }
        let store = self.look()?;
        self.out.know_ids(&store)
    }

    /// Opens the store, does something to it, and closes it.
    pub(super) fn change<R>(&self, work: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
        let store = self.options().open(&self.path)?;
        let result = work(&store)?;
        store.close()?;
        Ok(result)
    }

    /// The view that a selector means. Says which point a time was taken for.
    pub(super) fn view(&self, store: &Store, at: &Selector) -> Result<View> {
        let now = store.view()?;
        if *at == Selector::Now {
            return Ok(now);
        }
        let resolved = now.resolve(at)?;
        self.tell_point(at, &resolved);
        store.view_at(resolved.epoch())
    }

    /// Says which point a selector was taken for, when it named a time.
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
