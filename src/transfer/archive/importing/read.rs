//! Reads an archive strictly: every entry must be the expected one, every sum, count and digest must be right, and
//! nothing may follow. A consumer receives the records one by one, so it must wait for the end before it trusts them.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::import_options::ImportOptions;
use crate::engine::digest::Stats;
use crate::engine::schema::CollectionId;
use crate::engine::value::in_frame;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::files;
use crate::state::audit::follow::Follow;
use crate::transfer::archive::exporting::write::sum_line;
use crate::transfer::archive::format::expect::{Expect, MANIFEST_BYTES_MAX, Part, Section};
use crate::transfer::archive::format::layout;
use crate::transfer::archive::format::line;
use crate::transfer::archive::format::manifest::ArchiveManifest;
use crate::transfer::archive::format::pack::Unpacker;
use crate::transfer::archive::format::record;
use crate::transfer::archive::format::unreadable::unreadable;
use crate::transfer::archive::format::valid;

/// After the last entry, a `tar` has zeros up to a multiple of its block.
const PADDING_MAX: u64 = 1 << 16;
/// The size of the buffer in which lines are searched.
const LINES_BUFFER: usize = 1 << 16;

/// A consumer of an archive's content.
pub(super) trait Take {
    /// Receives the description of the archive.
    fn begin(&mut self, manifest: &ArchiveManifest) -> Result<()>;
    /// The records of this collection come next, in the order of keys.
    fn collection(&mut self, name: &str) -> Result<()>;
    /// A record.
    fn record(&mut self, key: &[u8], payload: &[u8]) -> Result<()>;
    /// The collection that began last is complete.
    fn collection_end(&mut self) -> Result<()>;
    /// An entry of the audit trail, as its row.
    fn audit(&mut self, key: &[u8], payload: &[u8]) -> Result<()>;
    /// The archive is complete and right.
    fn end(&mut self) -> Result<()>;
}

/// Reads an archive to its end.
///
/// # Errors
///
/// `NotFound` when there is no such file; `NotAStore` for the file of another program, `NewerFormat` for one of a later
/// version; `Damaged`, with the entry or collection, when anything is wrong; `Invalid` when it is encrypted for others
/// or exceeds the limits; the errors of the consumer; `Io`.
pub(in crate::transfer::archive) fn read(
    file: &Path,
    options: &ImportOptions,
    take: &mut dyn Take,
) -> Result<ArchiveManifest> {
    let opened = open(file)?;
    let named = |error: Error| match error.kind() {
        ErrorKind::Damaged | ErrorKind::NotAStore | ErrorKind::NewerFormat => error.context(file.display()),
        _ => error,
    };
    read_stream(Box::new(opened), options, take).map_err(named)
}

/// Reads an archive from any stream.
pub(super) fn read_stream(
    stream: Box<dyn Read + Send>,
    options: &ImportOptions,
    take: &mut dyn Take,
) -> Result<ArchiveManifest> {
    let mut archive = tar::Archive::new(Unpacker::new(stream, &options.keys)?);
    let manifest = {
        let mut entries = archive.entries().map_err(|error| unreadable(&error))?.raw(true);
        let (manifest, sum) = first(&mut entries)?;
        let mut reading = Reading::new(&manifest, options, take, sum)?;
        reading.take.begin(&manifest)?;
        for entry in entries {
            reading.entry(entry.map_err(|error| unreadable(&error))?)?;
        }
        reading.finish()?;
        manifest
    };
    refuse_more(archive.into_inner())?;
    take.end()?;
    Ok(manifest)
}

fn open(file: &Path) -> Result<File> {
    files::open(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("there is no such archive: file={}", file.display())),
        _ => files::failed(file, error),
    })
}

type Entry<'a> = tar::Entry<'a, Unpacker>;

/// Reads the manifest. Returns it with the line of its sum.
fn first(entries: &mut tar::Entries<'_, Unpacker>) -> Result<(ArchiveManifest, String)> {
    let foreign = || Error::new(ErrorKind::NotAStore, "not an archive of hivekeep: it has another beginning");
    let entry = entries.next().ok_or_else(foreign)?;
    let mut entry = entry.map_err(|error| if error.raw_os_error().is_some() { error.into() } else { foreign() })?;
    if name_of(&entry) != layout::MANIFEST || !entry.header().entry_type().is_file() {
        return Err(foreign());
    }
    let mut text = Vec::new();
    let read = entry.by_ref().take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| unreadable(&error))?;
    if text.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(Error::damaged("the manifest is too long: entry=manifest.json"));
    }
    Ok((ArchiveManifest::from_json(&text)?, sum_line(&Sha256::digest(&text), layout::MANIFEST)))
}

/// An archive whose manifest was read.
struct Reading<'r> {
    manifest: &'r ArchiveManifest,
    take: &'r mut dyn Take,
    expect: Expect,
    trail: Option<Follow<'r>>,
    sums: String,
    sums_seen: bool,
    limit: u64,
    left: u64,
    section: Summed,
    buffers: (Vec<u8>, Vec<u8>),
    line: Vec<u8>,
}

/// The sum of the records of the current collection.
#[derive(Default)]
struct Summed {
    begun: bool,
    stats: Stats,
    last: Option<Vec<u8>>,
}

impl<'r> Reading<'r> {
    fn new(
        manifest: &'r ArchiveManifest,
        options: &ImportOptions,
        take: &'r mut dyn Take,
        sum: String,
    ) -> Result<Self> {
        Ok(Self {
            manifest,
            take,
            expect: Expect::new(manifest)?,
            trail: manifest.audit.as_ref().map(|audit| Follow::new(&audit.trail)),
            sums: sum,
            sums_seen: false,
            limit: options.max_value_bytes,
            left: options.max_bytes,
            section: Summed::default(),
            buffers: (Vec::new(), Vec::new()),
            line: Vec::new(),
        })
    }

    fn entry(&mut self, mut entry: Entry<'_>) -> Result<()> {
        let name = name_of(&entry);
        let shown = name.escape_debug().to_string();
        let kind = entry.header().entry_type();
        if kind != tar::EntryType::Regular {
            let message = "an entry is not a regular file";
            return Err(Error::damaged(format!("{message}: entry={shown} type={kind:?}")));
        }
        let part = self.part(&name).map_err(|error| error.context(format_args!("before entry {shown}")))?;
        let part = part.ok_or_else(|| Error::damaged(format!("an unexpected entry: entry={shown}")))?;
        let size = entry.size();
        self.left = self.left.checked_sub(size).ok_or_else(|| {
            let message = "the archive unpacks to more than the limit; raise the limit";
            let message = format!("{message}: entry={shown} bytes={size} left={}", self.left);
            Error::invalid(message).with_hint(Hint::RaiseArchiveLimit)
        })?;
        let read = match part {
            Part::Sums => self.sums(&mut entry, size),
            Part::Readable => self.expect.take(size).and_then(|()| self.hashed(&name, &mut entry, Self::pass_over)),
            Part::Lines => self.expect.take(size).and_then(|()| self.hashed(&name, &mut entry, Self::lines)),
            Part::Records => self.expect.take(size).and_then(|()| self.hashed(&name, &mut entry, Self::records)),
        };
        read.map_err(|error| match error.kind() {
            ErrorKind::Damaged | ErrorKind::Invalid => error.context(format_args!("entry {shown}")),
            _ => error,
        })
    }

    /// The kind of the entry of that name. It may be the first of the next collection.
    fn part(&mut self, name: &str) -> Result<Option<Part>> {
        if self.sums_seen || !self.expect.can_come(name) {
            return Ok(None);
        }
        loop {
            if let Some(part) = self.expect.part(name) {
                return Ok(Some(part));
            }
            if self.expect.section().is_none() {
                return Ok(None);
            }
            self.end_section()?;
        }
    }

    /// Reads an entry to its end, and records its sum.
    fn hashed(
        &mut self,
        name: &str,
        entry: &mut Entry<'_>,
        read: fn(&mut Self, &mut Hashing<&mut Entry<'_>>) -> Result<()>,
    ) -> Result<()> {
        let mut hashing = Hashing { from: entry, hash: Sha256::new() };
        read(self, &mut hashing)?;
        let sum = hashing.hash.finalize();
        self.sums.push_str(&sum_line(&sum, name));
        Ok(())
    }

    fn pass_over(&mut self, from: &mut Hashing<&mut Entry<'_>>) -> Result<()> {
        io::copy(from, &mut io::sink()).map(drop).map_err(|error| unreadable(&error))
    }

    fn records(&mut self, from: &mut Hashing<&mut Entry<'_>>) -> Result<()> {
        let section = self.expect.section();
        let (mut key, mut payload) = std::mem::take(&mut self.buffers);
        while record::read(from, self.limit, &mut key, &mut payload).map_err(of_stream)? {
            match section {
                Some(Section::Audit) => self.audit(&key, &payload)?,
                Some(Section::Collection(at)) => self.record(at, &key, &payload)?,
                None => {}
            }
        }
        self.buffers = (key, payload);
        Ok(())
    }

    fn lines(&mut self, from: &mut Hashing<&mut Entry<'_>>) -> Result<()> {
        let Some(Section::Collection(at)) = self.expect.section() else { return Ok(()) };
        let (mut from, mut line) = (BufReader::with_capacity(LINES_BUFFER, from), std::mem::take(&mut self.line));
        while line::read(&mut from, self.limit, &mut line).map_err(of_stream)? {
            let (key, payload) = line::parse(&line)?;
            let length = payload.len() as u64;
            if length > self.limit {
                return Err(record::too_long(length, self.limit));
            }
            self.record(at, key.as_bytes(), payload)?;
        }
        self.line = line;
        Ok(())
    }

    fn audit(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        self.trail.as_mut().map_or(Ok(()), |trail| trail.next(key, payload))?;
        self.section.stats.count += 1;
        self.take.audit(key, payload)
    }

    fn record(&mut self, at: usize, key: &[u8], payload: &[u8]) -> Result<()> {
        let name = self.begin_collection(at)?;
        let in_order = self.section.last.as_deref().is_none_or(|last| last.cmp(key) == Ordering::Less);
        if !in_order {
            return Err(Error::damaged(format!("records are out of order: key={}", key.escape_ascii())));
        }
        let last = self.section.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        self.section.stats.add(key, &in_frame(payload));
        valid::check(CollectionId::built_in(name), key, payload)?;
        self.take.record(key, payload)
    }

    fn begin_collection(&mut self, at: usize) -> Result<&'r str> {
        let name = self.manifest.collections.get(at).map(|collection| collection.name.as_str()).unwrap_or_default();
        if !self.section.begun {
            self.section.begun = true;
            self.take.collection(name)?;
        }
        Ok(name)
    }

    /// Compares the section with the manifest, and continues with the next one.
    fn end_section(&mut self) -> Result<()> {
        match self.expect.section() {
            Some(Section::Audit) => {
                self.trail.as_ref().map_or(Ok(()), Follow::end)?;
                let expected = self.manifest.audit.as_ref().map_or(0, |audit| audit.count);
                if self.section.stats.count != expected || (expected > 0 && !self.expect.has_readable()) {
                    return Err(Error::damaged("the audit trail is incomplete"));
                }
            }
            Some(Section::Collection(at)) => self.end_collection(at)?,
            None => {}
        }
        self.section = Summed::default();
        self.expect.next_section();
        Ok(())
    }

    fn end_collection(&mut self, at: usize) -> Result<()> {
        let name = self.begin_collection(at)?;
        let Some(collection) = self.manifest.collections.get(at) else { return Ok(()) };
        let (expected, is) = (collection.stats()?, self.section.stats);
        if expected != is {
            let message = "its records do not match the manifest";
            let (of, count) = (expected.count, is.count);
            return Err(Error::damaged(format!("{message}: collection={name} records={count} expected={of}")));
        }
        if !self.expect.has_readable() && (collection.whole || collection.count > 0) {
            return Err(Error::damaged(format!("its readable form is missing: collection={name}")));
        }
        self.take.collection_end()
    }

    /// Compares the sums with those of the entries.
    fn sums(&mut self, entry: &mut Entry<'_>, size: u64) -> Result<()> {
        let mut text = Vec::new();
        if size == self.sums.len() as u64 {
            entry.read_to_end(&mut text).map_err(|error| unreadable(&error))?;
        }
        self.sums_seen = true;
        if text == self.sums.as_bytes() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&text);
        let differs = self.sums.lines().zip(text.lines()).find(|(own, theirs)| own != theirs);
        let of = differs.and_then(|(own, _)| own.split("  ").nth(1)).unwrap_or("all");
        Err(Error::damaged(format!("a sum does not match its entry: of={of}")))
    }

    fn finish(&mut self) -> Result<()> {
        while self.expect.section().is_some() {
            self.end_section()?;
        }
        if self.sums_seen {
            Ok(())
        } else {
            Err(Error::damaged("the archive is truncated: entry=SHA256SUMS is missing"))
        }
    }
}

/// A stream that is hashed while it is read.
struct Hashing<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        self.hash.update(to.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// After the entries there are zeros, and after the packed stream nothing.
fn refuse_more(mut unpacker: Unpacker) -> Result<()> {
    let mut rest = Vec::new();
    unpacker.by_ref().take(PADDING_MAX + 1).read_to_end(&mut rest).map_err(|error| unreadable(&error))?;
    let padding = rest.len() as u64 <= PADDING_MAX && rest.iter().all(|byte| *byte == 0);
    if padding && unpacker.is_at_end().map_err(|error| unreadable(&error))? {
        return Ok(());
    }
    Err(Error::damaged("there are bytes after the end of the archive"))
}

fn name_of(entry: &Entry<'_>) -> String {
    String::from_utf8_lossy(&entry.path_bytes()).into_owned()
}

/// An error of reading that passed through the reader of records.
fn of_stream(error: Error) -> Error {
    if error.kind() != ErrorKind::Io {
        return error;
    }
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    source.map(unreadable).unwrap_or(error)
}
