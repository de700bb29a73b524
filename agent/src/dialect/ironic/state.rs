//! State of one boot with Ironic: the token, which is given once, and the certificate, which must not change. Kept for
//! the next agent process of this boot, readable by root only.

use super::error::IronicError;
use crate::protocol::Secret;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rcgen::{KeyUsagePurpose, PKCS_ECDSA_P384_SHA384};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

const NAME: &str = "ironic.json";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IronicState {
    pub boot_id: String,
    pub node: String,
    pub token: Option<Secret>,
    pub heartbeat_seconds: u64,
    pub address: Option<IpAddr>,
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: Option<Secret>,
    /// The target of the last image in this boot.
    pub installed: Option<Installed>,
}

/// The answer to `standby.get_partition_uuids`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    pub device: String,
    /// UUID of the root filesystem for a partition image, else of the disk.
    pub root_uuid: String,
    /// For a partition image.
    #[serde(default)]
    pub esp_uuid: Option<String>,
    pub boot_entry: bool,
}

impl IronicState {
    /// `None` if no process of this boot has left any.
    pub fn load(directory: &Path, boot_id: &str) -> Option<Self> {
        let state: Self = serde_json::from_slice(&std::fs::read(directory.join(NAME)).ok()?).ok()?;
        Some(state).filter(|state| state.boot_id == boot_id)
    }

    /// Written atomically, and never readable for others, not even for a moment.
    pub fn save(&self, directory: &Path) -> Result<(), IronicError> {
        let path = directory.join(NAME);
        let failed = |source| IronicError::State { path: path.clone(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let new = directory.join(format!(".{NAME}.new"));
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
        let bytes = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        file.write_all(&bytes).map_err(failed)?;
        std::fs::rename(&new, &path).map_err(failed)
    }

    /// Makes the certificate for this address, unless there already is one.
    pub fn certify(&mut self, address: IpAddr) -> Result<(), IronicError> {
        if self.address == Some(address) && self.key.is_some() {
            return Ok(());
        }
        let made = |source| IronicError::Certificate { source };
        let mut params = CertificateParams::new(vec![address.to_string()]).map_err(made)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, address.to_string());
        // Strict verifiers (Python 3.13) require this of a self-signed certificate.
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // rcgen's default validity period is wide, as needed here: this machine's clock may show any time.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(made)?;
        let certificate = params.self_signed(&key).map_err(made)?;
        self.certificate = certificate.pem();
        self.key = Some(Secret::new(key.serialize_pem()));
        self.address = Some(address);
        Ok(())
    }

    /// TLS 1.3 only, which Ironic's conductors use.
    pub fn tls(&self) -> Result<Arc<ServerConfig>, IronicError> {
        let failed = |why: &str| IronicError::Tls { source: rustls::Error::General(why.to_owned()) };
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .map_err(|_| failed("the certificate that was kept is none"))?;
        let key = self.key.as_ref().map(Secret::reveal).unwrap_or_default();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| failed("the key that was kept is none"))?;
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate], key))
            .map(Arc::new)
            .map_err(|source| IronicError::Tls { source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_kept_for_this_boot_and_for_root_alone() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = IronicState { boot_id: "b".into(), node: "n".into(), ..IronicState::default() };
        state.token = Some(Secret::new("t0ken"));
        state.certify([192, 0, 2, 1].into()).unwrap();
        let first = state.certificate.clone();
        state.certify([192, 0, 2, 1].into()).unwrap();
        assert_eq!(state.certificate, first, "Ironic refuses another certificate within a boot");
        state.save(directory.path()).unwrap();
        state.save(directory.path()).unwrap();
        let mode = std::fs::metadata(directory.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(IronicState::load(directory.path(), "b"), Some(state.clone()));
        assert_eq!(IronicState::load(directory.path(), "another boot"), None);
        assert!(state.tls().is_ok());
        let shown = format!("{state:?}");
        assert!(!shown.contains("t0ken") && !shown.contains("PRIVATE"), "{shown}");
    }
}
