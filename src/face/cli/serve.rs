//! `serve`: the service, from opening the store to closing it.

use clap::Args;
use serde_json::json;

use crate::engine::store::Store;
use crate::error::Result;
use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::http;
use crate::face::summary::Summary;

/// Open the store, or create it, and serve it over HTTP until stopped
///
/// SIGTERM and Ctrl-C end it cleanly, with exit code 0. With --json the address is printed on standard output as JSON.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep serve
  hivekeep serve --listen 127.0.0.1:9000
  hivekeep --store fleet.redb serve")]
pub(super) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "HIVEKEEP_LISTEN", default_value = "127.0.0.1:8001")]
    listen: String,
}

impl Serve {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let listener = http::bind(&self.listen)?;
        let is_new = !context.path.exists();
        let store = Store::open(&context.path)?;
        let summary = Summary::of(&store)?;
        let holds = if is_new { "new".to_owned() } else { summary.to_string() };
        let address = format!("http://{}", listener.local_addr()?);
        context.out.message(format_args!("store {} ({holds})", summary.store.display()));
        context.out.message(format_args!("listening {address}"));
        if context.out.is_json() {
            context.out.json_line(&json!({"store": summary.store, "holds": holds, "listening": address}))?;
            context.out.flush()?;
        }
        http::serve(&store, listener)?;
        store.close()?;
        context.out.message("closed");
        Ok(Exit::Done)
    }
}
