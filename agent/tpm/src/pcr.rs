//! Platform configuration registers of the SHA-256 bank.

use crate::bytes::{Reader, Writer};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub(crate) const SHA256: u16 = 0x000b;
const POLICY_PCR: u32 = 0x17f;

/// A set of registers, 0 to 23.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcrSelection(u32);

impl PcrSelection {
    /// Numbers above 23 are ignored.
    pub fn of(numbers: &[u8]) -> Self {
        Self(numbers.iter().filter(|number| **number < 24).fold(0, |bits, number| bits | 1 << number))
    }

    pub fn numbers(self) -> impl Iterator<Item = u8> {
        (0..24).filter(move |number| self.has(*number))
    }

    pub fn has(self, number: u8) -> bool {
        number < 24 && self.0 & 1 << number != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The registers selected here but not in `other`.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// TPML_PCR_SELECTION.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let [low, middle, high, _] = self.0.to_le_bytes();
        Writer::default().u32(1).u16(SHA256).u8(3).raw(&[low, middle, high]).0
    }

    /// `None` if it selects from any bank but SHA-256.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut bits = 0;
        for _ in 0..reader.u32()? {
            let bank = reader.u16()?;
            let size = usize::from(reader.u8()?);
            let map = reader.take(size)?;
            let some = map.iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            match (bank, some) {
                (SHA256, some) => bits |= u32::try_from(some).ok()?,
                (_, 0) => {}
                _ => return None,
            }
        }
        Some(Self(bits))
    }
}

/// Registers and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PcrValues(pub BTreeMap<u8, [u8; 32]>);

impl PcrValues {
    pub fn selection(&self) -> PcrSelection {
        PcrSelection::of(&self.0.keys().copied().collect::<Vec<_>>())
    }

    /// The selected registers; `None` if one of them is not known.
    pub fn of(&self, selection: PcrSelection) -> Option<Self> {
        let one = |number| Some((number, *self.0.get(&number)?));
        selection.numbers().map(one).collect::<Option<BTreeMap<_, _>>>().map(Self)
    }

    /// SHA-256 over all values in ascending order of registers, as in quotes and policies (part 1, section 17.5).
    pub fn digest(&self) -> [u8; 32] {
        self.0.values().fold(Sha256::new(), |hash, value| hash.chain_update(value)).finalize().into()
    }
}

/// The policy of an object that can be used while the registers have these values: `TPM2_PolicyPCR` alone in a session
/// (part 3, section 23.7).
pub fn policy_pcr(values: &PcrValues) -> [u8; 32] {
    Sha256::new()
        .chain_update([0; 32])
        .chain_update(POLICY_PCR.to_be_bytes())
        .chain_update(values.selection().to_bytes())
        .chain_update(values.digest())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_read_as_it_was_written() {
        let selection = PcrSelection::of(&[0, 4, 7, 11, 23, 24, 255]);
        assert_eq!(selection.numbers().collect::<Vec<_>>(), [0, 4, 7, 11, 23]);
        let bytes = selection.to_bytes();
        assert_eq!(bytes, [0, 0, 0, 1, 0, 0x0b, 3, 0x91, 0x08, 0x80]);
        assert_eq!(PcrSelection::read(&mut Reader(&bytes)), Some(selection));
        // A second bank with SHA-1 is not accepted.
        let two = [[0, 0, 0, 2, 0, 0x0b, 3, 0x91, 0x08, 0x80].as_slice(), &[0, 4, 3, 0, 1, 0]].concat();
        assert_eq!(PcrSelection::read(&mut Reader(&two)), None);
        assert_eq!(PcrSelection::read(&mut Reader(&bytes[..9])), None);
    }
}
