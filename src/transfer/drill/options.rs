//! The options of a drill, and its caller.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::actor::Actor;
use crate::error::{Error, Result};
use crate::transfer::drill::rebuild::{Rebuild, Rebuilt};
use crate::transfer::drill::targets::{Disaster, DrillTarget, DrillTargets};

/// The options of a drill. The default rehearses every disaster, in a folder beside the store, with the default
/// targets.
#[derive(Clone, Debug)]
pub struct DrillOptions {
    pub(crate) program: PathBuf,
    pub(crate) only: Vec<Disaster>,
    pub(crate) targets: DrillTargets,
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) archives: Option<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) rebuild: Option<Rebuild>,
    pub(crate) actor: Option<Actor>,
}

impl DrillOptions {
    /// Uses this program for the bots: it is run as `PROGRAM --store COPY drill-bot NAME`, as `hivekeep` can be, and
    /// must then call [`drill_bot`](crate::drill_bot).
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            only: Vec::new(),
            targets: DrillTargets::default(),
            scratch: None,
            archives: None,
            seed: 1,
            rebuild: None,
            actor: None,
        }
    }

    /// Rehearses only these disasters; none means all.
    #[must_use]
    pub fn only(mut self, disasters: impl IntoIterator<Item = Disaster>) -> Self {
        self.only = disasters.into_iter().collect();
        self
    }

    /// Sets the target of a disaster.
    #[must_use]
    pub fn target(mut self, disaster: Disaster, target: DrillTarget) -> Self {
        self.targets.set(disaster, target);
        self
    }

    /// Uses a folder in this one, instead of one beside the store.
    #[must_use]
    pub fn scratch(mut self, folder: Option<PathBuf>) -> Self {
        self.scratch = folder;
        self
    }

    /// Sets the folder with the archives of the store. The default is `hivekeep-archives` beside it.
    #[must_use]
    pub fn archives(mut self, folder: Option<PathBuf>) -> Self {
        self.archives = folder;
        self
    }

    /// Sets the seed that chooses the damaged bytes.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Rehearses the loss of the machine too: `rebuild` makes a new store at a path from what is kept elsewhere, such
    /// as a replica. It must leave that place as it is.
    #[must_use]
    pub fn rebuild(mut self, rebuild: impl Fn(&Path) -> Result<Rebuilt> + Send + Sync + 'static) -> Self {
        self.rebuild = Some(Rebuild(Arc::new(rebuild)));
        self
    }

    /// Whether a disaster is rehearsed.
    pub(super) fn means(&self, disaster: Disaster) -> bool {
        match self.only.is_empty() {
            true => disaster != Disaster::MachineLost || self.rebuild.is_some(),
            false => self.only.contains(&disaster),
        }
    }

    /// Drills on behalf of that actor: the audit trail of the store gets an entry.
    #[must_use]
    pub fn acting_as(mut self, actor: impl Into<Actor>) -> Self {
        self.actor = Some(actor.into());
        self
    }
}

/// The caller of a drill: it receives progress and decides whether to go on.
pub trait DrillWatch: Sync {
    /// Called when a step begins.
    fn stage(&self, what: &str);

    /// Called with the progress of the step.
    fn progress(&self, done: u64, of: u64);

    /// Whether to stop, and to leave nothing behind.
    fn is_stopped(&self) -> bool;
}

/// Ends the drill when its caller asks for that.
pub(super) fn stop_if_asked(watch: &dyn DrillWatch) -> Result<()> {
    if watch.is_stopped() { Err(Error::conflict("the drill was stopped, and left nothing behind")) } else { Ok(()) }
}
