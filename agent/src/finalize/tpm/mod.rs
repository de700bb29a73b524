//! A key of a LUKS volume in the TPM: sealed to PCRs as they are, and opened again through the policy session that the
//! installed system will open it by. The forms are systemd's (src/shared/tpm2-util.c of version 252): its primary key, its
//! sealed object, its token.

mod wire;

use crate::error::Coded;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::{In, NULL, Out, SHA256, WireError, authorised, command, selection};
use zeroize::Zeroizing;

/// With the kernel's resource manager: what is left loaded is forgotten when it is closed.
pub const DEVICE: &str = "dev/tpmrm0";
/// No response is longer (TPM2_MAX_RESPONSE_SIZE).
const LONGEST: usize = 4096;
/// TPM_RC_TESTING and TPM_RC_RETRY: it is busy with itself, and is to be asked again.
const TESTING: u32 = 0x90a;
const RETRY: u32 = 0x922;
const RETRIES: usize = 100;
const AGAIN: Duration = Duration::from_millis(50);
/// TPM_RH_OWNER and TPM_RH_NULL.
const OWNER: u32 = 0x4000_0001;
const NOBODY: u32 = 0x4000_0007;
/// TPMA_OBJECT: fixedTPM, fixedParent; and with these sensitiveDataOrigin, userWithAuth, restricted, decrypt.
const SEALED: u32 = 0x12;
const PRIMARY: u32 = 0x0003_0072;
/// TPM_ALG_ECC, TPM_ALG_KEYEDHASH, TPM_ALG_AES, TPM_ALG_CFB, TPM_ECC_NIST_P256.
const ECC: u16 = 0x0023;
const KEYED_HASH: u16 = 0x0008;
const AES: u16 = 0x0006;
const CFB: u16 = 0x0043;
const P256: u16 = 0x0003;
/// TPM_SE_POLICY.
const POLICY: u8 = 1;

/// Command codes (TPM_CC).
const CREATE_PRIMARY: u32 = 0x131;
const CREATE: u32 = 0x153;
const LOAD: u32 = 0x157;
const UNSEAL: u32 = 0x15e;
const FLUSH: u32 = 0x165;
const START_SESSION: u32 = 0x176;
const READ_PCRS: u32 = 0x17e;
const POLICY_PCR: u32 = 0x17f;

#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    #[error("{device}: the TPM cannot be spoken with", device = device.display())]
    Io { device: PathBuf, source: io::Error },
    #[error("the TPM would not {what}")]
    Refused { what: &'static str, source: WireError },
    #[error("the TPM has no SHA-256 PCR {pcr}")]
    NoPcr { pcr: u32 },
    #[error("what was sealed to the PCRs {pcrs:?} came back as something else")]
    Differs { pcrs: Vec<u32> },
}

impl Coded for TpmError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "finalize.tpm_io",
            Self::Refused { .. } => "finalize.tpm_refused",
            Self::NoPcr { .. } => "finalize.tpm_pcr",
            Self::Differs { .. } => "finalize.tpm_differs",
        }
    }
}

/// Something that answers commands.
pub trait Transport {
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;
}

/// The machine's TPM.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    pub fn open(path: &Path) -> Result<Self, TpmError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.map(Self).map_err(|source| TpmError::Io { device: path.to_owned(), source })
    }
}

impl Transport for Device {
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut answer = vec![0; LONGEST];
        let length = self.0.read(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    }
}

/// A secret in the TPM's keeping: only this TPM, and only with these PCRs, gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub pcrs: Vec<u32>,
    /// Private and public part, as systemd joins them.
    pub blob: Vec<u8>,
    pub policy: [u8; 32],
}

impl Sealed {
    /// systemd's token for a key slot.
    pub fn token(&self, slot: usize) -> Value {
        json!({
            "type": "systemd-tpm2",
            "keyslots": [slot.to_string()],
            "tpm2-blob": STANDARD.encode(&self.blob),
            "tpm2-pcrs": self.pcrs,
            "tpm2-pcr-bank": "sha256",
            "tpm2-primary-alg": "ecc",
            "tpm2-policy-hash": crate::protocol::hex(self.policy),
            "tpm2-pin": false,
        })
    }
}

/// The passphrase that systemd makes of what it unseals.
pub fn passphrase(secret: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(secret))
}

/// Seals a secret to the PCRs as they are, and has it given back through a policy session before anything is believed.
pub fn seal(tpm: &mut dyn Transport, pcrs: &[u32], secret: &[u8]) -> Result<Sealed, TpmError> {
    let mut sorted = pcrs.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut session = Conversation { tpm };
    let values = sorted.iter().map(|pcr| session.pcr(*pcr)).collect::<Result<Vec<_>, _>>()?;
    let policy = policy_digest(&sorted, &values);
    let primary = session.primary()?;
    let made = session.create(primary, &policy, secret);
    let sealed = made.map(|blob| Sealed { pcrs: sorted.clone(), blob, policy });
    let proven = sealed.and_then(|sealed| {
        let back = session.unseal(primary, &sealed)?;
        if back.as_slice() == secret { Ok(sealed) } else { Err(TpmError::Differs { pcrs: sorted.clone() }) }
    });
    session.flush(primary);
    proven
}

/// What was sealed, where the PCRs are as they were.
pub fn unseal(tpm: &mut dyn Transport, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, TpmError> {
    let mut session = Conversation { tpm };
    let primary = session.primary()?;
    let back = session.unseal(primary, sealed);
    session.flush(primary);
    back
}

/// TPM2_PolicyPCR on a fresh session, by arithmetic (part 3, 23.7).
fn policy_digest(pcrs: &[u32], values: &[[u8; 32]]) -> [u8; 32] {
    let mut all = Sha256::new();
    values.iter().for_each(|value| all.update(value));
    let mut hash = Sha256::new();
    hash.update([0; 32]);
    hash.update(POLICY_PCR.to_be_bytes());
    hash.update(selection(pcrs));
    hash.update(all.finalize());
    hash.finalize().into()
}

struct Conversation<'a> {
    tpm: &'a mut dyn Transport,
}

impl Conversation<'_> {
    fn ask(&mut self, what: &'static str, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let failed = |source| TpmError::Io { device: Path::new("/").join(DEVICE), source };
        for _ in 0..RETRIES {
            let answer = Zeroizing::new(self.tpm.transmit(command).map_err(failed)?);
            match In::response(&answer) {
                Ok(_) => return Ok(answer),
                Err(WireError::Code(TESTING | RETRY)) => std::thread::sleep(AGAIN),
                Err(source) => return Err(TpmError::Refused { what, source }),
            }
        }
        Err(TpmError::Refused { what, source: WireError::Code(RETRY) })
    }

    fn pcr(&mut self, pcr: u32) -> Result<[u8; 32], TpmError> {
        const WHAT: &str = "tell a PCR";
        let answer = self.ask(WHAT, &command(READ_PCRS, &[], None, &selection(&[pcr])))?;
        let read = || {
            let mut rest = In::response(&answer)?;
            let _counter = rest.u32()?;
            for _ in 0..rest.u32()? {
                let _hash = rest.u16()?;
                let length = rest.u8()?;
                rest.take(usize::from(length))?;
            }
            // A bank that is off has no value.
            if rest.u32()? == 0 { Ok(None) } else { rest.sized().map(Some) }
        };
        let value = read().map_err(|source| TpmError::Refused { what: WHAT, source })?;
        value.and_then(|value| value.try_into().ok()).ok_or(TpmError::NoPcr { pcr })
    }

    /// The key that everything is sealed under: the same each time, of the owner's seed.
    fn primary(&mut self) -> Result<u32, TpmError> {
        const WHAT: &str = "make its primary key";
        let public = Out::default()
            .u16(ECC)
            .u16(SHA256)
            .u32(PRIMARY)
            .u16(0)
            .u16(AES)
            .u16(128)
            .u16(CFB)
            .u16(NULL)
            .u16(P256)
            .u16(NULL)
            .u16(0)
            .u16(0)
            .into_bytes();
        let parameters = Out::default().sized(&[0; 4]).sized(&public).u16(0).u32(0).into_bytes();
        let answer = self.ask(WHAT, &authorised(CREATE_PRIMARY, OWNER, &parameters))?;
        handle(&answer, WHAT)
    }

    fn create(&mut self, primary: u32, policy: &[u8], secret: &[u8]) -> Result<Vec<u8>, TpmError> {
        const WHAT: &str = "seal a key";
        // As large as it gets: no copy is left behind by growing.
        let mut sensitive = Zeroizing::new(Vec::with_capacity(secret.len() + 4));
        sensitive.extend_from_slice(&[0, 0]);
        sensitive.extend_from_slice(&u16::try_from(secret.len()).unwrap_or(0).to_be_bytes());
        sensitive.extend_from_slice(secret);
        let public = Out::default().u16(KEYED_HASH).u16(SHA256).u32(SEALED).sized(policy).u16(NULL).u16(0).into_bytes();
        let parameters = Zeroizing::new(Out::default().sized(&sensitive).sized(&public).u16(0).u32(0).into_bytes());
        let command = Zeroizing::new(authorised(CREATE, primary, &parameters));
        let answer = self.ask(WHAT, &command)?;
        let read = || {
            let mut rest = In::response(&answer)?;
            let _length = rest.u32()?;
            let (private, public) = (rest.sized()?, rest.sized()?);
            Ok(Out::default().sized(private).sized(public).into_bytes())
        };
        read().map_err(|source| TpmError::Refused { what: WHAT, source })
    }

    fn unseal(&mut self, primary: u32, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let answer = self.ask("load a sealed key", &authorised(LOAD, primary, &sealed.blob))?;
        let object = handle(&answer, "load a sealed key")?;
        let opened = self.open(object, &sealed.pcrs);
        self.flush(object);
        opened
    }

    fn open(&mut self, object: u32, pcrs: &[u32]) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        const WHAT: &str = "begin a policy session";
        let mut nonce = [0; 32];
        // It hides nothing here; a TPM wants 16 bytes at least.
        let _ = getrandom::fill(&mut nonce);
        let parameters = Out::default().sized(&nonce).u16(0).u8(POLICY).u16(NULL).u16(SHA256).into_bytes();
        let answer = self.ask(WHAT, &command(START_SESSION, &[NOBODY, NOBODY], None, &parameters))?;
        let policy = handle(&answer, WHAT)?;
        let given = self.given(object, policy, pcrs);
        self.flush(policy);
        given
    }

    fn given(&mut self, object: u32, policy: u32, pcrs: &[u32]) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let parameters = Out::default().u16(0).bytes(&selection(pcrs)).into_bytes();
        self.ask("take the PCRs into a policy", &command(POLICY_PCR, &[policy], None, &parameters))?;
        const WHAT: &str = "give back what was sealed: its PCRs are others";
        let answer = self.ask(WHAT, &command(UNSEAL, &[object], Some(policy), &[]))?;
        let read = || {
            let mut rest = In::response(&answer)?;
            let _length = rest.u32()?;
            rest.sized()
        };
        let data = read().map_err(|source| TpmError::Refused { what: WHAT, source })?;
        Ok(Zeroizing::new(data.to_vec()))
    }

    /// What fails here, the kernel's resource manager forgets by itself.
    fn flush(&mut self, handle: u32) {
        let _ = self.ask("forget what was loaded", &command(FLUSH, &[handle], None, &[]));
    }
}

fn handle(answer: &[u8], what: &'static str) -> Result<u32, TpmError> {
    In::response(answer).and_then(|mut rest| rest.u32()).map_err(|source| TpmError::Refused { what, source })
}

#[cfg(test)]
mod tests;
