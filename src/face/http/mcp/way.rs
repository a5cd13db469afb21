//! The way of a call of an agent to the store: through the service, with its limits.

use std::sync::Arc;

use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::face::http::admission::caller::Caller;
use crate::face::http::app::App;
use crate::face::http::sockets::memory::Charge;
use crate::face::mcp::door::{Access, Boxed, Door, MakePoint, Rights, StoreWork};
use crate::face::mcp::refused_call::{self, RefusedCall};
use crate::{ClaimOptions, Role};

/// The way of one call.
pub(super) struct Way {
    app: App,
    /// The memory of its message, until it has ended or waits for a task, for which nothing of the message is needed.
    charge: Mutex<Option<Charge>>,
    /// The places of its key or client among those who wait.
    places: Arc<Semaphore>,
}

impl Way {
    pub(super) fn new(app: App, charge: Option<Charge>, places: Arc<Semaphore>) -> Self {
        Self { app, charge: Mutex::new(charge), places }
    }
}

impl Door for Way {
    fn rights(&self) -> Rights {
        let role = self.app.caller().and_then(Caller::role).unwrap_or(Role::Reader);
        let asks_for_keys = self.app.caller().is_none_or(|caller| caller.key().is_some());
        Rights { role, bot: self.app.own_bot(), sees_tokens: !asks_for_keys }
    }

    fn enter(&self, access: Access, work: StoreWork) -> Boxed<Result<(), RefusedCall>> {
        let app = self.app.clone();
        Box::pin(async move {
            let (actor, next) = (app.caller().map(|caller| caller.actor().way("mcp")), Arc::new(Mutex::new(None)));
            let told = next.clone();
            let work = move |store: &crate::Store| {
                let own = actor.map_or_else(|| store.clone(), |actor| store.acting_as(actor));
                work(&own).inspect_err(|error| *told.lock() = Some(refused_call::next_step(error)))
            };
            let done = match access {
                Access::Reads => app.read(work).await,
                Access::LooksThrough => app.show(work).await,
                Access::Changes => app.change(work).await,
            };
            done.map_err(|problem| {
                let next = next.lock().unwrap_or("repeat the call later");
                RefusedCall::new(problem.kind(), problem.detail(), next)
            })
        })
    }

    fn claim_options(&self) -> ClaimOptions {
        self.app.instance().claim_options()
    }

    fn place_to_wait(&self) -> Option<Box<dyn Send + Sync>> {
        let own = self.places.clone().try_acquire_owned().ok()?;
        let place = self.app.connections().to_wait()?;
        drop(self.charge.lock().take());
        Some(Box::new((own, place)))
    }

    fn admit_point(&self) -> Result<(), RefusedCall> {
        let next = "make fewer points; a later one holds all changes too";
        self.app.admit_point().map_err(|problem| RefusedCall::new(problem.kind(), problem.detail(), next))
    }

    fn point_maker(&self) -> MakePoint {
        let instance = self.app.instance().clone();
        Box::new(move |store, request| instance.make_point(store, request))
    }

    fn was_refused(&self, tool: &str) {
        if let Some(caller) = self.app.caller() {
            self.app.was_refused(caller, format!("mcp {tool}"), StatusCode::FORBIDDEN);
        }
    }

    fn stops(&self) -> Boxed<()> {
        let app = self.app.clone();
        Box::pin(async move { app.stops().await })
    }
}
