//! The packing of an archive: compression by the suffix of its name, and encryption around that. When a file is read,
//! its first bytes decide, whatever its name.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use super::hashed::Hashed;
use super::seal::{Keys, Seal, Sealed};
use super::unreadable::unreadable;
use crate::error::{Error, ErrorKind, Hint, Result};

/// Fixed, so that the same point results in the same bytes.
const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 1;
/// The largest accepted window is 64 MiB. A larger one would let the file decide about memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;
const BUFFER: usize = 1 << 16;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The compression of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transfer::archive) enum Packing {
    Gzip,
    Zstd,
}

/// An archive in progress.
pub(in crate::transfer::archive) enum Packer {
    Gzip(Box<flate2::write::GzEncoder<Sealed>>),
    Zstd(Box<zstd::Encoder<'static, Sealed>>),
}

impl Packing {
    /// The packing that a file's name requires.
    ///
    /// # Errors
    ///
    /// `Invalid` for an unknown suffix, or one that does not fit the encryption.
    pub(in crate::transfer::archive) fn of_name(path: &Path, encrypted: bool) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (name, says_encrypted) = match name.strip_suffix(".age") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        if says_encrypted && !encrypted {
            let message = "a name with .age means an encrypted archive; name its recipient, or give a passphrase";
            return Err(Error::invalid(format!("{message}: file={}", path.display())).with_hint(Hint::NameRecipient));
        }
        if encrypted && !says_encrypted {
            let message = "the name of an encrypted archive must end with .age; call it";
            return Err(Error::invalid(format!("{message} {0}.age: file={0}", path.display())));
        }
        if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            Ok(Self::Gzip)
        } else if name.ends_with(".tar.zst") {
            Ok(Self::Zstd)
        } else {
            let message = "the name of an archive must end with .tar.gz or .tar.zst";
            Err(Error::invalid(format!("{message}: file={}", path.display())))
        }
    }
}

impl Packer {
    /// Packs into a file.
    pub(in crate::transfer::archive) fn new(packing: Packing, file: Hashed, seal: &Seal) -> Result<Self> {
        let sealed = seal.around(BufWriter::with_capacity(BUFFER, file))?;
        Ok(match packing {
            Packing::Gzip => {
                let header = flate2::GzBuilder::new().mtime(0);
                Self::Gzip(Box::new(header.write(sealed, flate2::Compression::new(GZIP_LEVEL))))
            }
            Packing::Zstd => {
                let mut encoder = zstd::Encoder::new(sealed, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// Ends the stream, and returns the complete file, which is not synced yet.
    pub(in crate::transfer::archive) fn finish(self) -> Result<Hashed> {
        let sealed = match self {
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        let buffered = sealed.finish()?;
        Ok(buffered.into_inner().map_err(io::IntoInnerError::into_error)?)
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

type Packed = BufReader<Box<dyn Read + Send>>;

/// An archive being read.
pub(in crate::transfer::archive) enum Unpacker {
    Gzip(Box<flate2::bufread::GzDecoder<Packed>>),
    Zstd(Box<zstd::Decoder<'static, Packed>>),
}

impl Unpacker {
    /// Unpacks a stream.
    ///
    /// # Errors
    ///
    /// `NotAStore` for an unknown packing; `Invalid` when it is encrypted and the keys do not fit.
    pub(in crate::transfer::archive) fn new(stream: Box<dyn Read + Send>, keys: &Keys) -> Result<Self> {
        let mut packed = BufReader::with_capacity(BUFFER, stream);
        if Keys::fit(first_bytes(&mut packed)?) {
            packed = BufReader::with_capacity(BUFFER, keys.open(packed)?);
        }
        let start = first_bytes(&mut packed)?;
        if start.starts_with(GZIP_MAGIC) {
            Ok(Self::Gzip(Box::new(flate2::bufread::GzDecoder::new(packed))))
        } else if start.starts_with(ZSTD_MAGIC) {
            let mut decoder = zstd::Decoder::with_buffer(packed)?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Ok(Self::Zstd(Box::new(decoder)))
        } else {
            let message = "not an archive of hivekeep: it is compressed neither with gzip nor with zstd";
            Err(Error::new(ErrorKind::NotAStore, message))
        }
    }

    /// Whether the packed stream ends with the file.
    pub(in crate::transfer::archive) fn is_at_end(&mut self) -> io::Result<bool> {
        let packed = match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        };
        Ok(packed.fill_buf()?.is_empty())
    }
}

impl Read for Unpacker {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(to),
            Self::Zstd(decoder) => decoder.read(to),
        }
    }
}

/// The first bytes of a stream. A first read may return less than exists, but not less than these few bytes of a file.
fn first_bytes(packed: &mut Packed) -> Result<&[u8]> {
    packed.fill_buf().map_err(|error| unreadable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_of_a_name_decides_about_packing_and_encryption() {
        let of = |name: &str, encrypted| Packing::of_name(Path::new(name), encrypted).map_err(|e| e.to_string());
        assert_eq!(of("a/b.tar.gz", false), Ok(Packing::Gzip));
        assert_eq!(of("b.TGZ", false), Ok(Packing::Gzip));
        assert_eq!(of("b.tar.zst.age", true), Ok(Packing::Zstd));
        for (name, encrypted) in [("b.zip", false), ("b", false), ("b.tar.gz", true), ("b.tar.gz.age", false)] {
            assert!(of(name, encrypted).is_err(), "{name}");
        }
    }
}
