//! `completions` and `man`, generated from the definition of the command line.

use std::path::PathBuf;

use clap::{Args, Command};

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::{Error, Result};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep completions bash > ~/.local/share/bash-completion/completions/hivekeep
  hivekeep completions fish > ~/.config/fish/completions/hivekeep.fish")]
pub(in crate::face::cli) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Print the manual page, or write the pages of all verbs to a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep man | man -l -
  hivekeep man --to /usr/local/share/man/man1")]
pub(in crate::face::cli) struct Man {
    /// The folder for a page of each verb
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl Completions {
    pub(in crate::face::cli) fn run(self, mut program: Command, context: &mut Context) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "hivekeep", &mut script);
        print(context, script)
    }
}

impl Man {
    pub(in crate::face::cli) fn run(self, program: Command, context: &mut Context) -> Result<Exit> {
        if let Some(folder) = self.to {
            std::fs::create_dir_all(&folder).map_err(|error| Error::from(error).context(folder.display()))?;
            clap_mangen::generate_to(program, &folder)?;
            return Ok(Exit::Done);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(program).render(&mut page)?;
        print(context, page)
    }
}

fn print(context: &mut Context, bytes: Vec<u8>) -> Result<Exit> {
    context.out.stream().write_all(&bytes)?;
    Ok(Exit::Done)
}
