//! Writes the entries of an archive, each with a fixed header, so that the same content results in the same bytes.
//! Another thread hashes and packs an entry while the next one is made.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use crate::engine::digest::hex;
use crate::error::{Error, Result};
use crate::transfer::archive::format::hashed::Hashed;
use crate::transfer::archive::format::layout;
use crate::transfer::archive::format::pack::Packer;

/// The number of entries that wait to be packed.
const WAITING: usize = 2;

/// The sender of entries to the packing thread.
pub(in crate::transfer::archive) struct Entries {
    to: Option<SyncSender<Entry>>,
    packing: Option<JoinHandle<Result<Packed>>>,
}

/// A packed archive that is not synced yet.
pub(in crate::transfer::archive) struct Packed {
    pub(in crate::transfer::archive) file: Hashed,
    /// The bytes of all entries.
    pub(super) unpacked: u64,
}

struct Entry {
    name: String,
    bytes: Vec<u8>,
}

struct Packing {
    tar: tar::Builder<Packer>,
    sums: String,
    /// Seconds since 1970; the time of every entry.
    time: u64,
    unpacked: u64,
}

impl Entries {
    /// Starts an archive whose entries all have this time.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(in crate::transfer::archive) fn begin(packer: Packer, time: u64) -> Result<Self> {
        let (to, from) = sync_channel(WAITING);
        let packing = Packing { tar: tar::Builder::new(packer), sums: String::new(), time, unpacked: 0 };
        let thread = std::thread::Builder::new().name("hivekeep-archive".into());
        let packing = thread.spawn(move || packing.run(&from))?;
        Ok(Self { to: Some(to), packing: Some(packing) })
    }

    /// Adds the next entry.
    ///
    /// # Errors
    ///
    /// The error of an earlier entry, mostly `Full` or `Io`.
    pub(in crate::transfer::archive) fn add(&mut self, name: impl Into<String>, bytes: Vec<u8>) -> Result<()> {
        let entry = Entry { name: name.into(), bytes };
        let sent = self.to.as_ref().is_some_and(|to| to.send(entry).is_ok());
        if sent { Ok(()) } else { self.end().and(Err(died())) }
    }

    /// Ends the archive with the sums.
    pub(in crate::transfer::archive) fn finish(mut self) -> Result<Packed> {
        self.end()
    }

    fn end(&mut self) -> Result<Packed> {
        self.to = None;
        let packing = self.packing.take().ok_or_else(died)?;
        packing.join().unwrap_or_else(|_| Err(died()))
    }
}

impl Drop for Entries {
    /// The thread ends when its sender is gone. The caller removes its file.
    fn drop(&mut self) {
        self.to = None;
        if let Some(packing) = self.packing.take() {
            let _given_up = packing.join();
        }
    }
}

impl Packing {
    fn run(mut self, from: &Receiver<Entry>) -> Result<Packed> {
        for Entry { name, bytes } in from {
            self.sums.push_str(&sum_line(&Sha256::digest(&bytes), &name));
            self.append(&name, &bytes)?;
        }
        let sums = std::mem::take(&mut self.sums);
        self.append(layout::SUMS, sums.as_bytes())?;
        let mut packer = self.tar.into_inner()?;
        packer.flush()?;
        Ok(Packed { file: packer.finish()?, unpacked: self.unpacked })
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        self.unpacked += bytes.len() as u64;
        Ok(self.tar.append(&header, bytes)?)
    }
}

/// A line in the form of `sha256sum`.
pub(in crate::transfer::archive) fn sum_line(sum: &[u8], name: &str) -> String {
    format!("{}  {name}\n", hex(sum))
}

fn died() -> Error {
    Error::conflict("the archive could not be written: the thread that packs it has ended")
}
