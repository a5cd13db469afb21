//! Follows the log of other processes, object by object.

use super::chain::{self, Opening};
use super::remote::{Fit, Local, Remote};
use super::walk::{Passed, enter, no_position, pass};
use crate::error::Result;
use crate::replica::objects::name::ObjectName;
use crate::replica::objects::object::Object;

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// The state went on; there may be more.
    Moved,
    /// There is nothing yet.
    Nothing,
    /// The log went another way, or what follows was collected. A base is needed.
    Lost,
}

/// Moves a state over the next object of the log. It is read by its name, because a list may lag and costs more.
///
/// # Errors
///
/// The errors of the replica and of the state; `Damaged`.
pub(crate) async fn follow(remote: &impl Remote, local: &mut impl Local) -> Result<Followed> {
    let at = local.position().ok_or_else(no_position)?;
    let Some(stored) = remote.get(ObjectName::Log(at.slot)).await? else { return Ok(Followed::Nothing) };
    if !matches!(stored.object, Object::Seal(_)) {
        return Ok(match pass(remote, local, &stored, u64::MAX, None).await? {
            Passed::Over => Followed::Moved,
            Passed::Later | Passed::Lost => Followed::Lost,
        });
    }
    let mut term = at.slot.term.next()?;
    loop {
        match chain::opening(remote, term).await? {
            None => return Ok(Followed::Nothing),
            Some(Opening::Void { .. }) => term = term.next()?,
            Some(Opening::Opened(step)) => {
                let open = &step.open;
                let goes_on = open.parent == Some(at.slot) && (open.sequence, open.states) == (at.sequence, at.states);
                let is_in = goes_on && enter(local, &step)? == Fit::Fits;
                return Ok(if is_in { Followed::Moved } else { Followed::Lost });
            }
        }
    }
}
