//! The machine's TPM: attests to a controller, and unseals secrets of orders for this machine.
//!
//! Keys are not stored anywhere: the same TPM derives the same ones at each boot. The machine's own key (Ed25519, which
//! TPMs do not support) is kept in memory; the quote covers it, so that trust in the quote extends to what it signs.

mod sealed;

pub use sealed::{OpenError, Opened, open};

use crate::error::Coded;
use crate::protocol::attestation::{AttestReply, AttestRequest, Attestation, VERSION};
use crate::protocol::hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin_tpm::{
    Challenge, Device, EK_ECC, EK_RSA, ENDORSEMENT, Loaded, PcrSelection, PcrValues, SEALING, Tpm, TpmError, Transport,
    attestation_key, binding, endorsement_key, policy_pcr, sealing_key,
};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Firmware writes some ten KiB.
const LONGEST_LOG: u64 = 4 << 20;
const LOG: &str = "sys/kernel/security/tpm0/binary_bios_measurements";

/// A connection to the TPM: sends a command, returns its response.
pub type Line = Box<dyn FnMut(&[u8]) -> io::Result<Vec<u8>>>;
/// Opens one.
pub type OpenTpm = dyn Fn() -> io::Result<Line> + Send + Sync;

/// The machine's TPM, and its firmware's event log.
#[derive(Clone)]
pub struct Chip {
    tpm: Arc<OpenTpm>,
    log: PathBuf,
}

impl Chip {
    /// The kernel's, below `root`.
    pub fn below(root: &Path) -> Self {
        let below = root.to_owned();
        let open = move || -> io::Result<Line> {
            let mut device = Device::below(&below)?;
            Ok(Box::new(move |command| device.exchange(command)))
        };
        Self::new(Arc::new(open), root)
    }

    /// Another one, for tests.
    pub fn new(tpm: Arc<OpenTpm>, root: &Path) -> Self {
        Self { tpm, log: root.join(LOG) }
    }

    fn open(&self) -> Result<Tpm<Line>, AttestError> {
        (self.tpm)().map(Tpm::new).map_err(|source| AttestError::NoTpm { source })
    }

    /// The keys of this machine's TPM, for a challenge.
    pub fn introduce(&self) -> Result<AttestRequest, AttestError> {
        let mut tpm = self.open()?;
        let (endorsement, certificate) = endorsement(&mut tpm)?;
        tpm.flush(endorsement.handle)?;
        let key = tpm.create_primary(ENDORSEMENT, &attestation_key())?;
        tpm.flush(key.handle)?;
        Ok(AttestRequest {
            version: VERSION.to_owned(),
            endorsement: STANDARD.encode(endorsement.public.to_bytes()),
            certificate: certificate.map(|bytes| STANDARD.encode(bytes)),
            key: STANDARD.encode(key.public.to_bytes()),
        })
    }

    /// The answer to a challenge, which proves that hello's `key` belongs to this machine in its current state.
    pub fn answer(&self, reply: &AttestReply, key: &str) -> Result<Attestation, AttestError> {
        let bytes = |text: &str| STANDARD.decode(text).map_err(|_| AttestError::Challenge);
        let challenge = Challenge { credential: bytes(&reply.credential)?, secret: bytes(&reply.secret)? };
        let mut tpm = self.open()?;
        let (endorsement, _) = endorsement(&mut tpm)?;
        let attestation = tpm.create_primary(ENDORSEMENT, &attestation_key())?;
        let secret = tpm.activate_credential(attestation.handle, endorsement.handle, &challenge)?;
        tpm.flush(endorsement.handle)?;
        let sealing = sealing(&mut tpm)?;
        tpm.flush(sealing.handle)?;
        let selection = PcrSelection::of(&reply.registers);
        // The registers may change between two commands; then the quote shows it, and the controller asks again.
        let registers = tpm.pcr_read(selection)?;
        let nonce = binding(&secret, key, Some(&sealing.public));
        let quote = tpm.quote(attestation.handle, &nonce, &selection)?;
        tpm.flush(attestation.handle)?;
        let log = File::open(&self.log).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(LONGEST_LOG).read_to_end(&mut bytes).map(|_| bytes)
        });
        let log = log.inspect_err(|error| log::warn!("the firmware's event log cannot be read: {error}"));
        Ok(Attestation {
            challenge: reply.challenge.clone(),
            quote: STANDARD.encode(&quote.attest),
            signature: STANDARD.encode(&quote.signature),
            registers: registers.0.iter().map(|(number, value)| (*number, hex(value))).collect(),
            log: log.ok().map(|bytes| STANDARD.encode(bytes)),
            sealing_key: Some(STANDARD.encode(sealing.public.to_bytes())),
        })
    }
}

/// Another kernel follows this one without the firmware's knowledge: it must not be able to attest as this ramdisk, or
/// unseal what was sealed for it. Without a TPM there is nothing to do.
pub fn leave(root: &Path) -> Result<(), AttestError> {
    match Chip::below(root).open() {
        Err(AttestError::NoTpm { .. }) => Ok(()),
        tpm => Ok(tpm?.pcr_extend(4, &Sha256::digest(b"burin: another kernel follows").into())?),
    }
}

impl fmt::Debug for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chip {{ log: {} }}", self.log.display())
    }
}

/// The endorsement key that has a certificate, RSA before P-256; the RSA one if neither has.
fn endorsement(tpm: &mut Tpm<Line>) -> Result<(Loaded, Option<Vec<u8>>), TpmError> {
    let mut certificate = tpm.nv_read(EK_RSA)?;
    let mut ecc = false;
    if certificate.is_none() {
        certificate = tpm.nv_read(EK_ECC)?;
        ecc = certificate.is_some();
    }
    Ok((tpm.create_primary(ENDORSEMENT, &endorsement_key(ecc))?, certificate))
}

/// The sealing key for the current state of the registers.
fn sealing(tpm: &mut Tpm<Line>) -> Result<Loaded, TpmError> {
    let values: PcrValues = tpm.pcr_read(PcrSelection::of(&SEALING))?;
    tpm.create_primary(ENDORSEMENT, &sealing_key(&policy_pcr(&values)))
}

/// Why this machine cannot be attested.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    #[error("this machine has no TPM 2.0 that can be used")]
    NoTpm { source: io::Error },
    #[error("the controller's challenge is not base64")]
    Challenge,
    #[error(transparent)]
    Tpm(#[from] TpmError),
}

impl Coded for AttestError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoTpm { .. } => "tpm.none",
            Self::Challenge => "attest.challenge",
            Self::Tpm(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoTpm { .. } => Some("enable the TPM in the firmware's setup".to_owned()),
            Self::Challenge => None,
            Self::Tpm(error) => error.hint(),
        }
    }
}
