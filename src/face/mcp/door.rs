//! The way of a session to the store: directly, or through the service with its limits.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::face::mcp::refused_call::RefusedCall;
use crate::face::wire::task::{hide_token_in, hide_tokens};
use crate::{BotId, ClaimOptions, Point, PointRequest, Result, Role, Store};

/// A future of any type.
pub(in crate::face) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Work on the store, for the caller.
pub(in crate::face) type StoreWork = Box<dyn FnOnce(&Store) -> Result<()> + Send>;

/// Makes a restore point, if the disk has room for one.
pub(in crate::face) type MakePoint = Box<dyn FnOnce(&Store, PointRequest) -> Result<Point> + Send>;

/// Whether work changes the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::face) enum Access {
    Reads,
    /// Lists and resources, which may be long.
    LooksThrough,
    Changes,
}

/// The rights of the caller.
#[derive(Clone, Debug)]
pub(in crate::face) struct Rights {
    pub(in crate::face) role: Role,
    /// The only bot that the caller acts as.
    pub(in crate::face) bot: Option<BotId>,
    /// Whether the caller sees the tokens of all claims, and not only of its own.
    pub(in crate::face) sees_tokens: bool,
}

impl Rights {
    /// Hides the token of a claim from everybody but its holder.
    pub(in crate::face) fn hide_token_in(&self, task: &mut Value) {
        hide_token_in(task, self.sees_tokens, self.bot.as_ref());
    }

    /// The same in the value of a record, or in a part of a document with that path.
    pub(in crate::face) fn hide_tokens(&self, collection: &str, part: Option<&str>, value: &mut Value) {
        let sees_documents = self.sees_tokens || self.role >= Role::Operator;
        hide_tokens((collection, part), value, self.sees_tokens, self.bot.as_ref(), sees_documents);
    }
}

/// The way of a caller to the store.
pub(in crate::face) trait Door: Send + Sync {
    fn rights(&self) -> Rights;

    /// Does work on a thread that may block.
    fn enter(&self, access: Access, work: StoreWork) -> Boxed<Result<(), RefusedCall>>;

    /// The options of claims unless the caller says otherwise.
    fn claim_options(&self) -> ClaimOptions;

    /// A place among those who wait for a task, if one is free.
    fn place_to_wait(&self) -> Option<Box<dyn Send + Sync>>;

    /// Counts a restore point that the caller asks for, or refuses it.
    fn admit_point(&self) -> Result<(), RefusedCall>;

    fn point_maker(&self) -> MakePoint;

    /// Notes that a call was refused because of who asks.
    fn was_refused(&self, tool: &str);

    /// Resolves when the service stops.
    fn stops(&self) -> Boxed<()>;
}

/// Does work through a door, and returns its result.
pub(in crate::face) async fn enter<R: Send + 'static>(
    door: &Arc<dyn Door>,
    access: Access,
    work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
) -> Result<R, RefusedCall> {
    let (tell, told) = oneshot::channel();
    let work = Box::new(move |store: &Store| {
        let done = work(store)?;
        // A caller that has gone needs no result.
        drop(tell.send(done));
        Ok(())
    });
    door.enter(access, work).await?;
    told.await.map_err(|_| RefusedCall::stopped())
}
