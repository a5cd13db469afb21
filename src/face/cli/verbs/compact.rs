//! `compact`: shrinks the file to the size of its content.

use std::fs;

use clap::Args;
use serde_json::json;

use crate::face::cli::context::{Context, acting};
use crate::face::cli::printing::exit::Exit;
use crate::text::show_bytes;
use crate::{Error, ErrorKind, Result, Sharing};

/// Shrink the file to the size of its content
///
/// Readers and writers of other processes wait meanwhile, about 3 s per GB. Compacting is refused while another process
/// reads, and while another process has the store open unless --yes is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep compact
  hivekeep compact --yes")]
pub(in crate::face::cli) struct Compact {
    /// Compact although other processes have the store open; they wait
    #[arg(long)]
    yes: bool,
}

impl Compact {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let sharing = if self.yes { Sharing::Shared } else { Sharing::Exclusive };
        let opened = context.options().sharing(sharing).open(&context.path);
        let store = acting(opened.map_err(|error| self.explained(context, error))?);
        let before = fs::metadata(store.path())?.len();
        let changed = store.compact()?;
        store.close()?;
        let after = fs::metadata(&context.path)?.len();
        if context.out.is_json() {
            context.out.json(&json!({"changed": changed, "bytes_before": before, "bytes_after": after}))?;
        } else {
            context.out.line(format_args!("{} before, {} after", show_bytes(before), show_bytes(after)))?;
        }
        Ok(Exit::Done)
    }

    fn explained(&self, context: &Context, error: Error) -> Error {
        if self.yes || error.kind() != ErrorKind::Locked {
            return error;
        }
        // A process that has the store for itself lets nobody in, whatever is asked.
        if let Err(error) = context.options().read_only(true).open(&context.path) {
            return error;
        }
        let message = "other processes have the store open and would wait while it is compacted; to do it anyway: \
                       hivekeep compact --yes";
        Error::new(ErrorKind::Locked, message)
    }
}
