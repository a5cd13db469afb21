//! The kinds of work, a file each, in the order in which they run.

mod commit;
mod disk_use;
mod forget;
mod load;
mod memory;
mod open;
mod point;
mod read;
mod restore;
mod verify;

use anyhow::Result;

use crate::bench::Bench;

/// Every work by its name.
pub const NAMES: &[&str] = &[
    "load",
    "commit_1",
    "commit_1000",
    "commit_1_8_threads",
    "restore_point",
    "read_at_point",
    "scan_at_point",
    "restore_in_place",
    "restore_new",
    "verify",
    "forget",
    "open_clean",
    "open_after_kill",
    "disk",
    "memory",
];

/// Those that need the stores filled once, and leave them filled.
const ON_FILLED: std::ops::Range<usize> = 1..13;

pub fn all(bench: &mut Bench) -> Result<()> {
    let wanted = |names: &[&str]| names.iter().any(|name| bench.has_work(name));
    let (filled, disk, memory) = (wanted(&NAMES[ON_FILLED]), wanted(&["disk"]), wanted(&["memory"]));
    if filled || wanted(&["load"]) {
        let mut subjects = load::load(bench, filled)?;
        commit::commit(bench, &mut subjects)?;
        point::point(bench, &mut subjects)?;
        read::read(bench, &mut subjects)?;
        verify::verify(bench, &mut subjects)?;
        forget::forget(bench, &mut subjects)?;
        restore::new(bench, &mut subjects)?;
        // Last of those that change much: Hivekeep keeps what a restore has overwritten, so that it can be undone.
        restore::in_place(bench, &mut subjects)?;
        open::clean(bench, &mut subjects)?;
        open::after_kill(bench, &mut subjects)?;
        for subject in &mut subjects {
            subject.close()?;
            std::fs::remove_dir_all(&subject.folder)?;
        }
    }
    if disk {
        disk_use::disk(bench)?;
    }
    if memory {
        memory::memory(bench)?;
    }
    Ok(())
}
