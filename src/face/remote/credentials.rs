//! The key that a service is shown, and the certificates that are trusted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::face::remote::address::Address;
use crate::files;
use crate::{Error, Result};

/// How a service is reached, besides its address.
#[derive(Clone, Debug)]
pub(in crate::face) struct Access {
    /// The file with the key.
    pub(in crate::face) key_file: Option<PathBuf>,
    /// The file with the certificates that are trusted; those of the system unless set.
    pub(in crate::face) ca: Option<PathBuf>,
    /// Whether the key may be sent to another machine without TLS.
    pub(in crate::face) key_in_clear: bool,
    /// The longest time until an answer.
    pub(in crate::face) within: Duration,
}

impl Access {
    /// The header with the key, if there is one.
    ///
    /// # Errors
    ///
    /// `Invalid` when the file holds no key or others can read it, and when others could read the key on its way; `Io`.
    pub(super) fn header(&self, address: &Address) -> Result<Option<HeaderValue>> {
        let Some(file) = &self.key_file else { return Ok(None) };
        if address.is_in_clear() && !self.key_in_clear {
            let way_out = "use https://, or allow it with --key-in-clear";
            return Err(Error::invalid(format!("others could read the key on its way; {way_out}: address={address}")));
        }
        let text = files::read_secret(file, files::SETTINGS_MAX).map_err(|error| error.context("key file"))?;
        let key = text.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid(format!("the file holds no key: file={}", file.display())));
        }
        let wrong = |error| Error::invalid("the key cannot be sent").with_source(error);
        let mut header = HeaderValue::from_str(&format!("Bearer {key}")).map_err(wrong)?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// The settings of TLS.
    ///
    /// # Errors
    ///
    /// `Invalid` when the file holds no certificate, and when the system trusts none; `Io`.
    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>> {
        let roots = match &self.ca {
            Some(file) => of_file(file)?,
            None => of_system()?,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::invalid("TLS cannot be used").with_source(error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

fn of_file(file: &Path) -> Result<RootCertStore> {
    let text = files::read_text(file, files::SETTINGS_MAX)?;
    let wrong = || Error::invalid(format!("the file holds no certificate in PEM: file={}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|error| wrong().with_source(error))?;
        roots.add(certificate).map_err(|error| wrong().with_source(error))?;
    }
    if roots.is_empty() { Err(wrong()) } else { Ok(roots) }
}

fn of_system() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::invalid("this system trusts no certificates; name those to trust with --ca FILE"));
    }
    Ok(roots)
}
