//! Creates LUKS2 volumes with cryptsetup, then verifies both headers and opens the volume with every key.

use super::{ApplyError, CreateLuks, Perform, Ramdisk, Work};
use crate::apply::bound::Access;
use crate::apply::crypt::{self, CRYPTSETUP, OpenVolume};
use crate::apply::keys::{self, Escrow, Key};
use crate::apply::mapped::{self, Mapped};
use crate::apply::{group, resolve, wipe};
use crate::finalize::luks::{self, Header, Kdf};
use crate::finalize::tpm;
use crate::protocol::plan::{Device, PlannedKey};
use serde::Serialize;
use std::sync::Arc;

/// A volume according to its headers. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LuksReceipt {
    pub device: String,
    pub on: String,
    pub uuid: String,
    pub cipher: String,
    pub key_bits: u32,
    pub sector_size: u32,
    pub size: u64,
    /// Each of them has opened the volume.
    pub slots: Vec<SlotReceipt>,
    /// Keys that were generated here, for their keepers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escrow: Vec<Escrow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotReceipt {
    pub slot: usize,
    pub pbkdf: String,
    /// Memory for trying a passphrase, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'static str>,
    /// Sealed to these PCRs of the TPM, with their values in this boot; the TPM has returned the key once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcrs: Option<Vec<u8>>,
}

impl Perform for CreateLuks {
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
        let device = ramdisk.root.join(tpm::DEVICE);
        if self.keys.iter().any(|key| matches!(key, PlannedKey::Tpm2 { .. })) && !device.exists() {
            return Err(ApplyError::NoTpm { device });
        }
        ramdisk.program(CRYPTSETUP)?;
        ramdisk.module("dm-crypt")
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        mapped::control(&work.paths)?;
        let keys = keys::gather(work, &self.name, &self.keys)?;
        let first = keys.first().ok_or_else(|| ApplyError::NoPassphrase { volume: self.name.clone() })?;
        let proven = resolve::open(work, &self.on, Access::Read)?;
        let node = proven.node();
        let run = |arguments: &[String], input: &[u8]| {
            crypt::run(&work.paths.root, arguments, proven.name(), input, &work.cancel)
        };
        run(&crypt::format(self, first.is_random, node), bytes(first))?;
        for key in keys.iter().skip(1) {
            let lengths = (bytes(first).len(), bytes(key).len());
            run(&crypt::add_key(self, key.is_random, lengths, node), &crypt::both(bytes(first), bytes(key)))?;
        }
        for (slot, key) in keys.iter().enumerate() {
            if let Some(token) = key.token(slot) {
                run(&crypt::import_token(node), token.to_string().as_bytes())?;
            }
        }
        let header = luks::read(node)?;
        let wrong = |what| ApplyError::Mapping { device: proven.name().to_owned(), what };
        let slots = compare(self, &header, &keys).map_err(wrong)?;
        for (slot, key) in keys.iter().enumerate() {
            run(&crypt::test_key(slot, node), bytes(key))?;
        }

        let mapped = Mapped {
            name: self.name.clone(),
            uuid: crypt::dm_uuid(&self.uuid, &self.name),
            below: [mapped::kernel_name(node, &work.paths)?].into(),
            nodes: node.parent().map(ToOwned::to_owned).unwrap_or_default(),
            sys: work.paths.sys.clone(),
        };
        let disks = group::disks(work, std::slice::from_ref(&self.on))?;
        // Pushed first: a run that is interrupted while opening may have opened it.
        work.stack.push(Arc::new(OpenVolume { mapped: mapped.clone(), disks, root: work.paths.root.clone() }));
        run(&crypt::open(&self.name, node), bytes(first))?;
        work.add_mapped(Device::Luks { name: self.name.clone() }, mapped.clone());
        let size = wipe::array(&mapped.open(Access::Read)?)?;
        if size < self.size {
            return Err(mapped.wrong(format!("it offers {size} bytes, {} were planned", self.size)));
        }
        let receipt = LuksReceipt {
            device: mapped.link().display().to_string(),
            on: proven.device(),
            uuid: self.uuid.clone(),
            cipher: self.cipher.clone(),
            key_bits: self.key_bits,
            sector_size: self.sector_size,
            size,
            slots,
            escrow: keys.into_iter().filter_map(|key| key.escrow).collect(),
        };
        work.note("create-luks", &receipt.device, &receipt);
        Ok(())
    }
}

fn bytes(key: &Key) -> &[u8] {
    key.secret.reveal().as_bytes()
}

/// Compares a header with the plan.
fn compare(step: &CreateLuks, header: &Header, keys: &[Key]) -> Result<Vec<SlotReceipt>, String> {
    if !header.uuid.eq_ignore_ascii_case(&step.uuid) {
        return Err(format!("it is the volume {}, it was made as {}", header.uuid, step.uuid));
    }
    let segments: Vec<_> = header.metadata.segments.values().collect();
    let [segment] = segments.as_slice() else { return Err(format!("it has {} segments", segments.len())) };
    let found = (segment.kind.as_str(), segment.offset.as_str(), segment.encryption.as_str(), segment.sector_size);
    if found != ("crypt", step.offset.to_string().as_str(), step.cipher.as_str(), step.sector_size) {
        return Err(format!("its segment is {found:?}"));
    }
    if header.metadata.keyslots.len() != keys.len() {
        return Err(format!("it has {} key slots for {} keys", header.metadata.keyslots.len(), keys.len()));
    }
    let each = keys.iter().enumerate().map(|(slot, key)| {
        let found =
            header.metadata.keyslots.get(&slot.to_string()).ok_or_else(|| format!("it has no key slot {slot}"))?;
        let Kdf { kind, memory, .. } = &found.kdf;
        let wanted = if key.is_random { "pbkdf2" } else { "argon2id" };
        // The program uses less memory if the machine has less than twice as much.
        let most = step.pbkdf.memory / 1024;
        let fits = key.is_random || memory.is_some_and(|memory| memory > 0 && memory <= most);
        if kind != wanted || !fits || found.key_size * 8 != step.key_bits {
            return Err(format!(
                "its key slot {slot} has {kind} with {memory:?} KiB, a key of {} bytes",
                found.key_size
            ));
        }
        if let Some(token) = key.token {
            let named =
                header.metadata.tokens.values().any(|one| one.kind == token && one.keyslots == [slot.to_string()]);
            if !named {
                return Err(format!("it has no token {token} for key slot {slot}"));
            }
        }
        Ok(SlotReceipt {
            slot,
            pbkdf: kind.clone(),
            memory: memory.map(|kib| kib * 1024),
            token: key.token,
            pcrs: key.sealed.as_ref().map(|sealed| sealed.pcrs.clone()),
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests;
