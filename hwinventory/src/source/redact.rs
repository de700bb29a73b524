//! Replaces what tells one machine from another: serial numbers, hardware addresses, UUIDs.
//!
//! The inventory that was collected knows which values those are. Each is replaced by a keyed hash of the same length and
//! shape wherever it stands in the recording, as text or in its binary forms, so that the replayed machine is the same
//! machine under other names: two disks that shared an id still share it.

use super::recording::Recording;
use crate::model::Inventory;
use crate::parse::cmdline;
use crate::parse::names::{is_hypervisor_default, is_placeholder};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Fields of the inventory that identify one machine.
const FIELDS: &[&str] = &[
    "serial",
    "serial_number",
    "asset_tag",
    "uuid",
    "partition_uuid",
    "partition_table_id",
    "dm_uuid",
    "wwn",
    "nguid",
    "eui64",
    "mac",
    "permanent_mac",
    "bootif",
    "guid",
    "infiniband_node_guid",
    "infiniband_port_guid",
    "physical_port_id",
    "chassis_id",
    "subsystem_nqn",
    "hostname",
    "boot_id",
];
/// Shorter values are replaced only where they stand alone: inside other text they would match by chance.
const SHORTEST: usize = 6;

/// `key` makes the hashes useless for guessing; it is not kept.
pub fn redact(recording: &mut Recording, inventory: &Inventory, key: &[u8]) {
    if let Some(Ok(line)) = recording.files.get_mut("/proc/cmdline") {
        *line = cmdline::masked(&String::from_utf8_lossy(line)).into_bytes();
    }
    let mut values = BTreeSet::new();
    if let Ok(document) = serde_json::to_value(inventory) {
        gather(&document, &mut values);
    }
    for path in ["/proc/cmdline", "/proc/self/mountinfo", "/proc/1/mountinfo", "/proc/self/mounts", "/proc/mounts"] {
        if let Some(Ok(bytes)) = recording.files.get(path) {
            gather_uuids(&String::from_utf8_lossy(bytes), &mut values);
        }
    }
    let replacements = Replacements::new(&values, key);
    for bytes in recording.files.values_mut().chain(recording.queries.values_mut()).flatten() {
        replacements.apply(bytes);
    }
    recording.files = rename(std::mem::take(&mut recording.files), &replacements);
    recording.queries = rename(std::mem::take(&mut recording.queries), &replacements);
    recording.lists = rename(std::mem::take(&mut recording.lists), &replacements);
    recording.links = rename(std::mem::take(&mut recording.links), &replacements);
    for name in recording.lists.values_mut().flatten().flatten().chain(recording.links.values_mut()) {
        *name = replacements.text(name);
    }
    recording.manifest.redacted = true;
}

fn rename<T>(map: BTreeMap<String, T>, replacements: &Replacements) -> BTreeMap<String, T> {
    map.into_iter().map(|(path, value)| (replacements.text(&path), value)).collect()
}

fn gather(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if FIELDS.contains(&name.as_str()) => drop(found.insert(text.clone())),
                    other => gather(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        _ => {}
    }
}

fn gather_uuids(text: &str, found: &mut BTreeSet<String>) {
    for word in text.split(|c: char| !c.is_ascii_hexdigit() && c != '-') {
        if word.len() == 36 && uuid::Uuid::parse_str(word).is_ok() {
            found.insert(word.to_owned());
        }
    }
}

/// Bytes, and others of the same length.
type Pair = (Vec<u8>, Vec<u8>);

/// Old bytes to new ones, found by their first four.
struct Replacements {
    by_head: HashMap<[u8; 4], Vec<Pair>>,
    alone: HashMap<Vec<u8>, Vec<u8>>,
}

impl Replacements {
    fn new(values: &BTreeSet<String>, key: &[u8]) -> Replacements {
        let mut pairs = BTreeMap::new();
        for value in values {
            // `naa.5000...` and the like: the prefix is no secret.
            let bare = ["naa.", "eui.", "0x"].iter().find_map(|p| value.strip_prefix(p)).unwrap_or(value);
            // Places are no secrets, and replaced they would take the machine apart.
            if is_placeholder(bare)
                || crate::collect::is_pci_address(bare)
                || is_hypervisor_default(&bare.to_ascii_lowercase())
            {
                continue;
            }
            match hexadecimal(bare) {
                Some(raw) => pairs.extend(binary_forms(&raw, &replaced_bytes(&raw, key))),
                None => pairs.extend(text_forms(bare, &replaced_text(bare, key))),
            }
        }
        let mut by_head: HashMap<[u8; 4], Vec<Pair>> = HashMap::new();
        let mut alone = HashMap::new();
        for (old, new) in pairs {
            match old.first_chunk::<4>() {
                Some(head) if old.len() >= SHORTEST => by_head.entry(*head).or_default().push((old, new)),
                _ => drop(alone.insert(old, new)),
            }
        }
        // The longest match first: a serial number may contain another.
        by_head.values_mut().for_each(|list| list.sort_by_key(|(old, _)| std::cmp::Reverse(old.len())));
        Replacements { by_head, alone }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        if let Some(new) = self.alone.get(bytes.trim_ascii()) {
            *bytes = new.clone();
            return;
        }
        let mut at = 0;
        while let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let hit = self.by_head.get(head).and_then(|candidates| {
                candidates.iter().find(|(old, _)| bytes.get(at..).is_some_and(|rest| rest.starts_with(old)))
            });
            match hit {
                Some((old, new)) => {
                    if let Some(place) = bytes.get_mut(at..at + old.len()) {
                        place.copy_from_slice(new);
                    }
                    at += old.len();
                }
                None => at += 1,
            }
        }
    }

    fn text(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.apply(&mut bytes);
        String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
    }
}

/// Six bytes or more written in hexadecimal, with or without separators.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let separated = text.contains([':', '-']);
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let even = digits.len().is_multiple_of(2) && digits.len() >= 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    // Twelve digits without separators may as well be a serial number; longer runs are ids.
    if !even || !(separated || digits.len() >= 16) {
        return None;
    }
    digits.as_bytes().chunks_exact(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok()).collect()
}

fn hash(key: &[u8], value: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update((key.len() as u64).to_le_bytes());
    digest.update(key);
    digest.update(value);
    digest.finalize().into()
}

/// The first byte stays: it says what kind of address or id it is.
fn replaced_bytes(raw: &[u8], key: &[u8]) -> Vec<u8> {
    let stream = hash(key, raw);
    raw.iter()
        .enumerate()
        .map(|(i, &old)| if i == 0 { old } else { stream.get(i % 32).copied().unwrap_or(old) })
        .collect()
}

/// Digits become digits, letters letters.
fn replaced_text(text: &str, key: &[u8]) -> String {
    let stream = hash(key, text.as_bytes());
    text.chars()
        .enumerate()
        .map(|(i, c)| {
            let n = stream.get(i % 32).copied().unwrap_or(0).wrapping_add((i / 32) as u8);
            match c {
                '0'..='9' => char::from(b'0' + n % 10),
                'a'..='z' => char::from(b'a' + n % 26),
                'A'..='Z' => char::from(b'A' + n % 26),
                other => other,
            }
        })
        .collect()
}

fn swapped(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect()
}

/// How an id is written: raw, raw with words swapped (ATA), as a little-endian GUID, and in hexadecimal.
fn binary_forms(old: &[u8], new: &[u8]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = vec![(old.to_vec(), new.to_vec()), (swapped(old), swapped(new))];
    if let (Ok(old), Ok(new)) = (<[u8; 16]>::try_from(old), <[u8; 16]>::try_from(new)) {
        let (old, new) = (uuid::Uuid::from_bytes(old), uuid::Uuid::from_bytes(new));
        pairs.push((old.to_bytes_le().to_vec(), new.to_bytes_le().to_vec()));
        pairs.push((old.hyphenated().to_string().into_bytes(), new.hyphenated().to_string().into_bytes()));
    }
    for separator in ["", ":", "-", " "] {
        let join = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(separator);
        pairs.push((join(old).into_bytes(), join(new).into_bytes()));
    }
    let upper: Vec<_> = pairs
        .iter()
        .skip(2)
        // An id without letters has one form only, and that is replaced in lower case.
        .filter(|(old, _)| old.is_ascii() && old.iter().any(u8::is_ascii_lowercase))
        .map(|(old, new)| (old.to_ascii_uppercase(), new.to_ascii_uppercase()))
        .collect();
    pairs.extend(upper);
    pairs
}

/// How a serial number is written: as it is, and in ATA's field of twenty characters with swapped bytes.
fn text_forms(old: &str, new: &str) -> Vec<Pair> {
    let mut pairs = vec![(old.as_bytes().to_vec(), new.as_bytes().to_vec())];
    if old.len() <= 20 {
        for pad in [|t: &str| format!("{t:<20}"), |t: &str| format!("{t:>20}")] {
            pairs.push((swapped(pad(old).as_bytes()), swapped(pad(new).as_bytes())));
        }
    }
    // NVMe's fallback wwid and by-id names write the serial number in hexadecimal.
    let hex = |t: &str| crate::parse::bytes::hex(t.as_bytes()).into_bytes();
    pairs.push((hex(old), hex(new)));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Disk, Nic};

    fn recording() -> (Recording, Inventory) {
        let mut recording = Recording::default();
        let mut put = |path: &str, bytes: &[u8]| drop(recording.files.insert(path.to_owned(), Ok(bytes.to_vec())));
        put("/sys/class/net/eth0/address", b"52:54:00:12:34:56\n");
        put(
            "/proc/cmdline",
            b"BOOTIF=01-52-54-00-12-34-56 burin.token=hush root=UUID=00112233-4455-6677-8899-aabbccddeeff",
        );
        put("/raw", &[0, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0]);
        put("/identify", &swapped(b"        S4EVNF0M1234"));
        put("/sys/bus/usb/devices/usb1/serial", b"0000:00:06.0\n");
        put("/short", b"AB12\n");
        put("/chance", b"xAB12x");
        let mut inventory = Inventory::default();
        inventory.nics.data.push(Nic { mac: Some("52:54:00:12:34:56".into()), ..Nic::default() });
        inventory.disks.data.push(Disk { serial: Some("S4EVNF0M1234".into()), ..Disk::default() });
        inventory.disks.data.push(Disk { serial: Some("AB12".into()), ..Disk::default() });
        inventory.disks.data.push(Disk { serial: Some("QM00001".into()), ..Disk::default() });
        inventory.disks.data.push(Disk { serial: Some("0000:00:06.0".into()), ..Disk::default() });
        (recording, inventory)
    }

    #[test]
    fn no_form_of_a_value_survives() {
        let (mut recording, inventory) = recording();
        redact(&mut recording, &inventory, b"key");
        let file = |path: &str| recording.files[path].clone().unwrap_or_default();
        let mac = String::from_utf8_lossy(&file("/sys/class/net/eth0/address")).trim().to_owned();
        assert_eq!(mac, mac.to_lowercase());
        assert!(mac.starts_with("52:") && mac.len() == 17 && mac != "52:54:00:12:34:56", "{mac}");
        let line = String::from_utf8_lossy(&file("/proc/cmdline")).into_owned();
        assert!(line.contains(&format!("BOOTIF=01-{}", mac.replace(':', "-"))), "{line}");
        assert!(!line.contains("hush") && !line.contains("00112233-4455"), "{line}");
        assert_eq!(hexadecimal(&mac).as_deref(), file("/raw").get(1..7), "text and binary agree");
        let serial = String::from_utf8(swapped(&file("/identify"))).unwrap_or_default();
        assert!(serial.starts_with("        ") && !serial.contains("S4EV"), "{serial}");
        assert_ne!(file("/short"), b"AB12\n");
        assert_eq!(file("/chance"), b"xAB12x");
        assert_eq!(file("/sys/bus/usb/devices/usb1/serial"), b"0000:00:06.0\n", "places stay");
        assert!(recording.manifest.redacted);
    }

    #[test]
    fn another_key_gives_other_values() {
        let ((mut a, inventory), (mut b, _)) = (recording(), recording());
        redact(&mut a, &inventory, b"one");
        redact(&mut b, &inventory, b"two");
        assert_ne!(a.files["/identify"], b.files["/identify"]);
    }
}
