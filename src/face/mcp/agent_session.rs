//! The session of an agent: it serves tools and resources.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Extensions, Implementation,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, RequestMetaObject, ServerCapabilities, ServerConfig,
    Tool as Listed,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use tokio::sync::Semaphore;

use crate::face::mcp::call::Call;
use crate::face::mcp::door::Door;
use crate::face::mcp::leases::Leases;
use crate::face::mcp::refused_call::RefusedCall;
use crate::face::mcp::tool::{Outcome, Tool};
use crate::face::mcp::{resources, tools};
use crate::face::wire::fields::Fields;
use crate::{Error, ErrorKind, KeptClaims};

/// The calls of one session that may be in progress at once.
const CALLS_AT_ONCE: usize = 32;

/// The first thing that an agent reads of this server.
const INSTRUCTIONS: &str = "\
Hivekeep keeps the shared state of a fleet of bots: a task queue, the bots, a chat, notes and restore points. \
To work: call register once, then claim (with wait_ms to wait for a task). You alone hold a claimed task. Do the work, then \
call complete with its result, or fail with the reason, or release to give it back untouched; complete with claim_next also \
gives you the next task. While this session lives the lease of your claims is extended for you, and when it ends they go back \
to the queue, unless claim said otherwise. If a call says that your token is void, another bot has the task: throw that work away. \
Lists are short; pass next as cursor to go on. Errors have next, the thing to do. Before something risky make a restore point \
or ask an operator for one.";

/// Finds the way to the store of a request, and whether its session lasts.
pub(in crate::face) type FindDoor =
    Arc<dyn Fn(&RequestContext<RoleServer>) -> Option<(Arc<dyn Door>, bool)> + Send + Sync>;

/// A session. Clones share it.
#[derive(Clone)]
pub(in crate::face) struct AgentSession(Arc<State>);

struct State {
    find_door: FindDoor,
    leases: Arc<Leases>,
    calls: Semaphore,
}

impl AgentSession {
    /// A session within a runtime.
    pub(in crate::face) fn new(find_door: FindDoor) -> Self {
        Self(Arc::new(State { find_door, leases: Leases::new(), calls: Semaphore::new(CALLS_AT_ONCE) }))
    }

    /// The claims that it keeps.
    pub(super) fn claims(&self) -> Arc<KeptClaims> {
        self.0.leases.claims().clone()
    }

    /// The leases of the claims that it keeps.
    pub(in crate::face) fn leases(&self) -> &Arc<Leases> {
        &self.0.leases
    }

    fn call(&self, mut context: RequestContext<RoleServer>) -> Result<Call, ErrorData> {
        let gone = || ErrorData::internal_error("the request cannot reach the store", None);
        let (door, lasts) = (self.0.find_door)(&context).ok_or_else(gone)?;
        // The request is not needed any more.
        context.extensions = Extensions::new();
        context.meta = RequestMetaObject::default();
        Ok(Call { door, leases: self.0.leases.clone(), lasts, context })
    }

    /// Calls a tool, if the caller may.
    async fn run(&self, tool: &'static Tool, call: Call, fields: Fields) -> Outcome {
        let Ok(_place) = self.0.calls.try_acquire() else {
            return Err(RefusedCall::busy(format!(
                "too many calls of this session are in progress: limit={CALLS_AT_ONCE}"
            )));
        };
        let role = call.rights().role;
        if role < tool.needs {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!(
                    "{} needs the role {} or a higher one; ask an operator to do it, or for a key of that role: role={role}",
                    tool.name, tool.needs
                ),
            )
            .into());
        }
        (tool.call)(call, fields).await
    }
}

impl ServerHandler for AgentSession {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("hivekeep", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    fn get_tool(&self, name: &str) -> Option<Listed> {
        tools::find(name).map(Tool::listed)
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all().map(Tool::listed).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        // The rest of a message may be long, and is not held while the call waits.
        let (tool, fields) = asked(request)?;
        let call = self.call(context)?;
        let door = call.door.clone();
        Ok(match self.run(tool, call, fields).await {
            Ok(answer) => CallToolResult::success(vec![ContentBlock::text(answer.to_string())]),
            Err(refusal) => {
                if refusal.is_forbidden() {
                    door.was_refused(tool.name);
                }
                tracing::debug!(tool = tool.name, kind = refusal.kind(), "a call was refused");
                CallToolResult::error(vec![ContentBlock::text(refusal.shown().to_string())])
            }
        }
        .into())
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(resources::all()))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let call = self.call(context)?;
        let Ok(_place) = self.0.calls.try_acquire() else {
            return Err(ErrorData::internal_error("too many calls of this session are in progress; retry", None));
        };
        resources::read(&call, &request.uri).await
    }
}

/// The tool of a call, and its fields.
fn asked(request: CallToolRequestParams) -> Result<(&'static Tool, Fields), ErrorData> {
    let Some(tool) = tools::find(&request.name) else {
        let name: String = request.name.chars().take(100).collect();
        return Err(ErrorData::invalid_params(
            format!("there is no such tool; tools/list names them: name={}", name.escape_debug()),
            None,
        ));
    };
    Ok((tool, Fields::from(request.arguments.unwrap_or_default())))
}
