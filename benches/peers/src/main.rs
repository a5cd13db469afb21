//! Hivekeep beside what one would take instead: the same work, in one run, in turns, with every answer checked.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- [--records N] [--json FILE] [--only
//! WORK_OR_ENGINE]`

mod bench;
mod child;
mod data;
mod disk;
mod engine;
mod engines;
mod machine;
mod queue;
mod report;
mod subject;
mod work;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::bench::{Bench, Selection};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs every engine on the same work and prints how they compare.
#[derive(Parser)]
struct Arguments {
    /// How many records of 256 bytes.
    #[arg(long, default_value_t = 100_000)]
    records: u64,
    /// Writes the figures to a file too, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only this work or this engine (Hivekeep runs in any case); may be given several times, or with commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the stores are: a folder on the disk in question. They are removed at the end.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The job of a child process of this program.
    #[arg(long, hide = true)]
    child: Option<child::Task>,
    /// For which engine.
    #[arg(long, hide = true)]
    engine: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(task) = arguments.child {
        let folder = arguments.dir.context("a child needs --dir")?;
        let engine = arguments.engine.context("a child needs --engine")?;
        return child::run(task, &engine, &folder, arguments.records);
    }
    ensure!(arguments.records >= 100, "too few records to tell anything: records={}", arguments.records);
    let started = Instant::now();
    let selection = Selection::new(arguments.only)?;
    let parent = arguments.dir.map_or_else(beside_the_program, Ok)?;
    std::fs::create_dir_all(&parent)?;
    let folder = tempfile::Builder::new().prefix("peers-").tempdir_in(&parent)?;
    print!("{}", machine::describe(folder.path(), arguments.records)?);
    println!("ratio: an engine's figure over Hivekeep's; above 1 Hivekeep is ahead, below 1 the other is");
    let mut bench = Bench::new(arguments.records, folder.path(), selection, arguments.json)?;
    work::all(&mut bench)?;
    queue::all(&mut bench)?;
    println!("\nevery answer was right; {} s", started.elapsed().as_secs());
    Ok(())
}

/// In the target folder, which is on a disk nearly always, and never committed.
fn beside_the_program() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.parent().context("the program is in no folder")?.to_owned())
}
