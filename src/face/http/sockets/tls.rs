//! TLS: the certificate of the service, which a reload of the settings reads again.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::files;
use crate::{Error, Result};

/// A certificate with its key, ready to be used.
#[derive(Clone, Debug)]
pub(in crate::face) struct Tls(pub(in crate::face::http) Arc<ServerConfig>);

impl Tls {
    /// Reads a chain of certificates and the key of the first, both in PEM.
    ///
    /// # Errors
    ///
    /// `Invalid` when a file holds something else, or the two do not belong together; `Io`.
    pub(in crate::face) fn read(certificates: &Path, key: &Path) -> Result<Self> {
        let text = files::read_text(certificates, files::SETTINGS_MAX)?;
        let wrong = |what: &str, path: &Path| {
            Error::invalid(format!(
                "the file holds no {what} in PEM: file={}",
                path.display().to_string().escape_debug()
            ))
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| wrong("certificate", certificates).with_source(error))?;
        if chain.is_empty() {
            return Err(wrong("certificate", certificates));
        }
        let text = files::read_secret(key, files::SETTINGS_MAX)?;
        let own = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|error| wrong("private key", key).with_source(error))?;
        let unfit = |error| Error::invalid("the certificate and its key cannot be used").with_source(error);
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, own)
            .map_err(unfit)?;
        Ok(Self(Arc::new(config)))
    }
}
