//! The firmware's event log (TCG PC Client Platform Firmware Profile, section 10): what was extended into which
//! register, and why. The log is not trusted by itself: it is replayed, and the result is compared with the registers.

use crate::bytes::Reader;
use crate::pcr::PcrValues;
use burin_protocol::error::Coded;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const SHA256: u16 = 0x000b;
const EV_NO_ACTION: u32 = 3;
/// What firmware extends into register 4 besides programs (PC Client Platform Firmware Profile, sections 3.3.4.5 and
/// 8.2): separators, and the attempt to start a boot option.
const OWN_WORDS: [&[u8]; 4] = [
    &[0; 4],
    &[0xff; 4],
    b"Calling EFI Application from Boot Option",
    b"Returning from EFI Application from Boot Option",
];
const SPEC_ID: &[u8] = b"Spec ID Event03\0";
const LOCALITY: &[u8] = b"StartupLocality\0";
/// Only firmware extends the registers up to this one, and it logs everything that it extends.
const OF_FIRMWARE: u8 = 7;
/// More algorithms than any TPM has.
const MOST_ALGORITHMS: u32 = 16;

/// Something that was extended into a register of the SHA-256 bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub register: u8,
    /// EV_...
    pub kind: u32,
    pub digest: [u8; 32],
    /// The firmware's description; only the digest is proven.
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventLog {
    pub events: Vec<Event>,
    /// The initial value of register 0, in its last byte.
    locality: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("the event log does not have the firmware's format")]
    Malformed,
    #[error("the event log does not match register {register}")]
    Forged { register: u8 },
}

impl Coded for LogError {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "attest.log",
            Self::Forged { .. } => "attest.forged_log",
        }
    }
}

impl EventLog {
    pub fn parse(bytes: &[u8]) -> Result<Self, LogError> {
        read(&mut Reader(bytes)).ok_or(LogError::Malformed)
    }

    /// The values of the registers if the log is true and complete.
    pub fn replay(&self) -> PcrValues {
        let mut values: BTreeMap<u8, [u8; 32]> = BTreeMap::new();
        for event in &self.events {
            let mut first = [0; 32];
            if let (0, [.., last]) = (event.register, &mut first) {
                *last = self.locality;
            }
            let value = values.entry(event.register).or_insert(first);
            *value = Sha256::new().chain_update(*value).chain_update(event.digest).finalize().into();
        }
        PcrValues(values)
    }

    /// Checks that this log leads to these values. Registers above 7 that the log does not mention are ignored: the
    /// kernel and its programs extend some of them without a log.
    pub fn explains(&self, values: &PcrValues) -> Result<(), LogError> {
        let replayed = self.replay().0;
        for (register, value) in &values.0 {
            let untouched = (*register <= OF_FIRMWARE).then_some(&[0; 32]);
            if replayed.get(register).or(untouched).is_some_and(|told| told != value) {
                return Err(LogError::Forged { register: *register });
            }
        }
        Ok(())
    }

    /// SHA-256 (Authenticode) of every program that firmware has started, from register 4: boot loaders, unified kernel
    /// images and the kernels in them. The type of an event is only in the log and is not proven. Therefore every event
    /// counts, except the known ones of the firmware itself.
    pub fn programs(&self) -> impl Iterator<Item = &[u8; 32]> {
        let own = OWN_WORDS.map(|word| <[u8; 32]>::from(Sha256::digest(word)));
        let extended = self.events.iter().filter(|event| event.register == 4).map(|event| &event.digest);
        extended.filter(move |digest| !own.contains(digest))
    }
}

fn read(reader: &mut Reader<'_>) -> Option<EventLog> {
    let sizes = algorithms(reader)?;
    let mut log = EventLog::default();
    while !reader.is_empty() {
        let (register, kind, count) = (reader.u32_le()?, reader.u32_le()?, reader.u32_le()?);
        let mut digest = None;
        for _ in 0..count.min(MOST_ALGORITHMS + 1) {
            let algorithm = reader.u16_le()?;
            let bytes = reader.take(*sizes.get(&algorithm)?)?;
            if algorithm == SHA256 {
                digest = bytes.try_into().ok();
            }
        }
        let length = usize::try_from(reader.u32_le()?).ok()?;
        let data = reader.take(length)?;
        if kind == EV_NO_ACTION {
            if let Some([locality, ..]) = data.strip_prefix(LOCALITY) {
                log.locality = *locality;
            }
            continue;
        }
        let register = u8::try_from(register).ok().filter(|register| *register < 24)?;
        log.events.push(Event { register, kind, digest: digest?, data: data.to_vec() });
    }
    Some(log)
}

/// The first event has the old format, and lists the digests of the other events with their lengths.
fn algorithms(reader: &mut Reader<'_>) -> Option<BTreeMap<u16, usize>> {
    let (_register, kind, _digest) = (reader.u32_le()?, reader.u32_le()?, reader.take(20)?);
    let length = usize::try_from(reader.u32_le()?).ok()?;
    let mut data = Reader(reader.take(length)?);
    if kind != EV_NO_ACTION || data.take(SPEC_ID.len())? != SPEC_ID {
        return None;
    }
    // Platform class, version of the specification (3 bytes), size of UINTN.
    data.take(8)?;
    let count = data.u32_le()?;
    if count > MOST_ALGORITHMS {
        return None;
    }
    (0..count).map(|_| Some((data.u16_le()?, usize::from(data.u16_le()?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;

    fn event(register: u32, kind: u32, digest: [u8; 32], data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u32).to_le_bytes();
        let head = [register.to_le_bytes(), kind.to_le_bytes(), 2u32.to_le_bytes()].concat();
        [&head[..], &4u16.to_le_bytes(), &[9; 20], &SHA256.to_le_bytes(), &digest, &length, data].concat()
    }

    fn log(locality: u8) -> Vec<u8> {
        let mut spec = SPEC_ID.to_vec();
        spec.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        spec.extend(2u32.to_le_bytes());
        spec.extend([4, 0, 20, 0, 0x0b, 0, 32, 0, 0]);
        let first = [&0u32.to_le_bytes()[..], &3u32.to_le_bytes(), &[0; 20], &(spec.len() as u32).to_le_bytes()];
        let locality = [LOCALITY, &[locality]].concat();
        [
            first.concat(),
            spec,
            event(0, EV_NO_ACTION, [0; 32], &locality),
            event(0, 1, [1; 32], b"firmware"),
            event(4, EV_EFI_BOOT_SERVICES_APPLICATION, [2; 32], b"burin.efi"),
            event(4, 4, [3; 32], b""),
        ]
        .concat()
    }

    fn extended(first: [u8; 32], digests: &[[u8; 32]]) -> [u8; 32] {
        digests.iter().fold(first, |value, digest| Sha256::digest([value, *digest].concat()).into())
    }

    #[test]
    fn a_log_is_replayed_and_what_it_leaves_out_is_found() {
        let told = EventLog::parse(&log(3)).unwrap();
        let mut first = [0; 32];
        first[31] = 3;
        let real = PcrValues(BTreeMap::from([
            (0, extended(first, &[[1; 32]])),
            (4, extended([0; 32], &[[2; 32], [3; 32]])),
            (11, [7; 32]),
        ]));
        assert_eq!(told.explains(&real), Ok(()));
        assert_eq!(told.programs().collect::<Vec<_>>(), [&[2; 32], &[3; 32]], "whatever kind it says that it is");
        assert_eq!(EventLog::parse(&log(0)).unwrap().explains(&real), Err(LogError::Forged { register: 0 }));
        let mut shorter = told.clone();
        shorter.events.pop();
        assert_eq!(shorter.explains(&real), Err(LogError::Forged { register: 4 }));
        let mut silent = told.clone();
        silent.events.retain(|event| event.register != 4);
        assert_eq!(silent.explains(&real), Err(LogError::Forged { register: 4 }), "nothing said is not nothing done");
        let mut other = told;
        other.events[1].digest = [5; 32];
        assert_eq!(other.explains(&real), Err(LogError::Forged { register: 4 }));
        assert_eq!(EventLog::parse(&log(0)[..100]), Err(LogError::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0usize..200, byte in any::<u8>(), more in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = log(0);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.extend(more);
            let _ = EventLog::parse(&bytes).map(|log| log.replay());
        }
    }
}
