//! Encryption of an archive with `age`: for recipients, who read it with their keys, or with a passphrase. Without the
//! cargo feature `age` an archive is plain, and an encrypted one is refused with a message.

use std::io::{self, BufWriter, Read, Write};

use super::hashed::Hashed;
#[cfg(feature = "age")]
use crate::error::Hint;
use crate::error::{Error, Result};

/// The first bytes of every encrypted file.
const MAGIC: &[u8] = b"age-encryption.org/";

/// The work to derive a key from a passphrase, as a power of two; it takes about a second and 256 MiB. It is fixed,
/// because `age` would measure it: a machine under load, or a slower one, would then refuse archives of a faster one.
#[cfg(feature = "age")]
const WORK: u8 = 18;
/// The most work that is accepted, which takes 4 GiB. Earlier versions measured the work.
#[cfg(feature = "age")]
const WORK_MAX: u8 = 22;

/// The encryption of an archive: for recipients, or with a passphrase.
#[derive(Clone, Debug, Default)]
pub(in crate::transfer::archive) enum Seal {
    /// None: the archive is plain.
    #[default]
    Nobody,
    #[cfg(feature = "age")]
    Recipients(Vec<age::x25519::Recipient>),
    #[cfg(feature = "age")]
    Passphrase(age::secrecy::SecretString),
}

/// The keys that read an encrypted archive.
#[derive(Clone, Default)]
pub(in crate::transfer::archive) struct Keys {
    #[cfg(feature = "age")]
    identities: Vec<age::x25519::Identity>,
    #[cfg(feature = "age")]
    passphrase: Option<age::secrecy::SecretString>,
}

/// A file, with encryption if requested.
pub(in crate::transfer::archive) enum Sealed {
    Plain(BufWriter<Hashed>),
    #[cfg(feature = "age")]
    Encrypted(Box<age::stream::StreamWriter<BufWriter<Hashed>>>),
}

impl PartialEq for Seal {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nobody, Self::Nobody) => true,
            #[cfg(feature = "age")]
            (Self::Recipients(own), Self::Recipients(others)) => {
                own.iter().map(ToString::to_string).eq(others.iter().map(ToString::to_string))
            }
            #[cfg(feature = "age")]
            (Self::Passphrase(own), Self::Passphrase(other)) => {
                use age::secrecy::ExposeSecret;
                own.expose_secret() == other.expose_secret()
            }
            #[cfg(feature = "age")]
            _ => false,
        }
    }
}

impl Seal {
    /// Whether the archive will be encrypted.
    pub(in crate::transfer::archive) fn encrypts(&self) -> bool {
        !matches!(self, Self::Nobody)
    }

    /// The keys with which the encrypting process can read the archive; `None` if only other processes can.
    pub(in crate::transfer::archive) fn keys(&self) -> Option<Keys> {
        match self {
            Self::Nobody => Some(Keys::default()),
            #[cfg(feature = "age")]
            Self::Recipients(_) => None,
            #[cfg(feature = "age")]
            Self::Passphrase(passphrase) => Some(Keys { passphrase: Some(passphrase.clone()), ..Keys::default() }),
        }
    }

    /// Encrypts everything that is written into a file.
    pub(super) fn around(&self, file: BufWriter<Hashed>) -> Result<Sealed> {
        match self {
            Self::Nobody => Ok(Sealed::Plain(file)),
            #[cfg(feature = "age")]
            Self::Recipients(recipients) => {
                let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
                let encryptor = age::Encryptor::with_recipients(recipients)
                    .map_err(|error| Error::invalid("the archive cannot be encrypted").with_source(error))?;
                Ok(Sealed::Encrypted(Box::new(encryptor.wrap_output(file)?)))
            }
            #[cfg(feature = "age")]
            Self::Passphrase(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
                recipient.set_work_factor(WORK);
                let recipients = std::iter::once(&recipient as &dyn age::Recipient);
                let encryptor = age::Encryptor::with_recipients(recipients)
                    .map_err(|error| Error::invalid("the archive cannot be encrypted").with_source(error))?;
                Ok(Sealed::Encrypted(Box::new(encryptor.wrap_output(file)?)))
            }
        }
    }
}

#[cfg(feature = "age")]
impl Seal {
    /// Adds a recipient.
    pub(in crate::transfer::archive) fn add_recipient(&mut self, recipient: &str) -> Result<()> {
        let parsed = recipient.trim().parse().map_err(|why: &str| {
            Error::invalid(format!("a recipient is a public key such as age1...: {why}: recipient={recipient}"))
        })?;
        match self {
            Self::Recipients(recipients) => recipients.push(parsed),
            Self::Nobody => *self = Self::Recipients(vec![parsed]),
            Self::Passphrase(_) => return Err(one_way()),
        }
        Ok(())
    }

    /// Encrypts with a passphrase.
    pub(in crate::transfer::archive) fn set_passphrase(&mut self, passphrase: &str) -> Result<()> {
        if self.encrypts() {
            return Err(one_way());
        }
        *self = Self::Passphrase(secret(passphrase)?);
        Ok(())
    }
}

#[cfg(feature = "age")]
fn one_way() -> Error {
    Error::invalid("an archive is encrypted either to recipients or with a passphrase, not with both")
}

#[cfg(feature = "age")]
fn secret(passphrase: &str) -> Result<age::secrecy::SecretString> {
    let passphrase = passphrase.trim_end_matches(['\r', '\n']);
    if passphrase.is_empty() {
        return Err(Error::invalid("the passphrase is empty"));
    }
    Ok(passphrase.to_owned().into())
}

impl Keys {
    /// Whether a file with these first bytes is encrypted.
    pub(in crate::transfer::archive) fn fit(start: &[u8]) -> bool {
        start.starts_with(MAGIC)
    }

    /// Decrypts a stream.
    #[cfg(feature = "age")]
    pub(in crate::transfer::archive) fn open(
        &self,
        stream: impl Read + Send + 'static,
    ) -> Result<Box<dyn Read + Send>> {
        let decryptor = age::Decryptor::new(stream).map_err(refused)?;
        if self.identities.is_empty() && self.passphrase.is_none() {
            let (key, hint) = match decryptor.is_scrypt() {
                true => ("passphrase", Hint::GivePassphrase),
                false => ("identity", Hint::GiveIdentity),
            };
            return Err(Error::invalid(format!("the archive is encrypted; give its {key}")).with_hint(hint));
        }
        let passphrase = self.passphrase.clone().map(|passphrase| {
            let mut identity = age::scrypt::Identity::new(passphrase);
            identity.set_max_work_factor(WORK_MAX);
            identity
        });
        let passphrase = passphrase.iter().map(|identity| identity as &dyn age::Identity);
        let identities = self.identities.iter().map(|identity| identity as &dyn age::Identity);
        Ok(Box::new(decryptor.decrypt(passphrase.chain(identities)).map_err(refused)?))
    }

    /// Refuses a file that this build cannot decrypt.
    #[cfg(not(feature = "age"))]
    pub(in crate::transfer::archive) fn open(
        &self,
        _stream: impl Read + Send + 'static,
    ) -> Result<Box<dyn Read + Send>> {
        Err(Error::invalid("the archive is encrypted, and this program was built without the feature age"))
    }
}

#[cfg(feature = "age")]
impl Keys {
    /// Adds the secret keys in a text, one in each line; `#` starts a comment.
    pub(in crate::transfer::archive) fn add_identities(&mut self, text: &str) -> Result<()> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            // The line is secret, so no message repeats it.
            let identity = line.parse().map_err(|why: &str| {
                Error::invalid(format!("an identity is a secret key such as AGE-SECRET-KEY-1...: {why}"))
            })?;
            self.identities.push(identity);
        }
        if self.identities.is_empty() {
            return Err(Error::invalid("there is no secret key in the identity file"));
        }
        Ok(())
    }

    /// Decrypts with a passphrase.
    pub(in crate::transfer::archive) fn set_passphrase(&mut self, passphrase: &str) -> Result<()> {
        self.passphrase = Some(secret(passphrase)?);
        Ok(())
    }
}

#[cfg(feature = "age")]
fn refused(error: age::DecryptError) -> Error {
    use age::DecryptError::{
        DecryptionFailed, ExcessiveWork, InvalidHeader, InvalidMac, Io, KeyDecryptionFailed, NoMatchingKeys,
    };
    match error {
        NoMatchingKeys | KeyDecryptionFailed | DecryptionFailed => {
            Error::invalid("the archive is encrypted for another key, or the passphrase is wrong").with_source(error)
        }
        ExcessiveWork { .. } => Error::invalid("the header of the archive requires too much work to open it"),
        InvalidHeader | InvalidMac => {
            Error::damaged("the header of the encrypted archive is damaged").with_source(error)
        }
        Io(source) => super::unreadable::unreadable(&source),
        other => Error::invalid(format!("the archive cannot be decrypted: {other}")).with_source(other),
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Sealed {
    /// Ends the encrypted stream.
    pub(in crate::transfer::archive) fn finish(self) -> io::Result<BufWriter<Hashed>> {
        match self {
            Self::Plain(file) => Ok(file),
            #[cfg(feature = "age")]
            Self::Encrypted(stream) => stream.finish(),
        }
    }
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            #[cfg(feature = "age")]
            Self::Encrypted(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            #[cfg(feature = "age")]
            Self::Encrypted(stream) => stream.flush(),
        }
    }
}
