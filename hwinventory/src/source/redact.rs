//! Replaces what tells one machine from another: serial numbers, hardware addresses, UUIDs.
//!
//! The inventory that was collected, and the names of the files that were read, say which values those are. Each is
//! replaced by a keyed hash of the same length and shape wherever it stands in the recording, as text or in its binary
//! forms, so that the replayed machine is the same machine under other names: two disks that shared an id still share it,
//! and what says of which kind a name is (`naa.`, `mpath-`, `LVM-`) stays.

mod atoms;
mod forms;
mod fru;
mod gather;
mod names;
mod replacements;
mod told;

use super::recording::Recording;
use crate::model::Inventory;
use crate::parse::probed;
use crate::parse::{cmdline, smbios, vpd};
use replacements::Replacements;
use std::collections::BTreeMap;

const SMBIOS_TABLE: &str = "/sys/firmware/dmi/tables/DMI";

/// `key` makes the hashes useless for guessing; it is not kept.
pub fn redact(recording: &mut Recording, inventory: &Inventory, key: &[u8]) {
    leave_out(recording, key);
    let replacements = Replacements::new(&gather::all(recording, inventory), key);
    if let Some(Ok(table)) = recording.files.get_mut(SMBIOS_TABLE) {
        // Its strings end with NUL, so that short ones can be told from chance.
        replacements.apply_to_strings(table);
    }
    fru::each(&mut recording.queries, |bytes| replacements.apply(bytes));
    for (_, page) in recording.files.iter_mut().filter(|(path, _)| path.ends_with("/vpd_pg80")) {
        page.as_mut().map(|page| replacements.apply_to_page(page)).unwrap_or_default();
    }
    for (path, answer) in &mut recording.files {
        let Ok(bytes) = answer else { continue };
        if gather::is_name(path) {
            replacements.apply_to_name(bytes);
        } else if !is_no_text_of_names(path, bytes) {
            replacements.apply(bytes);
        }
    }
    recording.queries.values_mut().flatten().for_each(|bytes| replacements.apply(bytes));
    recording.files = rename(std::mem::take(&mut recording.files), &replacements);
    recording.queries = rename(std::mem::take(&mut recording.queries), &replacements);
    recording.lists = rename(std::mem::take(&mut recording.lists), &replacements);
    recording.links = rename(std::mem::take(&mut recording.links), &replacements);
    for name in recording.lists.values_mut().flatten().flatten().chain(recording.links.values_mut()) {
        *name = replacements.path(name);
    }
    recording.manifest.redacted = true;
}

/// Numbers, and what says for which driver a device is: a serial number of digits may be in them by chance.
fn is_no_text_of_names(path: &str, bytes: &[u8]) -> bool {
    const NUMBERS: [&str; 4] = ["/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/modules"];
    let content = bytes.trim_ascii();
    // Addresses have twelve digits and more, and may be in files of any name.
    let is_short = |digits: &[u8]| (1..12).contains(&digits.len());
    let number = match content.strip_prefix(b"0x") {
        Some(digits) => is_short(digits) && digits.iter().all(u8::is_ascii_hexdigit),
        None => is_short(content) && content.iter().all(u8::is_ascii_digit),
    };
    NUMBERS.contains(&path) || path.ends_with("/modalias") || number
}

/// Takes out what is a name of the machine through and through, or cannot be searched for names.
fn leave_out(recording: &mut Recording, key: &[u8]) {
    if let Some(Ok(line)) = recording.files.get_mut("/proc/cmdline") {
        *line = cmdline::masked(&String::from_utf8_lossy(line)).into_bytes();
    }
    for (path, answer) in &mut recording.files {
        let Ok(bytes) = answer else { continue };
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Some(host) = told::host(path, &text) {
            *bytes = text.replacen(host, &forms::replaced_text(host, key), 1).into_bytes();
        }
    }
    for (_, bytes) in recording.files.iter_mut().filter(|(path, _)| path.ends_with("/config")) {
        if let Ok(bytes) = bytes {
            // The extended part of PCI configuration space may hold a serial number, made from the hardware address.
            bytes.truncate(256);
        }
    }
    for (_, bytes) in recording.files.iter_mut().filter(|(path, _)| path.ends_with("/vpd")) {
        bytes.iter_mut().for_each(|bytes| vpd::blank_others(bytes));
    }
    if let Some(Ok(table)) = recording.files.get_mut(SMBIOS_TABLE) {
        // Batteries, and what makers put where the specification does not look.
        smbios::blank(table, |kind| kind == 22 || kind >= 128);
    }
    // Endorsement keys: nothing of them would be left.
    recording.queries.retain(|key, _| !key.starts_with("tpm_") || !is_key_material(key));
    // The order that left a disk half written is whatever its author called it: it may be a word that stands elsewhere.
    for (_, answer) in recording.queries.iter_mut().filter(|(query, _)| query.starts_with("signatures_")) {
        let Ok(bytes) = answer else { continue };
        let Some(mut found) = probed::parse(bytes).filter(|p| p.unfinished.is_some()) else { continue };
        found.unfinished = found.unfinished.map(|id| forms::replaced_text(&id, key));
        // Names and GUIDs of partitions that only this record tells of.
        found.remembered = None;
        *bytes = serde_json::to_vec(&found).unwrap_or_default();
    }
}

/// By the command code in the query's key: TPM2_NV_Read, TPM2_ReadPublic, TPM2_CreatePrimary.
fn is_key_material(key: &str) -> bool {
    let command = key.rsplit('_').next().unwrap_or_default();
    matches!(command.get(12..20), Some("0000014e" | "00000173" | "00000131"))
}

fn rename<T>(map: BTreeMap<String, T>, replacements: &Replacements) -> BTreeMap<String, T> {
    map.into_iter().map(|(path, value)| (replacements.path(&path), value)).collect()
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
