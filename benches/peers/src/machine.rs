//! The machine of a run: without it, figures say nothing.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use crate::disk;
use crate::engine::KINDS;

/// The crates whose versions matter.
const CRATES: [&str; 8] =
    ["hivekeep", "redb", "rusqlite", "libsqlite3-sys", "heed", "lmdb-master-sys", "fjall", "rocksdb"];

pub fn describe(folder: &Path, records: u64) -> Result<String> {
    let mut text = String::new();
    let (file_system, in_memory) = disk::file_system(folder)?;
    let cores = std::thread::available_parallelism()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    writeln!(text, "{records} records of {} bytes", crate::data::VALUE_BYTES)?;
    writeln!(text, "machine: {cores} cores of {}, {} {}", processor(), std::env::consts::OS, kernel.trim())?;
    writeln!(text, "disk: {file_system}, a write of 4 KiB with its sync takes {} us", disk::sync_micros(folder)?)?;
    if in_memory {
        writeln!(text, "warning: that is no disk, and syncs cost nothing there; choose another with --dir")?;
    }
    let versions: Vec<_> = CRATES.iter().filter_map(|name| Some(format!("{name} {}", version(name)?))).collect();
    writeln!(text, "versions: {}, SQLite {}", versions.join(", "), rusqlite::version())?;
    if cfg!(feature = "mimalloc") {
        writeln!(text, "allocator: mimalloc, for the engines that are written in Rust")?;
    }
    writeln!(
        text,
        "every write is synced before it is answered; each engine is used as its documentation recommends:"
    )?;
    for kind in KINDS {
        writeln!(text, "  {}: {}", kind.name, kind.how)?;
    }
    Ok(text)
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |name| name.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// As locked; RocksDB is locked even where it is not built.
fn version(name: &str) -> Option<&'static str> {
    if name == "rocksdb" && !cfg!(feature = "rocksdb") {
        return None;
    }
    let lock = include_str!("../Cargo.lock");
    let from = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
    from.split('"').next()
}
