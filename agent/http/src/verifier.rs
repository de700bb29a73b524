//! Verifies server certificates: by fingerprint, or by chain and name, with the time that the clock allows.

use super::clock::{Clock, Validity};
use burin_protocol::hex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// SHA-256 of a certificate's DER.
pub type Fingerprint = [u8; 32];

#[derive(Debug)]
pub struct Verifier {
    /// Accepted whatever their names and times are: the operator named exactly this certificate.
    pub pins: Vec<Fingerprint>,
    /// Certificates in the operator's CA file: a self-signed one may be the server's own.
    pub own: Vec<CertificateDer<'static>>,
    /// `None`: only pins are accepted.
    pub chain: Option<Arc<WebPkiServerVerifier>>,
    pub clock: Clock,
    pub provider: Arc<CryptoProvider>,
}

pub fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    Sha256::digest(certificate).into()
}

/// A chain has few certificates, each with one start of validity.
const MOST_TIMES: usize = 8;

impl Verifier {
    /// Chain and name are checked as usual; the clock decides when it must be valid.
    fn by_chain(
        &self,
        chain: &WebPkiServerVerifier,
        certificates: (&CertificateDer<'_>, &[CertificateDer<'_>]),
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let at = |time| chain.verify_server_cert(certificates.0, certificates.1, name, &[], unix(time));
        match self.clock.validity(UNIX_EPOCH + Duration::from_secs(now.as_secs())) {
            Validity::At(time) => at(time),
            Validity::AtBoth(one, other) => at(one).and_then(|_| at(other)),
            Validity::NotEndedAt(time) => leniently(chain, certificates, name, unix(time)),
        }
    }
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// If a certificate is merely not valid yet, the chain is checked at the start of its validity: no certificate may have
/// expired at `time`, and all must be valid at one common moment.
fn leniently(
    chain: &WebPkiServerVerifier,
    certificates: (&CertificateDer<'_>, &[CertificateDer<'_>]),
    name: &ServerName<'_>,
    mut time: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let mut result = chain.verify_server_cert(certificates.0, certificates.1, name, &[], time);
    for _ in 0..MOST_TIMES {
        let Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) = &result else {
            return result;
        };
        time = *not_before;
        result = chain.verify_server_cert(certificates.0, certificates.1, name, &[], time);
    }
    result
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
            Some(chain) => self.by_chain(chain, (end_entity, intermediates), server_name, now),
            None if self.pins.is_empty() => Err(CertificateError::UnknownIssuer.into()),
            None => Err(Error::General(format!(
                "the server's certificate is sha256:{}, not the pinned one",
                hex(fingerprint(end_entity))
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

/// Trusts every certificate; only the handshake must match it.
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
