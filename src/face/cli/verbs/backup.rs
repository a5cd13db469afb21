//! `backup` and `history`: points as backups of one kind of state, the form that clients of the replaced service know.

use std::path::PathBuf;

use clap::Args;

use crate::face::cli::context::Context;
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::{Kind, Result};

/// Make a backup of the live state, or of a document that you pass; prints its id
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep backup
  hivekeep backup --kind queue --tag release=1.2
  hivekeep backup --kind registry --source my-bot registry.json
  hivekeep backup --kind registry - < registry.json")]
pub(in crate::face::cli) struct Backup {
    /// registry, queue, bot_assignments or full
    #[arg(long, value_name = "KIND", default_value = "full")]
    kind: Kind,
    /// Add a tag; repeat for several tags
    #[arg(long, value_name = "NAME=VALUE", value_parser = input::tag)]
    tag: Vec<(String, String)>,
    /// The source of the backup [default: backup-KIND]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// A file with the document to back up instead of the live state, or - for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// List backups, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep history
  hivekeep history --kind registry --limit 10 --json")]
pub(in crate::face::cli) struct History {
    /// Show only backups of this kind: registry, queue, bot_assignments or full
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// Show at most this many
    #[arg(long, value_name = "N", value_parser = input::at_least_one, default_value_t = 100)]
    limit: usize,
}

impl Backup {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let Self { kind, tag, source, file } = self;
        let tags = input::tags(tag)?;
        let data = file.map(|file| input::json_file(&file)).transpose()?;
        let backup = context.alter(|target| target.back_up(kind, tags, source, data))?;
        if context.out.is_json() {
            context.out.json(&backup)?
        } else {
            context.out.line(&backup.backup_id)?
        }
        Ok(Exit::Done)
    }
}

impl History {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let target = context.reach()?;
        context.out.know_ids(&target)?;
        let backups = target.backups(self.kind, self.limit)?;
        if backups.is_empty() {
            context.out.aside("there is no backup yet; make one with hivekeep backup");
        }
        context.out.list(backups.into_iter().map(Ok))?;
        Ok(Exit::Done)
    }
}
