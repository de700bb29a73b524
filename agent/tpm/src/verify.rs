//! The controller's verification of an attestation: whether the machine booted the expected software, and which keys it
//! has.

use crate::attest::{QuoteError, Signed};
use crate::event_log::{EventLog, LogError};
use crate::pcr::{PcrSelection, PcrValues, policy_pcr};
use crate::public::Public;
use burin_protocol::error::Coded;
use burin_protocol::hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The registers to which a sealing key is bound: programs started by firmware (4), Secure Boot (7), ramdisk (9 and
/// 11), and what comes from outside of a unified kernel image (12 and 13).
pub const SEALING: [u8; 6] = [4, 7, 9, 11, 12, 13];

/// Registers that stay zero if the image was started with nothing from outside.
const FROM_OUTSIDE: [u8; 2] = [12, 13];

/// The nonce of a quote, which binds it to the challenge and to the machine's keys.
pub fn binding(secret: &[u8], key: &str, sealing_key: Option<&Public>) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"burin-attestation/v1\0")
        .chain_update(secret)
        .chain_update(key)
        .chain_update([0])
        .chain_update(sealing_key.map(Public::to_bytes).unwrap_or_default())
        .finalize()
        .into()
}

/// The expected state of a machine. Empty fields are not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// SHA-256 (Authenticode) of the programs that firmware may have started before the image, in any order.
    pub programs: Vec<[u8; 32]>,
    /// One of these must have been started last: `burin.efi` and then the kernel in it, as listed in the builder's
    /// manifest, or `burin.efi` alone if the firmware was not asked to load that kernel: under Secure Boot systemd's
    /// stub vouches for it. The kernel by itself may have any ramdisk.
    pub images: Vec<Vec<[u8; 32]>>,
    /// Required values of registers.
    pub registers: BTreeMap<u8, [u8; 32]>,
}

impl Expected {
    /// The registers that must be quoted for these checks: all that firmware and kernel image extend.
    pub fn selection(&self) -> PcrSelection {
        let more = self.registers.keys().copied();
        PcrSelection::of(&(0..=9).chain(SEALING).chain(more).collect::<Vec<_>>())
    }
}

/// An attestation, and what it was made for.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The secret of the challenge.
    pub secret: &'a [u8],
    /// The attestation key for which the challenge was made.
    pub attestation_key: &'a Public,
    /// The `key` of hello.
    pub key: &'a str,
    pub quote: &'a Signed,
    pub registers: &'a PcrValues,
    pub log: Option<&'a [u8]>,
    pub sealing_key: Option<&'a Public>,
}

/// Why a machine fails attestation.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    #[error(transparent)]
    Quote(#[from] QuoteError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the machine sent no event log")]
    NoLog,
    #[error("the machine has not quoted register {register}")]
    NotQuoted { register: u8 },
    #[error("the machine has started {digest}, which is not known")]
    Program { digest: String },
    #[error("the event log contains no started program")]
    NoProgram,
    #[error("register {register} holds {found}")]
    Register { register: u8, found: String },
    #[error("the sealing key is not bound to the registers that were quoted")]
    SealingKey,
}

impl Coded for AttestError {
    fn code(&self) -> &'static str {
        match self {
            Self::Quote(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::NoLog => "attest.no_log",
            Self::NotQuoted { .. } => "attest.not_quoted",
            Self::Program { .. } | Self::NoProgram => "attest.program",
            Self::Register { .. } => "attest.register",
            Self::SealingKey => "attest.sealing_key",
        }
    }
}

impl Expected {
    /// Checks that this machine has booted the expected software. If so, its keys can be trusted.
    pub fn check(&self, evidence: Evidence<'_>) -> Result<(), AttestError> {
        let Evidence { secret, attestation_key, key, quote, registers, log, sealing_key } = evidence;
        quote.verify(attestation_key)?.check(&binding(secret, key, sealing_key), registers)?;
        let unquoted = self.selection().without(registers.selection()).numbers().next();
        if let Some(register) = unquoted {
            return Err(AttestError::NotQuoted { register });
        }
        let different = |(register, wanted): (&u8, &[u8; 32])| {
            let found = registers.0.get(register);
            let text = || found.map_or("nothing".to_owned(), hex);
            (found != Some(wanted)).then(|| AttestError::Register { register: *register, found: text() })
        };
        if let Some(error) = self.registers.iter().find_map(different) {
            return Err(error);
        }
        if !self.programs.is_empty() || !self.images.is_empty() {
            let log = EventLog::parse(log.ok_or(AttestError::NoLog)?)?;
            log.explains(registers)?;
            self.started(&log.programs().copied().collect::<Vec<_>>())?;
            self.nothing_from_outside(registers)?;
        }
        let Some(sealing_key) = sealing_key else { return Ok(()) };
        let policy = registers.of(PcrSelection::of(&SEALING)).map(|values| policy_pcr(&values));
        let bound = policy.is_some_and(|policy| sealing_key.is_sealing_key(&policy));
        if bound { Ok(()) } else { Err(AttestError::SealingKey) }
    }

    /// Checks that these programs, in this order, are among those that may be started.
    fn started(&self, started: &[[u8; 32]]) -> Result<(), AttestError> {
        let last = started.last().ok_or(AttestError::NoProgram)?;
        let unknown = |digest: &[u8; 32]| AttestError::Program { digest: hex(digest) };
        // The whole image first: a program may be the kernel of one image and the first program of another.
        let ends = self.images.iter().flat_map(|image| [image.as_slice(), image.get(..1).unwrap_or_default()]);
        let mut ends = ends.filter(|end| !end.is_empty() && started.ends_with(end));
        let before = match ends.next() {
            Some(end) => started.get(..started.len() - end.len()).unwrap_or_default(),
            None if self.images.is_empty() => started,
            None => return Err(unknown(last)),
        };
        let other = before.iter().find(|program| !self.programs.contains(program));
        other.map_or(Ok(()), |other| Err(unknown(other)))
    }

    /// Without Secure Boot, systemd's stub accepts another command line, credentials and extensions from outside of the
    /// image, and measures them into these registers.
    fn nothing_from_outside(&self, registers: &PcrValues) -> Result<(), AttestError> {
        let watched =
            FROM_OUTSIDE.into_iter().filter(|one| !self.images.is_empty() && !self.registers.contains_key(one));
        for register in watched {
            if let Some(found) = registers.0.get(&register).filter(|value| **value != [0; 32]) {
                return Err(AttestError::Register { register, found: hex(found) });
            }
        }
        Ok(())
    }
}
