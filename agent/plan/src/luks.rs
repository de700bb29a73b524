//! LUKS2 volumes: cipher, sector size and key derivation, chosen once and written into the plan.

use super::attributes::Attributes;
use super::fresh::{self, Made};
use super::layers;
use super::refusal::Reason;
use super::steps::Context;
use burin_protocol::Secret;
use burin_protocol::order::{Crypt, Layout, Order, Size, Unlock};
use burin_protocol::plan::steps::CreateLuks;
use burin_protocol::plan::{CrypttabEntry, Device, PlannedKey, PlannedPbkdf, Step};
use burin_table::guid;
use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;
/// Two headers of 16 KiB and the key slots, cryptsetup's default.
const OFFSET: u64 = 16 * MIB;
/// Larger and fewer sectors take less work. Torn writes are no worse, because every 16 bytes are encrypted
/// independently.
const SECTOR: u32 = 4096;
/// RFC 9106, section 4: the second recommended option, for machines with little or unknown memory.
const LEAST_MEMORY: u64 = 64 * MIB;
/// cryptsetup's default limit; trying a passphrase then takes about a second.
const MOST_MEMORY: u64 = 1024 * MIB;
/// cryptsetup's minimum.
const ITERATIONS: u32 = 4;
const THREADS: u32 = 4;
/// PCRs that firmware alone extends, independently of what is booted: its code (0), option ROMs (2) and their
/// configuration (3), Secure Boot's state and keys (7). All others differ between this boot and the installed system's
/// (TCG PC Client Platform Firmware Profile, 3.3.4).
const FORESEEN: [u32; 4] = [0, 2, 3, 7];
/// The longest passphrase that cryptsetup reads from a terminal.
const LONGEST: usize = 512;

/// Passphrases of an order, attributes resolved, by layout, volume and position among its keys.
pub type Passphrases = BTreeMap<(String, String, usize), Secret>;

pub fn steps(
    context: Context<'_>,
    name: &str,
    crypt: &Crypt,
    steps: &mut Vec<Step>,
    made: &mut Vec<Made>,
) -> Result<(), Reason> {
    let what = format!("LUKS (`{name}`)");
    let devices = layers::devices(context, &crypt.on);
    let [on] = devices.as_slice() else {
        let what = format!("{what} over a partition of {} disks: put an array below it", devices.len());
        return Err(Reason::Unsupported { what });
    };
    let have = layers::size(context, steps, on);
    // There must be room for a filesystem, or it is a mistake.
    let size = have.saturating_sub(OFFSET) / u64::from(SECTOR) * u64::from(SECTOR);
    if size < MIB {
        return Err(Reason::NoRoom { what, need: OFFSET + MIB, have });
    }
    let keys = crypt.unlock.iter().map(|unlock| key(name, unlock)).collect::<Result<_, _>>()?;
    let on_words = layers::on_words(context, steps, &devices);
    let uuid = guid::derived(&[&context.order.id, "luks", name, &on_words]).to_string();
    let device = Device::Luks { name: name.to_owned() };
    if let Some(filesystem) = fresh::filesystem(context, crypt.filesystem.as_ref(), &uuid, name) {
        let options = crypt.filesystem.as_ref().map(|one| one.mount_options.clone()).unwrap_or_default();
        made.push(Made::single(device, filesystem, crypt.mount.clone(), options));
    }
    steps.push(Step::CreateLuks(CreateLuks {
        name: name.to_owned(),
        on: on.clone(),
        uuid,
        cipher: "aes-xts-plain64".to_owned(),
        // Two keys of 256 bits (IEEE 1619).
        key_bits: 512,
        sector_size: SECTOR,
        offset: OFFSET,
        size,
        pbkdf: PlannedPbkdf {
            memory: memory(context.memory, crypt.pbkdf_memory),
            iterations: ITERATIONS,
            threads: THREADS,
        },
        keys,
    }));
    Ok(())
}

fn key(name: &str, unlock: &Unlock) -> Result<PlannedKey, Reason> {
    Ok(match unlock {
        Unlock::Tpm2 { pcrs } => match pcrs.iter().find(|pcr| !FORESEEN.contains(pcr)) {
            None => PlannedKey::Tpm2 { pcrs: pcrs.clone() },
            Some(pcr) => {
                let what = format!("a key in the TPM with PCR {pcr}, which cannot be foreseen (LUKS `{name}`)");
                return Err(Reason::Unsupported { what });
            }
        },
        Unlock::Passphrase(_) => PlannedKey::Passphrase,
        Unlock::RecoveryKey { to } => PlannedKey::RecoveryKey { to: to.clone() },
        Unlock::Generated { to } => PlannedKey::Generated { to: to.clone() },
    })
}

/// An eighth of the machine's memory, rounded down to a power of two: the installed system's ramdisk needs as much,
/// beside its own.
fn memory(machine: Option<u64>, wanted: Option<Size>) -> u64 {
    if let Some(wanted) = wanted {
        return wanted.bytes();
    }
    let eighth = machine.unwrap_or(0) / 8;
    let power = eighth.checked_ilog2().map_or(0, |bits| 1u64 << bits);
    power.clamp(LEAST_MEMORY, MOST_MEMORY)
}

/// Whether the order's memory size is valid.
pub fn is_memory(wanted: Size) -> bool {
    (32 * MIB..=4096 * MIB).contains(&wanted.bytes()) && wanted.bytes().is_multiple_of(MIB)
}

/// Whether a key in the TPM opens it.
pub fn is_in_tpm(step: &CreateLuks) -> bool {
    step.keys.iter().any(|key| matches!(key, PlannedKey::Tpm2 { .. }))
}

/// Lines for the tree's crypttab.
pub fn crypttab(steps: &[Step]) -> Vec<CrypttabEntry> {
    let entry = |step: &Step| match step {
        Step::CreateLuks(made) => {
            let tpm = is_in_tpm(made).then(|| "tpm2-device=auto".to_owned());
            let options = std::iter::once("luks".to_owned()).chain(tpm).collect();
            Some(CrypttabEntry { name: made.name.clone(), uuid: made.uuid.clone(), options })
        }
        _ => None,
    };
    steps.iter().filter_map(entry).collect()
}

/// The passphrases of one layout.
pub fn passphrases(layout: &Layout, at: &str, attributes: &Attributes) -> Result<Passphrases, Reason> {
    let mut found = Passphrases::new();
    for (name, crypt) in &layout.luks {
        for (place, unlock) in crypt.unlock.iter().enumerate() {
            let Unlock::Passphrase(text) = unlock else { continue };
            let at = format!("{at}/luks/{name}/unlock/{place}/passphrase");
            let text = attributes.text(text, &at)?;
            let typed = !text.chars().any(|c| c.is_control());
            if text.is_empty() || text.len() > LONGEST || !typed {
                let message = format!("expected 1 to {LONGEST} bytes of text on one line");
                return Err(Reason::BadValue { at, message });
            }
            found.insert((layout.name.clone(), name.clone(), place), Secret::new(text));
        }
    }
    Ok(found)
}

/// The passphrases of all layouts; those that another layout lacks do not matter.
pub fn all_passphrases(order: &Order, attributes: &Attributes) -> Passphrases {
    let each = order.layouts.iter().enumerate();
    each.filter_map(|(i, layout)| passphrases(layout, &format!("/layouts/{i}"), attributes).ok()).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_machine_can_spare() {
        const GIB: u64 = 1 << 30;
        for (machine, wanted) in [
            (None, 64 * MIB),
            (Some(512 * MIB), 64 * MIB),
            (Some(2 * GIB), 256 * MIB),
            (Some(3 * GIB), 256 * MIB),
            (Some(8 * GIB), GIB),
            (Some(1 << 41), GIB),
        ] {
            assert_eq!(memory(machine, None), wanted, "{machine:?}");
        }
        assert_eq!(memory(Some(GIB), Some(Size::from_bytes(2 * GIB))), 2 * GIB);
    }
}
