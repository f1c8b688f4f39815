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

/// Whom a client trusts and who it says it is. All texts are PEM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust<'a> {
    /// Certificates to trust beside those of the system.
    pub extra_ca: Option<&'a [u8]>,
    /// Certificates to trust and no other ones.
    pub only_ca: Option<&'a [u8]>,
    /// Certificate chain and key to show to servers that ask.
    pub identity: Option<(&'a [u8], &'a [u8])>,
}

/// A client. Where the system has no certificates at all, the usual public roots are used.
pub fn client(trust: &Trust<'_>) -> Result<Arc<ClientConfig>> {
    let provider = provider();
    let verifier = match (trust.only_ca, trust.extra_ca) {
        (Some(_), Some(_)) => return Err(wrong("CA", "either beside the system's or alone")),
        (Some([]), None) => return Err(wrong("certificate file", "it is empty")),
        (Some(only), None) => verifier_of(
            RootCertStore::empty(),
            certificates(only)?,
            provider.clone(),
        )?,
        (None, extra) => verifier(extra, provider.clone())?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong("TLS", e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match trust.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| wrong("client key", e))?;
            let config = builder.with_client_auth_cert(certificates(chain)?, key);
            config.map_err(|e| wrong("client certificate and key", e))?
        }
    };
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
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    verifier_of(roots, extra, provider)
}

fn verifier_of(
    mut roots: RootCertStore,
    more: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    for certificate in more {
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
        let error = client(&Trust {
            extra_ca: Some(b"not a certificate"),
            ..Trust::default()
        })
        .expect_err("refused");
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains("no certificate"), "{error}");
    }

    #[test]
    fn no_default_provider_is_installed_for_the_process() {
        client(&Trust::default()).expect("a configuration");
        assert!(CryptoProvider::get_default().is_none());
    }
}
