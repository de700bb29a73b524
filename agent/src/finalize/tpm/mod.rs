//! A LUKS volume's key in the TPM: sealed to the current PCRs, and unsealed through the policy session that the
//! installed system will use. The formats are systemd's (src/shared/tpm2-util.c of version 252): its primary key, its
//! sealed object, its token.

use crate::error::Coded;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin_tpm::{
    Auth, Created, OWNER, PcrSelection, PcrValues, Tpm, TpmError, Transport, policy_pcr, systemd_data, systemd_key,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use burin_tpm::{DEVICE, Device};

#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    #[error(transparent)]
    Tpm(#[from] TpmError),
    #[error("the TPM has no SHA-256 bank of each of the PCRs {pcrs:?}")]
    NoPcr { pcrs: Vec<u8> },
    #[error("the secret sealed to the PCRs {pcrs:?} differs after unsealing")]
    Differs { pcrs: Vec<u8> },
}

impl Coded for SealingError {
    fn code(&self) -> &'static str {
        match self {
            Self::Tpm(error) => error.code(),
            Self::NoPcr { .. } => "finalize.tpm_pcr",
            Self::Differs { .. } => "finalize.tpm_differs",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Tpm(error) => error.hint(),
            Self::NoPcr { .. } => Some("enable the SHA-256 bank in the firmware's setup".to_owned()),
            Self::Differs { .. } => None,
        }
    }
}

/// A secret kept by the TPM: only this TPM returns it, and only with these PCR values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub pcrs: Vec<u8>,
    object: Created,
    policy: [u8; 32],
}

impl Sealed {
    /// systemd's token for a key slot.
    pub fn token(&self, slot: usize) -> Value {
        json!({
            "type": "systemd-tpm2",
            "keyslots": [slot.to_string()],
            "tpm2-blob": STANDARD.encode(self.object.to_bytes()),
            "tpm2-pcrs": self.pcrs,
            "tpm2-pcr-bank": "sha256",
            "tpm2-primary-alg": "ecc",
            "tpm2-policy-hash": crate::protocol::hex(self.policy),
            "tpm2-pin": false,
        })
    }
}

/// The passphrase that systemd derives from what it unseals.
pub fn passphrase(secret: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(secret))
}

/// Seals a secret to the current PCRs, and unseals it through a policy session before it is trusted.
pub fn seal(transport: impl Transport, pcrs: &[u32], secret: &[u8]) -> Result<Sealed, SealingError> {
    let mut tpm = Tpm::new(transport);
    let numbers: Vec<u8> = pcrs.iter().map(|pcr| u8::try_from(*pcr).unwrap_or(u8::MAX)).collect();
    let wanted = PcrSelection::of(&numbers);
    let values: PcrValues = tpm.pcr_read(wanted)?;
    if values.selection() != wanted || wanted.is_empty() || !numbers.iter().all(|number| wanted.has(*number)) {
        return Err(SealingError::NoPcr { pcrs: numbers });
    }
    let pcrs: Vec<u8> = wanted.numbers().collect();
    let policy = policy_pcr(&values);
    let primary = tpm.create_primary(OWNER, &systemd_key())?.handle;
    let made = tpm.create(primary, &systemd_data(&policy), secret);
    let proven = made.map_err(SealingError::from).and_then(|object| {
        let sealed = Sealed { pcrs, object, policy };
        let back = opened(&mut tpm, primary, &sealed)?;
        if back.as_slice() == secret { Ok(sealed) } else { Err(SealingError::Differs { pcrs: sealed.pcrs }) }
    });
    // If this fails, the kernel's resource manager flushes it anyway.
    let _ = tpm.flush(primary);
    proven
}

/// The sealed secret, if the PCRs are unchanged.
pub fn unseal(transport: impl Transport, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealingError> {
    let mut tpm = Tpm::new(transport);
    let primary = tpm.create_primary(OWNER, &systemd_key())?.handle;
    let back = opened(&mut tpm, primary, sealed);
    let _ = tpm.flush(primary);
    Ok(back?)
}

fn opened<T: Transport>(tpm: &mut Tpm<T>, primary: u32, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, TpmError> {
    let object = tpm.load(primary, &sealed.object)?.handle;
    let back = tpm.policy_session().and_then(|session| {
        let met = tpm.policy_pcr(session, PcrSelection::of(&sealed.pcrs));
        let back = met.and_then(|()| tpm.unseal(object, Auth::Policy(session)));
        let _ = tpm.flush(session);
        back
    });
    let _ = tpm.flush(object);
    back
}

#[cfg(test)]
mod tests;
