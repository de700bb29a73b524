//! Replaces what tells one machine from another: serial numbers, hardware addresses, UUIDs.
//!
//! The inventory that was collected knows which values those are. Each is replaced by a keyed hash of the same length and
//! shape wherever it stands in the recording, as text or in its binary forms, so that the replayed machine is the same
//! machine under other names: two disks that shared an id still share it.

mod forms;

use super::recording::Recording;
use crate::model::Inventory;
use crate::parse::names::{is_hypervisor_default, is_placeholder};
use crate::parse::{bytes, cmdline, ethtool, smbios};
use forms::{Pair, binary_forms, family, hexadecimal, replaced_text, text_forms};
use serde_json::Value;
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
    for (_, bytes) in recording.files.iter_mut().filter(|(path, _)| path.ends_with("/config")) {
        if let Ok(bytes) = bytes {
            // The extended part of PCI configuration space may hold a serial number, made from the hardware address.
            bytes.truncate(256);
        }
    }
    // Endorsement keys are names of the machine through and through: nothing of them would be left.
    recording.queries.retain(|key, _| !key.starts_with("tpm_") || !is_key_material(key));
    let mut values = BTreeSet::new();
    if let Ok(document) = serde_json::to_value(inventory) {
        gather(&document, &mut values);
    }
    for path in ["/proc/cmdline", "/proc/self/mountinfo", "/proc/1/mountinfo", "/proc/self/mounts", "/proc/mounts"] {
        if let Some(Ok(bytes)) = recording.files.get(path) {
            gather_uuids(&String::from_utf8_lossy(bytes), &mut values);
        }
    }
    for (_, answer) in recording.queries.iter().filter(|(key, _)| key.starts_with("lldp_")) {
        gather_senders(answer.as_deref().unwrap_or_default(), &mut values);
    }
    if let Some(Ok(table)) = recording.files.get_mut("/sys/firmware/dmi/tables/DMI") {
        // Batteries, and what makers put where the specification does not look.
        smbios::blank(table, |kind| kind == 22 || kind >= 128);
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

/// By the command code in the query's key: TPM2_NV_Read, TPM2_ReadPublic, TPM2_CreatePrimary.
fn is_key_material(key: &str) -> bool {
    let command = key.rsplit('_').next().unwrap_or_default();
    matches!(command.get(12..20), Some("0000014e" | "00000173" | "00000131"))
}

fn rename<T>(map: BTreeMap<String, T>, replacements: &Replacements) -> BTreeMap<String, T> {
    map.into_iter().map(|(path, value)| (replacements.text(&path), value)).collect()
}

fn gather(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "by_path" => gather_addresses(text, found),
                    Value::String(text) if name == "port_id" && fields.get("port_id_kind") == Some(&"mac".into()) => {
                        found.insert(text.clone());
                    }
                    Value::String(text) if FIELDS.contains(&name.as_str()) => drop(found.insert(text.clone())),
                    other => gather(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        _ => {}
    }
}

/// `0x5000c500a1b2c3d5`: addresses of SAS and Fibre Channel ports in the name of a place.
fn gather_addresses(place: &str, found: &mut BTreeSet<String>) {
    for (at, _) in place.match_indices("0x") {
        let digits = place.get(at + 2..at + 18).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        found.extend(digits.map(str::to_owned));
    }
}

/// Whose frames were heard: the sender's address stands before what LLDP says.
fn gather_senders(mut frames: &[u8], found: &mut BTreeSet<String>) {
    while let Some(length) = bytes::be16(frames, 0).map(usize::from) {
        found.extend(bytes::slice(frames, 8, 6).filter(|_| length >= 12).map(ethtool::address));
        frames = frames.get(2 + length..).unwrap_or_default();
    }
}

fn gather_uuids(text: &str, found: &mut BTreeSet<String>) {
    for word in text.split(|c: char| !c.is_ascii_hexdigit() && c != '-') {
        if word.len() == 36 && uuid::Uuid::parse_str(word).is_ok() {
            found.insert(word.to_owned());
        }
    }
}

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
                Some(raw) => {
                    pairs.extend(family(&raw, key).iter().flat_map(|(old, new)| binary_forms(old, new)));
                }
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

#[cfg(test)]
mod tests {
    use super::forms::swapped;
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
    fn keys_and_serial_numbers_of_cards_are_left_out() {
        use crate::parse::tpm;
        use crate::source::Query;
        let (mut recording, inventory) = recording();
        recording.files.insert("/sys/devices/pci0000:00/0000:00:02.0/config".into(), Ok(vec![7; 4096]));
        let commands = [
            (tpm::get_properties(), true),
            (tpm::nv_read_public(0x01c0_0002), true),
            (tpm::nv_read(0x01c0_0002, false, 512, 0), false),
            (tpm::read_public(0x8101_0001), false),
            (tpm::create_primary(&tpm::ek_template(true, &[])), false),
        ];
        let keys = commands.map(|(command, kept)| (Query::Tpm { device: "/dev/tpmrm0".into(), command }.key(), kept));
        for (key, _) in &keys {
            recording.queries.insert(key.clone(), Ok(vec![1]));
        }
        redact(&mut recording, &inventory, b"key");
        assert_eq!(recording.files["/sys/devices/pci0000:00/0000:00:02.0/config"].as_ref().map(Vec::len), Ok(256));
        for (key, kept) in keys {
            assert_eq!(recording.queries.contains_key(&key), kept, "{key}");
        }
    }

    /// The ways in which a name hides: UEFI's wide strings, IPv6 addresses, neighbours of a SAS address, frames, tables.
    #[test]
    fn hidden_forms_are_found() {
        let (mut recording, mut inventory) = recording();
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let mut put = |path: &str, bytes: Vec<u8>| drop(recording.files.insert(path.to_owned(), Ok(bytes)));
        put("/boot", [wide("UEFI Samsung S4EVNF0M1234"), wide("MAC:525400123456")].concat());
        put("/sas", b"0x5000c500a1b2c3d5\n".to_vec());
        put("/page83", vec![0x50, 0, 0xc5, 0, 0xa1, 0xb2, 0xc3, 0xd6]);
        put("/expander", b"0x500056b3a1b2c3ff\n".to_vec());
        let table = [&[22u8, 4, 1, 0][..], b"BATTERY-SERIAL\0\0", &[200, 6, 2, 0, 7, 7], b"SERVICETAG\0\0"].concat();
        put("/sys/firmware/dmi/tables/DMI", table);
        let mut frame = vec![0, 14, 1, 0x80, 0xc2, 0, 0, 0x0e, 0, 0x1c, 0x73, 1, 2, 3, 0x88, 0xcc];
        recording.queries.insert("lldp_eth0".into(), Ok(std::mem::take(&mut frame)));
        let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34, 0x56];
        recording.queries.insert("addresses".into(), Ok(link_local.to_vec()));
        inventory.disks.data.push(Disk {
            wwn: Some("naa.5000c500a1b2c3d4".into()),
            by_path: Some("pci-0000:01:00.0-sas-exp0x500056b3a1b2c3ff-phy3-lun-0".into()),
            ..Disk::default()
        });
        redact(&mut recording, &inventory, b"key");
        let file = |path: &str| recording.files[path].clone().unwrap_or_default();
        let has = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
        assert!(!has(&file("/boot"), &wide("S4EVNF0M1234")) && !has(&file("/boot"), &wide("525400123456")));
        assert!(has(&file("/boot"), &wide("UEFI Samsung ")));
        assert!(!has(&file("/sas"), b"c500a1b2") && file("/sas").ends_with(b"5\n"), "the last digit stays");
        assert_eq!(file("/page83").last().map(|b| b & 0x0f), Some(6));
        assert!(!has(&file("/page83"), &[0xc5, 0, 0xa1, 0xb2]));
        assert!(!has(&file("/expander"), b"56b3a1b2"));
        let table = file("/sys/firmware/dmi/tables/DMI");
        assert!(!has(&table, b"BATTERY") && !has(&table, b"SERVICETAG"), "{table:?}");
        assert_eq!(smbios::Table::parse(None, &table).structures.len(), 2, "the table is still one");
        let query = |key: &str| recording.queries[key].clone().unwrap_or_default();
        assert!(!has(&query("lldp_eth0"), &[0x1c, 0x73, 1, 2, 3]));
        assert!(!has(&query("addresses"), &[0x54, 0, 0xff, 0xfe]), "{:x?}", query("addresses"));
    }

    #[test]
    fn another_key_gives_other_values() {
        let ((mut a, inventory), (mut b, _)) = (recording(), recording());
        redact(&mut a, &inventory, b"one");
        redact(&mut b, &inventory, b"two");
        assert_ne!(a.files["/identify"], b.files["/identify"]);
    }
}
