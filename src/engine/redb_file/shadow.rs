//! Reading without changing: a storage backend that reads a file and keeps writes in memory.
//!
//! redb repairs a file when it opens it, and commits when it verifies pages. Over this backend
//! the file itself stays as it was.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Bound;
use std::path::Path;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::OwnFile;
use super::own_file::within;
use crate::error::{Error, ErrorKind, Result};

/// Writes are kept in blocks of this length.
const BLOCK: u64 = 4096;
/// The byte that every writing transaction of redb locks.
pub(crate) const WRITER: u64 = 1 << 62;

/// A file that is only read, with the blocks over it that were written.
#[derive(Debug)]
pub(crate) struct Shadow {
    file: OwnFile,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file is still visible. A part that was cut off reads as zeroes if the storage grows again.
    of_file: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Shadow {
    /// Opens the file for reading, and keeps other processes from writing to it meanwhile.
    ///
    /// # Errors
    ///
    /// `Locked` when another process is writing.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OwnFile::read(path)?;
        let byte = Bound::Included(WRITER);
        // Where ranges cannot be locked, only one process can have the file open anyway.
        if let Ok(false) = file.try_lock_shared_range(byte, byte) {
            return Err(Error::new(ErrorKind::Locked, format!("{} is being written to; try again", path.display())));
        }
        let len = StorageBackend::len(&file)?;
        Ok(Self { file, written: Mutex::new(Written { len, of_file: len, blocks: BTreeMap::new() }) })
    }

    /// A block as the file has it, zeroes behind the part that shows.
    fn block_of_file(&self, block: u64, of_file: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; BLOCK as usize];
        let start = block * BLOCK;
        let there = of_file.saturating_sub(start).min(BLOCK) as usize;
        if let Some(there) = bytes.get_mut(..there).filter(|there| !there.is_empty()) {
            self.file.read(start, there)?;
        }
        Ok(bytes)
    }
}

/// The parts of `len` bytes from `offset` on, block by block: the block, where in it the part begins, and its range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % BLOCK) as usize;
        let part = (BLOCK as usize - within).min(len - done);
        let range = done..done + part;
        done += part;
        Some((at / BLOCK, within, range))
    })
}

impl StorageBackend for Shadow {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        let out = within(written.len, offset, out)?;
        for (block, within, range) in parts(offset, out.len()) {
            let len = range.len();
            let Some(out) = out.get_mut(range) else { continue };
            let block_of_file;
            let bytes = match written.blocks.get(&block) {
                Some(bytes) => bytes,
                None => {
                    block_of_file = self.block_of_file(block, written.of_file)?;
                    &block_of_file
                }
            };
            out.copy_from_slice(bytes.get(within..within + len).ok_or(io::ErrorKind::UnexpectedEof)?);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        if len < written.len {
            written.of_file = written.of_file.min(len);
            written.blocks.split_off(&len.div_ceil(BLOCK));
            let last = written.blocks.get_mut(&(len / BLOCK)).and_then(|bytes| bytes.get_mut((len % BLOCK) as usize..));
            last.into_iter().for_each(|cut_off| cut_off.fill(0));
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        let of_file = written.of_file;
        for (block, within, range) in parts(offset, data.len()) {
            let bytes = match written.blocks.entry(block) {
                Entry::Occupied(bytes) => bytes.into_mut(),
                Entry::Vacant(free) => free.insert(self.block_of_file(block, of_file)?),
            };
            if let (Some(target), Some(data)) = (bytes.get_mut(within..within + range.len()), data.get(range)) {
                target.copy_from_slice(data);
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_read_back_and_the_file_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let shadow = Shadow::open(&path).unwrap();
        shadow.write(4090, b"over a block's end").unwrap();
        shadow.set_len(20_000).unwrap();
        shadow.write(15_000, b"behind the file's end").unwrap();
        let mut expected = content.clone();
        expected[4090..4108].copy_from_slice(b"over a block's end");
        expected.resize(20_000, 0);
        expected[15_000..15_021].copy_from_slice(b"behind the file's end");
        let mut read = vec![1; 20_000];
        shadow.read(0, &mut read).unwrap();
        assert!(read == expected);
        let mut over_the_end = [1; 2];
        shadow.read(19_999, &mut over_the_end).unwrap();
        assert_eq!(over_the_end, [0; 2]);
        assert!(std::fs::read(&path).unwrap() == content);
    }

    #[test]
    fn a_part_that_was_cut_off_reads_as_zeroes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![7; 3 * BLOCK as usize]).unwrap();
        let shadow = Shadow::open(&path).unwrap();
        shadow.write(BLOCK, &[8; 2 * BLOCK as usize]).unwrap();
        shadow.set_len(BLOCK + 5).unwrap();
        shadow.set_len(3 * BLOCK).unwrap();
        let mut read = vec![1; 3 * BLOCK as usize];
        shadow.read(0, &mut read).unwrap();
        let expected = [vec![7; BLOCK as usize], vec![8; 5], vec![0; 2 * BLOCK as usize - 5]].concat();
        assert!(read == expected);
    }
}
