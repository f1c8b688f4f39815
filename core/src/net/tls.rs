//! TLS configurations with an explicit provider: nothing process-global is read or set.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;

use crate::error::{Error, Kind, Result};

/// The provider of every connection of ours.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn wrong(what: &str, why: impl std::fmt::Display) -> Error {
    Error::new(Kind::Config, format!("{what}: {why}"))
}

/// A client that trusts what the system trusts, and `extra_ca` (PEM) beside it.
///
/// Where the system has no certificates at all, the usual public roots are used.
pub fn client(extra_ca: Option<&[u8]>) -> Result<Arc<ClientConfig>> {
    let provider = provider();
    let verifier = verifier(extra_ca, provider.clone())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong("TLS", e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn verifier(
    extra_ca: Option<&[u8]>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let extra = certificates(extra_ca.unwrap_or_default())?;
    if let Ok(verifier) = Verifier::new_with_extra_roots(extra.clone(), provider.clone()) {
        return Ok(Arc::new(verifier));
    }
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in extra {
        roots.add(certificate).map_err(|e| wrong("CA file", e))?;
    }
    let builder =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = builder.build().map_err(|e| wrong("TLS roots", e))?;
    Ok(verifier)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|e| wrong("certificate file", e))?;
    if certificates.is_empty() && !pem.is_empty() {
        return Err(wrong("certificate file", "it holds no certificate"));
    }
    Ok(certificates)
}

/// A server with a certificate chain and its key, both PEM.
pub fn server(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>> {
    let chain = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| wrong("key file", e))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong("TLS", e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| wrong("certificate and key", e))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_a_certificate_is_an_error() {
        let error = client(Some(b"not a certificate")).expect_err("refused");
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains("no certificate"), "{error}");
    }

    #[test]
    fn no_default_provider_is_installed_for_the_process() {
        client(None).expect("a configuration");
        assert!(CryptoProvider::get_default().is_none());
    }
}
