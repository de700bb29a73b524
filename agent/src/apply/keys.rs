//! Keys of LUKS volumes, in memory that is wiped: passphrases of the order, and keys that are generated here.

use super::ApplyError;
use super::work::Work;
use crate::finalize::tpm::{self, Sealed};
use crate::protocol::Secret;
use crate::protocol::plan::PlannedKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use std::io;
use zeroize::Zeroizing;

/// systemd's alphabet for recovery keys: the same keys on most keyboard layouts.
const MODHEX: &[u8; 16] = b"cbdefghijklnrtuv";
/// 256 bits.
const BYTES: usize = 32;

/// A key and its properties.
#[derive(Debug)]
pub struct Key {
    pub secret: Secret,
    /// Random and long, so that slow derivation would add nothing.
    pub is_random: bool,
    /// The type of its token in the header, if systemd has one for it.
    pub token: Option<&'static str>,
    pub escrow: Option<Escrow>,
    /// The part stored in the TPM, if any.
    pub sealed: Option<Sealed>,
}

impl Key {
    /// Its token for the header.
    pub fn token(&self, slot: usize) -> Option<Value> {
        let plain = |kind| json!({ "type": kind, "keyslots": [slot.to_string()] });
        self.sealed.as_ref().map(|sealed| sealed.token(slot)).or_else(|| self.token.map(plain))
    }
}

/// A key for its keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Escrow {
    /// `recovery-key` or `generated`.
    pub key: &'static str,
    pub slot: usize,
    /// The age recipient.
    pub to: String,
    /// An age file, as text.
    pub age: String,
}

/// The keys of a volume, one for each slot.
pub fn gather(work: &Work, volume: &str, planned: &[PlannedKey]) -> Result<Vec<Key>, ApplyError> {
    let each = planned.iter().enumerate().map(|(slot, key)| match key {
        PlannedKey::Passphrase => {
            let place = (work.plan.layout.clone(), volume.to_owned(), slot);
            let found = work.seed.as_ref().and_then(|seed| seed.passphrases.get(&place));
            let secret = found.ok_or_else(|| ApplyError::NoPassphrase { volume: volume.to_owned() })?.clone();
            Ok(Key { secret, is_random: false, token: None, escrow: None, sealed: None })
        }
        PlannedKey::RecoveryKey { to } => {
            made("recovery-key", slot, to, modhex(random()?.as_ref()), Some("systemd-recovery"))
        }
        PlannedKey::Tpm2 { pcrs } => in_tpm(work, pcrs),
        PlannedKey::Generated { to } => made("generated", slot, to, STANDARD.encode(random()?.as_slice()), None),
    });
    each.collect()
}

fn made(
    key: &'static str,
    slot: usize,
    to: &str,
    text: String,
    token: Option<&'static str>,
) -> Result<Key, ApplyError> {
    let secret = Secret::new(text);
    let age = burin_sign::seal(secret.reveal().as_bytes(), to).map_err(|source| ApplyError::Escrow { source })?;
    let escrow = Some(Escrow { key, slot, to: to.to_owned(), age });
    Ok(Key { secret, is_random: true, token, escrow, sealed: None })
}

/// Afterwards only the TPM knows it.
fn in_tpm(work: &Work, pcrs: &[u32]) -> Result<Key, ApplyError> {
    let bytes = random()?;
    let device = tpm::Device::below(&work.paths.root);
    let device = device.map_err(|_| ApplyError::NoTpm { device: work.paths.root.join(tpm::DEVICE) })?;
    let sealed = Some(tpm::seal(device, pcrs, bytes.as_ref())?);
    let secret = Secret::new(tpm::passphrase(bytes.as_ref()).as_str());
    Ok(Key { secret, is_random: true, token: Some("systemd-tpm2"), escrow: None, sealed })
}

fn random() -> Result<Zeroizing<[u8; BYTES]>, ApplyError> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    let failed = |error| ApplyError::Tool { tool: "getrandom", source: io::Error::other(error) };
    getrandom::fill(bytes.as_mut()).map_err(failed)?;
    Ok(bytes)
}

/// Eight groups of eight letters (systemd, "recovery-key.c").
fn modhex(bytes: &[u8]) -> String {
    let letter = |half: u8| MODHEX.get(usize::from(half & 15)).copied().map_or('c', char::from);
    // Allocated in full size: growing would leave copies behind.
    let mut text = String::with_capacity(bytes.len() * 2 + bytes.len() / 4);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index.is_multiple_of(4) {
            text.push('-');
        }
        text.extend([letter(byte >> 4), letter(*byte)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn recovery_keys_are_as_systemd_makes_them() {
        assert_eq!(modhex(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]), "cbdefghi-jklnrtuv");
        let text = modhex(random().unwrap().as_ref());
        assert_eq!((text.len(), text.split('-').count()), (71, 8));
        assert_ne!(text, modhex(random().unwrap().as_ref()));
    }

    #[test]
    fn what_is_made_prints_nowhere_but_to_its_keeper() {
        let key = made("generated", 1, TO, "hunter2hunter2".to_owned(), None).unwrap();
        let shown = format!("{key:?} {}", serde_json::to_string(&key.escrow).unwrap());
        assert!(shown.contains("BEGIN AGE") && !shown.contains("hunter2"), "{shown}");
    }
}
