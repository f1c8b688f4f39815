//! TLS of the server, with its own provider and no state of the process.

use std::sync::Arc;

use talkwire_core::error::{Error, Kind, Result};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsFiles;

/// Reads certificate chain and key.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let wrong = |path: &std::path::Path, why: String| {
        let message = format!("{}: {why}", path.display());
        Error::new(Kind::Config, message)
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|e| wrong(&files.cert, format!("expected a PEM certificate ({e})")))?;
    if chain.is_empty() {
        let why = "expected a PEM certificate, found none".to_owned();
        return Err(wrong(&files.cert, why));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| wrong(&files.key, format!("expected a PEM private key ({e})")))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| wrong(&files.key, format!("key and certificate do not fit: {e}")))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
