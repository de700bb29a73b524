//! A certificate for one boot: self-signed, identified by its fingerprint, which hello contains.

use super::error::ApiError;
use crate::http::certificates;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// The server's TLS configuration and `sha256:HEX` of its certificate's DER. If `callers` names a file of CAs, callers
/// must present a certificate issued by one of them.
pub(super) fn self_signed(
    addresses: &[IpAddr],
    callers: Option<&Path>,
) -> Result<(Arc<ServerConfig>, String), ApiError> {
    let made = |source| ApiError::Certificate { source };
    let names: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let mut params = CertificateParams::new(names).map_err(made)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "burin agent");
    // rcgen's default validity period is wide, as needed here: this machine's clock may show any time.
    let key = KeyPair::generate().map_err(made)?;
    let certificate = params.self_signed(&key).map_err(made)?;
    let fingerprint = crate::protocol::hex(Sha256::digest(certificate.der()));
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let failed = |source| ApiError::Tls { source };
    let config = ServerConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions().map_err(failed)?;
    let config = match callers {
        None => config.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(path).map_err(|source| ApiError::Callers { source })?);
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config
                .with_client_cert_verifier(verifier.map_err(|error| failed(rustls::Error::General(error.to_string())))?)
        }
    };
    let config = config.with_single_cert(vec![certificate.der().clone()], key).map_err(failed)?;
    Ok((Arc::new(config), format!("sha256:{fingerprint}")))
}
