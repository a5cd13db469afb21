//! The disk: copies that are synced, and how much of it something takes.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

/// Makes new and removed names in a folder last.
pub fn sync_folder(folder: &Path) -> Result<()> {
    Ok(File::open(folder)?.sync_all()?)
}

/// Copies a file, and returns once the copy is on the disk.
pub fn copy_file(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)?;
    Ok(File::open(to)?.sync_all()?)
}

/// Copies a folder of files.
#[cfg(feature = "rocksdb")]
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_file(&entry.path(), &to.join(entry.file_name()))?;
    }
    sync_folder(to)
}

/// Syncs every file of a folder.
#[cfg(feature = "rocksdb")]
pub fn sync_files(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        File::open(entry?.path())?.sync_all()?;
    }
    sync_folder(folder)
}

/// Bytes that a folder takes on the disk, each file counted once, however many names it has.
pub fn bytes_in(folder: &Path) -> Result<u64> {
    let mut seen = std::collections::HashSet::new();
    add_bytes(folder, &mut seen)
}

fn add_bytes(folder: &Path, seen: &mut std::collections::HashSet<u64>) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            bytes += add_bytes(&entry.path(), seen)?;
        } else if seen.insert(metadata.ino()) {
            bytes += metadata.blocks() * 512;
        }
    }
    Ok(bytes)
}

/// The name of the file system, and whether it is in memory only.
pub fn file_system(folder: &Path) -> Result<(String, bool)> {
    let path = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?, words.next()?);
        path.starts_with(at).then(|| (at.len(), kind.to_owned()))
    });
    let kind = of.max_by_key(|(length, _)| *length).map_or_else(|| "unknown".to_owned(), |(_, kind)| kind);
    let in_memory = kind == "tmpfs" || kind == "ramfs";
    Ok((kind, in_memory))
}

/// The median of a write of 4 KiB with its sync, in microseconds.
pub fn sync_micros(folder: &Path) -> Result<u128> {
    use std::os::unix::fs::FileExt;
    let path = folder.join("sync");
    let file = File::create(&path)?;
    file.write_all_at(&[0; 1 << 20], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for number in 0..101 {
        let started = Instant::now();
        file.write_all_at(&[number; 4096], u64::from(number) * 4096)?;
        file.sync_data()?;
        times.push(started.elapsed().as_micros());
    }
    fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
