//! A certificate for one boot: self-signed, known by its fingerprint, which hello carries.

use super::error::ApiError;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;

/// The server's TLS configuration and `sha256:HEX` of its certificate's DER.
pub(super) fn self_signed(addresses: &[IpAddr]) -> Result<(Arc<ServerConfig>, String), ApiError> {
    let made = |source| ApiError::Certificate { source };
    let names: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let mut params = CertificateParams::new(names).map_err(made)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "burin agent");
    // rcgen's validity is wide, and has to be: this machine's clock may be anywhere.
    let key = KeyPair::generate().map_err(made)?;
    let certificate = params.self_signed(&key).map_err(made)?;
    let fingerprint: String = Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key))
        .map_err(|source| ApiError::Tls { source })?;
    Ok((Arc::new(config), format!("sha256:{fingerprint}")))
}
