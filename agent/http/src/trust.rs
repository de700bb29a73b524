//! Which TLS servers to trust: those certified by public CAs or the operator's CA, or one certificate by its
//! fingerprint.

use super::clock::Clock;
use super::verifier::{Anybody, Fingerprint, Verifier};
use burin_protocol::error::Coded;
use burin_protocol::hex;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// `burin.ca=`: a PEM file, or `sha256:HEX` of the server certificate's DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ca {
    File(PathBuf),
    Fingerprint(Fingerprint),
}

impl fmt::Display for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Fingerprint(fingerprint) => write!(f, "sha256:{}", hex(fingerprint)),
        }
    }
}

impl FromStr for Ca {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let Some(digits) = text.strip_prefix("sha256:") else { return Ok(Self::File(text.into())) };
        // openssl x509 -fingerprint prints colons between the bytes.
        let digits: Vec<u32> = digits.chars().filter(|c| *c != ':').map_while(|c| c.to_digit(16)).collect();
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |sum, d| sum << 4 | *d as u8)).collect();
        let whole = digits.len() == 64 && text.chars().filter(|c| c.is_ascii_hexdigit()).count() == 64 + "a256".len();
        let fingerprint = bytes.try_into().ok().filter(|_| whole);
        fingerprint
            .map(Self::Fingerprint)
            .ok_or_else(|| TrustError::Fingerprint { text: text.chars().take(128).collect() })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("{text:?} is not sha256: and 64 hexadecimal digits")]
    Fingerprint { text: String },
    #[error("cannot read the CA file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the CA file {path} is not PEM certificates")]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("the CA file {path} has no usable certificate")]
    Empty { path: PathBuf },
    #[error("the key {path} of this machine's certificate cannot be read")]
    Key { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{path} has no key; without it the certificate {certificate} cannot be used")]
    NoKey { path: PathBuf, certificate: PathBuf },
    #[error("the certificate {path} does not fit its key")]
    Identity { path: PathBuf, source: rustls::Error },
    #[error("cannot set up TLS")]
    Tls { source: rustls::Error },
}

impl Coded for TrustError {
    fn code(&self) -> &'static str {
        match self {
            Self::Fingerprint { .. } => "controller.ca.fingerprint",
            Self::Read { .. } | Self::Pem { .. } | Self::Empty { .. } => "controller.ca.file",
            Self::Key { .. } | Self::NoKey { .. } | Self::Identity { .. } => "controller.client.file",
            Self::Tls { .. } => "controller.tls.setup",
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::Fingerprint { .. })
            .then(|| "print it with `openssl x509 -in server.pem -noout -fingerprint -sha256`".to_owned())
    }
}

/// The files in the ramdisk that define trust.
#[derive(Debug, Clone)]
pub struct TrustFiles {
    /// Public CAs; may be missing.
    pub bundle: PathBuf,
    /// The controller's own CA, used unless `burin.ca` names another; may be missing.
    pub site: PathBuf,
    /// This machine's own certificate with its chain, for servers that ask for one; may be missing.
    pub client: PathBuf,
    /// The key of `client`; if it is missing, the key is expected in `client`.
    pub client_key: PathBuf,
}

impl TrustFiles {
    pub fn below(root: &Path) -> Self {
        let own = root.join("etc/burin");
        Self {
            bundle: root.join("etc/ssl/certs/ca-certificates.crt"),
            site: own.join("ca.pem"),
            client: own.join("client.pem"),
            client_key: own.join("client.key"),
        }
    }
}

/// A ready TLS configuration; cheap to clone.
#[derive(Debug, Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    clock: Clock,
    tells_time: bool,
}

#[derive(Debug, Default)]
struct Anchors {
    pins: Vec<Fingerprint>,
    own: Vec<CertificateDer<'static>>,
    public: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
}

/// This machine's identity, for servers that ask for it.
#[derive(Debug)]
struct Identity {
    path: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Trust {
    /// For calls to the controller: exactly what `burin.ca` names, else the site's CA file and the public CAs.
    pub fn controller(ca: Option<&Ca>, files: &TrustFiles, clock: Clock) -> Result<Self, TrustError> {
        let mut anchors = Anchors::default();
        match ca {
            Some(ca) => anchors.add(ca)?,
            None => anchors.add_files(files)?,
        }
        anchors.identity = identity(files)?;
        anchors.trust(clock, None).map(|trust| Self { tells_time: true, ..trust })
    }

    /// For images and orders by URL, which may be anywhere: all of it together.
    pub fn downloads(ca: Option<&Ca>, files: &TrustFiles, clock: Clock) -> Result<Self, TrustError> {
        let mut anchors = Anchors::default();
        anchors.add_files(files)?;
        if let Some(ca) = ca {
            anchors.add(ca)?;
        }
        anchors.identity = identity(files)?;
        anchors.trust(clock, None)
    }

    /// Like [`Trust::controller`] with a given clock.
    pub fn with_time(ca: &Ca, clock: Clock, time: Arc<dyn TimeProvider>) -> Result<Self, TrustError> {
        let mut anchors = Anchors::default();
        anchors.add(ca)?;
        anchors.trust(clock, Some(time)).map(|trust| Self { tells_time: true, ..trust })
    }

    /// Trusts any server, if the operator explicitly asked for it (`ipa-insecure`). Only digests then protect what is
    /// fetched.
    pub fn unverified(clock: Clock) -> Result<Self, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Anybody(provider.clone());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| TrustError::Tls { source })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), clock, tells_time: false })
    }

    /// The same trust, for servers other than the controller.
    pub fn of_others(&self) -> Self {
        Self { tells_time: false, ..self.clone() }
    }

    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether replies come from the authenticated controller itself: only these may set the clock.
    pub fn tells_time(&self) -> bool {
        self.tells_time
    }
}

impl Anchors {
    fn add(&mut self, ca: &Ca) -> Result<(), TrustError> {
        match ca {
            Ca::Fingerprint(fingerprint) => self.pins.push(*fingerprint),
            Ca::File(path) => self.own.extend(certificates(path)?),
        }
        Ok(())
    }

    fn add_files(&mut self, files: &TrustFiles) -> Result<(), TrustError> {
        if files.site.exists() {
            self.own.extend(certificates(&files.site)?);
        }
        if files.bundle.exists() {
            self.public.extend(certificates(&files.bundle)?);
        }
        Ok(())
    }

    fn trust(self, clock: Clock, time: Option<Arc<dyn TimeProvider>>) -> Result<Trust, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        // A bundle may contain certificates that webpki cannot parse; the others still count.
        roots.add_parsable_certificates(self.public.into_iter().chain(self.own.iter().cloned()));
        // This builder fails only for an empty store.
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok();
        let verifier =
            Verifier { pins: self.pins, own: self.own, chain, clock: clock.clone(), provider: provider.clone() };
        let time = time.unwrap_or_else(|| Arc::new(rustls::time_provider::DefaultTimeProvider));
        let config = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .map_err(|source| TrustError::Tls { source })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.identity {
            None => config.with_no_client_auth(),
            Some(Identity { path, chain, key }) => {
                config.with_client_auth_cert(chain, key).map_err(|source| TrustError::Identity { path, source })?
            }
        };
        // A resumed session is not verified again, but whatever was accepted without a known time must be.
        config.resumption = Resumption::disabled();
        Ok(Trust { config: Arc::new(config), clock, tells_time: false })
    }
}

/// The certificates in a PEM file, at least one of which must be usable as a CA.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let pem = std::fs::read(path).map_err(|source| TrustError::Read { path: path.into(), source })?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|source| TrustError::Pem { path: path.into(), source })?;
    let usable = certificates.iter().any(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok());
    if usable { Ok(certificates) } else { Err(TrustError::Empty { path: path.into() }) }
}

/// This machine's own certificate and key, if the ramdisk has them.
fn identity(files: &TrustFiles) -> Result<Option<Identity>, TrustError> {
    let path = &files.client;
    if !path.exists() {
        return Ok(None);
    }
    let chain = certificates(path)?;
    let place = if files.client_key.exists() { &files.client_key } else { path };
    let pem = std::fs::read(place).map_err(|source| TrustError::Read { path: place.clone(), source })?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|source| match source {
        rustls::pki_types::pem::Error::NoItemsFound => {
            TrustError::NoKey { path: place.clone(), certificate: path.clone() }
        }
        source => TrustError::Key { path: place.clone(), source },
    })?;
    Ok(Some(Identity { path: path.clone(), chain, key }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_openssl_prints_them() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(format!("sha256:{plain}").parse::<Ca>().unwrap(), Ca::Fingerprint([0xab; 32]));
        assert_eq!(format!("sha256:{colons}").parse::<Ca>().unwrap(), Ca::Fingerprint([0xab; 32]));
        assert_eq!("/etc/burin/ca.pem".parse::<Ca>().unwrap(), Ca::File("/etc/burin/ca.pem".into()));
        for bad in
            ["sha256:", "sha256:ab", &format!("sha256:{plain}0"), &format!("sha256:{}zz{}", &plain[..31], &plain[31..])]
        {
            assert_eq!(bad.parse::<Ca>().unwrap_err().code(), "controller.ca.fingerprint", "{bad}");
        }
    }

    #[test]
    fn ca_files_must_hold_certificates() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let load =
            || Trust::controller(Some(&Ca::File(path.clone())), &TrustFiles::below(directory.path()), Clock::trusted());
        assert!(matches!(load(), Err(TrustError::Read { .. })));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(matches!(load(), Err(TrustError::Empty { .. })));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(load(), Err(TrustError::Pem { .. })));
    }

    #[test]
    fn a_certificate_of_our_own_needs_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let files = TrustFiles::below(directory.path());
        let load = || Trust::controller(None, &files, Clock::trusted());
        std::fs::create_dir_all(directory.path().join("etc/burin")).unwrap();
        let made = || rcgen::generate_simple_self_signed(vec!["machine".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let both = format!("{}{}", one.cert.pem(), one.signing_key.serialize_pem());
        std::fs::write(&files.client, one.cert.pem()).unwrap();
        assert!(matches!(load(), Err(TrustError::NoKey { .. })));
        std::fs::write(&files.client_key, "-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----\n").unwrap();
        let error = load().unwrap_err();
        assert!(matches!(error, TrustError::Key { .. }), "{error:?}");
        assert_eq!(error.code(), "controller.client.file");
        std::fs::write(&files.client_key, other.signing_key.serialize_pem()).unwrap();
        assert!(matches!(load(), Err(TrustError::Identity { .. })));
        std::fs::write(&files.client_key, one.signing_key.serialize_pem()).unwrap();
        assert!(load().is_ok());
        std::fs::remove_file(&files.client_key).unwrap();
        std::fs::write(&files.client, both).unwrap();
        assert!(load().is_ok(), "both in one file");
    }

    #[test]
    fn a_ramdisk_without_any_ca_can_still_speak_http() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Trust::downloads(None, &TrustFiles::below(directory.path()), Clock::trusted()).is_ok());
    }

    #[test]
    fn only_the_controllers_own_replies_tell_the_time() {
        let directory = tempfile::tempdir().unwrap();
        let files = TrustFiles::below(directory.path());
        let controller = Trust::controller(None, &files, Clock::trusted()).unwrap();
        assert!(controller.tells_time() && !controller.of_others().tells_time());
        assert!(!Trust::downloads(None, &files, Clock::trusted()).unwrap().tells_time());
        assert!(!Trust::unverified(Clock::trusted()).unwrap().tells_time(), "whoever answers is not proven");
    }
}
