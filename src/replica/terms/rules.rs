//! Rules of the protocol that a test breaks on purpose, to see that the simulation notices. Outside
//! of tests no rule can be broken.

/// Whether this rule is broken now.
#[cfg(test)]
macro_rules! broken {
    ($rule:ident) => {
        $crate::replica::terms::rules::is_broken($crate::replica::terms::rules::Rule::$rule)
    };
}

#[cfg(not(test))]
macro_rules! broken {
    ($rule:ident) => {
        false
    };
}

pub(in crate::replica) use broken;

/// A rule, by its breach.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// An object that exists counts as one's own.
    ExistsIsSuccess,
    /// A term opens before its state is at the end of the one before.
    OpensBeforeCatchingUp,
    /// The first absent object is the end of a term, although it may have been collected.
    AbsentIsTheEnd,
    /// A state of which the next object was collected begins a term.
    CollectedStatesGoOn,
    /// A claimant that died is sealed only if it sealed the term before.
    DeadClaimantsAreLeft,
    /// A tail from before a restore goes on behind it.
    OldTailsFitBehindARestore,
    /// A term does not say with which commit its parent ends.
    OpenNamesTheSlotOnly,
    /// The seal of a term is collected with its batches.
    SealsAreDeleted,
    /// A collection decides at once.
    NoSecondLook,
    /// A collection decides although a later term was claimed.
    ClaimsDoNotStopCollection,
    /// A collector goes on although one of a later term has announced a floor.
    OvertakenCollectorsGoOn,
    /// A collector that begins does not look at what another one decides just then.
    LateDecisionsAreForgotten,
    /// The newest decision counts alone, also if a hold has lowered it.
    OlderDecisionsAreNotRead,
    /// A base is as old as its last commit, and not as its making.
    AgeOfABaseIsItsLastCommit,
    /// A restore puts its hold and does not look at collections after that.
    HoldsDoNotLookBack,
    /// The newest state counts as that of a later moment.
    MomentWithoutALaterCommit,
    /// A restore downloads its base before it looks for all that it needs.
    RestoresDownloadFirst,
    /// A restarted process goes on in its term.
    RestartsGoOnInTheirTerm,
    /// Each object of a process has the same nonce.
    NonceOfTheProcess,
    /// A file goes on although another one has the history now, if it lacks nothing.
    EarlierFilesGoOn,
    /// A term opens while the process before may still commit.
    LeasesAreNotOutwaited,
    /// An object that landed behind the slot that was watched is not waited for.
    LateObjectsExtendNoLease,
    /// The lease of a writer counts from the answer to its request, or from its last try.
    LeasesBeginLate,
    /// A commit that began in time is answered at any time.
    AnswersDoNotLookAtTheLease,
}

#[cfg(test)]
thread_local! {
    static BROKEN: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Whether this rule is broken on this thread.
#[cfg(test)]
pub(crate) fn is_broken(rule: Rule) -> bool {
    BROKEN.get() == Some(rule)
}

/// Breaks a rule on this thread, or none.
#[cfg(test)]
pub(crate) fn break_rule(rule: Option<Rule>) {
    BROKEN.set(rule);
}
