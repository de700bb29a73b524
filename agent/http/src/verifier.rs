//! Judges server certificates: by fingerprint, or by chain and name with the time as the clock allows.

use super::clock::{Clock, FLOOR};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// SHA-256 of a certificate's DER.
pub type Fingerprint = [u8; 32];

#[derive(Debug)]
pub struct Verifier {
    /// Accepted whatever they say about names and times: the operator named exactly this certificate.
    pub pins: Vec<Fingerprint>,
    /// Certificates of the operator's CA file: a self-signed one may be the server's own.
    pub own: Vec<CertificateDer<'static>>,
    /// None: only pins are accepted.
    pub chain: Option<Arc<WebPkiServerVerifier>>,
    pub clock: Clock,
    pub provider: Arc<CryptoProvider>,
}

pub fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    Sha256::digest(certificate).into()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A chain has few certificates, each with two ends of its validity.
const MOST_TIMES: usize = 8;

impl Verifier {
    /// Chain and name as ever. Where only the time is wrong and the clock is not believed, the chain is judged at a time
    /// inside the validity of the certificate that objected; all of it still has to be valid at one common moment.
    fn leniently(
        &self,
        chain: &WebPkiServerVerifier,
        certificates: (&CertificateDer<'_>, &[CertificateDer<'_>]),
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut time = UnixTime::since_unix_epoch(FLOOR).max(now);
        let mut result = chain.verify_server_cert(certificates.0, certificates.1, name, &[], time);
        for _ in 0..MOST_TIMES {
            time = match &result {
                Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }))
                    if not_after.as_secs() >= FLOOR.as_secs() =>
                {
                    *not_after
                }
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => *not_before,
                _ => return result,
            };
            result = chain.verify_server_cert(certificates.0, certificates.1, name, &[], time);
        }
        result
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pins.contains(&fingerprint(end_entity)) {
            return Ok(ServerCertVerified::assertion());
        }
        if self.own.iter().any(|own| own == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.chain {
            Some(chain) if self.clock.is_trusted() => {
                chain.verify_server_cert(end_entity, intermediates, server_name, &[], now)
            }
            Some(chain) => self.leniently(chain, (end_entity, intermediates), server_name, now),
            None if self.pins.is_empty() => Err(CertificateError::UnknownIssuer.into()),
            None => Err(Error::General(format!(
                "the server's certificate is sha256:{}, not the pinned one",
                hex(&fingerprint(end_entity))
            ))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Believes every certificate; only the handshake has to fit it.
#[derive(Debug)]
pub struct Anybody(pub Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
