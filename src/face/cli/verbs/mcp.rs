//! `mcp`: tools for a language-model agent, over standard input and output.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;

use crate::face::cli::context::{Context, user};
use crate::face::cli::printing::exit::Exit;
use crate::face::mcp::door::{Access, Boxed, Door, MakePoint, Rights, StoreWork};
use crate::face::mcp::refused_call::RefusedCall;
use crate::face::mcp::stdio;
use crate::face::signals::Signals;
use crate::{Actor, BotId, ClaimOptions, Error, ErrorKind, Result, Role, Store};

/// The calls that may wait for a task at once.
const WAIT_AT_ONCE: usize = 8;
/// Between two looks for crashes of other processes, none of which costs a write unless there is one.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Give a language-model agent the queue, chat, notes and restore points as tools, over standard input and output
///
/// A client of the Model Context Protocol, such as Claude, starts this program for each of its sessions. A session acts
/// as one bot: it claims tasks for it, speaks as it and writes its notes. The leases of its claims are extended while
/// the session lives. When it ends, also because the client was killed, its tasks are ready for others at once.
///
/// With --role operator the agent may also make restore points and apply restores; with --role reader it only looks.
/// Messages go to standard error, and nothing but the protocol to standard output. The same tools are at /mcp of
/// hivekeep serve, where the key of a session decides its bot and its role.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep mcp --as BOT-222
  hivekeep --store /srv/fleet.redb mcp --as BOT-222
  hivekeep mcp --as QUEEN --role operator
  hivekeep mcp --role reader")]
pub(in crate::face::cli) struct Mcp {
    /// The bot that the session acts as
    #[arg(long = "as", value_name = "BOT")]
    bot: Option<BotId>,
    /// The role of the session: reader, bot, operator or admin
    #[arg(long, value_name = "ROLE", default_value = "bot")]
    role: Role,
}

impl Mcp {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        if self.role == Role::Bot && self.bot.is_none() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a session with the role bot acts as one bot; name it: --as BOT",
            ));
        }
        let store = context.options().session(true).open(&context.path)?;
        context
            .out
            .message(format_args!("serving {} to an agent; it ends with standard input", context.path.display()));
        let served = serve(Local::new(&store, &self), &store);
        store.close()?;
        served.map(|()| Exit::Done)
    }
}

fn serve(door: Local, store: &Store) -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let looks = door.rights.role >= Role::Bot;
    let served = runtime.block_on(async {
        if looks {
            tokio::spawn(look_for_crashes(store.clone()));
        }
        let signals = Signals::note()?;
        let mut hang_up = signals.hang_up;
        let stop = async {
            tokio::select! {
                () = signals.stop.told() => {}
                () = hang_up.told() => {}
            }
        };
        stdio::serve(Arc::new(door), stop).await
    });
    // A write to a client that does not read is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Takes back the claims of processes that have crashed, so that a session which waits gets their tasks.
async fn look_for_crashes(store: Store) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let store = store.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.notice_crashes()).await {
            tracing::debug!(%error, "crashes of other processes cannot be noticed now");
        }
    }
}

/// The store of this user, without a service between.
struct Local {
    /// For the changes of the session.
    store: Store,
    rights: Rights,
    waiting: Arc<Semaphore>,
}

impl Local {
    fn new(store: &Store, Mcp { bot, role }: &Mcp) -> Self {
        let mut actor = Actor::new(user()).way("mcp");
        // An operator may act for every bot.
        if let Some(bot) = bot.as_ref().filter(|_| *role <= Role::Bot) {
            actor = actor.as_bot(bot.as_str());
        }
        let rights = Rights { role: *role, bot: bot.clone(), sees_tokens: *role >= Role::Operator };
        Self { store: store.acting_as(actor), rights, waiting: Arc::new(Semaphore::new(WAIT_AT_ONCE)) }
    }
}

impl Door for Local {
    fn rights(&self) -> Rights {
        self.rights.clone()
    }

    fn enter(&self, _access: Access, work: StoreWork) -> Boxed<Result<(), RefusedCall>> {
        let store = self.store.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&store)).await;
            let panicked = |source| Error::new(ErrorKind::Io, "a call panicked").with_source(source);
            Ok(done.map_err(panicked)??)
        })
    }

    fn claim_options(&self) -> ClaimOptions {
        ClaimOptions::default()
    }

    fn place_to_wait(&self) -> Option<Box<dyn Send + Sync>> {
        let place = self.waiting.clone().try_acquire_owned().ok()?;
        Some(Box::new(place))
    }

    fn admit_point(&self) -> Result<(), RefusedCall> {
        Ok(())
    }

    fn point_maker(&self) -> MakePoint {
        Box::new(|store, request| store.make_point(request))
    }

    fn was_refused(&self, tool: &str) {
        tracing::warn!(tool, role = self.rights.role.as_str(), "a call was refused");
    }

    fn stops(&self) -> Boxed<()> {
        Box::pin(std::future::pending())
    }
}
