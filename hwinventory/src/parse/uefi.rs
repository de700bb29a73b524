//! UEFI variables and load options (UEFI 2.10, 3.1.3 and 10.3).

use super::bytes::{hex, le16, le32, le64, slice, u8_at};
use crate::model::BootEntry;

/// The value of a variable, as efivarfs gives it: four bytes of attributes come first.
pub fn value(file: &[u8]) -> Option<&[u8]> {
    file.get(4..)
}

/// A `Boot####` variable's value.
pub fn boot_entry(id: &str, value: &[u8]) -> Option<BootEntry> {
    let attributes = le32(value, 0)?;
    let path_length = usize::from(le16(value, 4)?);
    let mut at = 6;
    let mut description = Vec::new();
    loop {
        match le16(value, at)? {
            0 => break,
            unit => description.push(unit),
        }
        at += 2;
    }
    let path = slice(value, at + 2, path_length)?;
    let (text, partition_uuid) = device_path(path);
    Some(BootEntry {
        id: id.to_owned(),
        description: String::from_utf16_lossy(&description).replace(char::is_control, " "),
        active: attributes & 1 != 0,
        device_path: Some(text).filter(|t| !t.is_empty()),
        partition_uuid,
    })
}

/// Text form of a device path and the GUID of the GPT partition in it.
fn device_path(mut path: &[u8]) -> (String, Option<String>) {
    let mut parts = Vec::new();
    let mut partition = None;
    while let (Some(kind), Some(subtype), Some(length)) = (u8_at(path, 0), u8_at(path, 1), le16(path, 2)) {
        let length = usize::from(length);
        // 0x7f is the end; a node shorter than its header would never end.
        if kind == 0x7f || length < 4 {
            break;
        }
        let Some(body) = slice(path, 4, length - 4) else { break };
        parts.push(node(kind, subtype, body, &mut partition));
        path = path.get(length..).unwrap_or_default();
    }
    (parts.join("/"), partition)
}

fn node(kind: u8, subtype: u8, body: &[u8], partition: &mut Option<String>) -> String {
    let known = match (kind, subtype) {
        (1, 1) => u8_at(body, 0).zip(u8_at(body, 1)).map(|(f, d)| format!("Pci(0x{d:x},0x{f:x})")),
        (2, 1) => le32(body, 0).zip(le32(body, 4)).map(|(hid, uid)| {
            if hid == 0x0a03_41d0 { format!("PciRoot(0x{uid:x})") } else { format!("Acpi(0x{hid:x},0x{uid:x})") }
        }),
        (3, 1) => le16(body, 0).zip(le16(body, 2)).map(|(target, lun)| format!("Scsi({target},{lun})")),
        (3, 5) => u8_at(body, 0).zip(u8_at(body, 1)).map(|(port, interface)| format!("USB({port},{interface})")),
        (3, 11) => slice(body, 0, 6).map(|mac| format!("MAC({})", hex(mac))),
        (3, 12) => Some("IPv4".to_owned()),
        (3, 13) => Some("IPv6".to_owned()),
        (3, 18) => le16(body, 0).map(|port| format!("Sata({port})")),
        (3, 23) => le32(body, 0).zip(slice(body, 4, 8)).map(|(nsid, eui)| format!("NVMe({nsid},{})", hex(eui))),
        (3, 24) => Some(format!("Uri({})", String::from_utf8_lossy(body))),
        (4, 1) => hard_drive(body, partition),
        (4, 4) => {
            let units: Vec<u16> =
                body.chunks_exact(2).filter_map(|c| le16(c, 0)).take_while(|&unit| unit != 0).collect();
            Some(String::from_utf16_lossy(&units))
        }
        (4, 6) => slice(body, 0, 16).and_then(guid).map(|g| format!("FvFile({g})")),
        (4, 7) => slice(body, 0, 16).and_then(guid).map(|g| format!("Fv({g})")),
        _ => None,
    };
    known.unwrap_or_else(|| format!("Path({kind},{subtype})"))
}

fn hard_drive(body: &[u8], partition: &mut Option<String>) -> Option<String> {
    let number = le32(body, 0)?;
    le64(body, 4)?;
    let signature = slice(body, 20, 16)?;
    match u8_at(body, 37)? {
        2 => {
            let guid = guid(signature)?;
            *partition = Some(guid.clone());
            Some(format!("HD({number},GPT,{guid})"))
        }
        1 => Some(format!("HD({number},MBR,0x{:08x})", le32(signature, 0)?)),
        _ => Some(format!("HD({number})")),
    }
}

fn guid(bytes: &[u8]) -> Option<String> {
    Some(uuid::Uuid::from_bytes_le(bytes.try_into().ok()?).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `debian` on partition 1 with GUID 00112233-4455-6677-8899-aabbccddeeff.
    pub fn debian() -> Vec<u8> {
        let mut path = vec![4, 1, 42, 0, 1, 0, 0, 0];
        path.extend(2048u64.to_le_bytes());
        path.extend(204800u64.to_le_bytes());
        path.extend([0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
        path.extend([2, 2, 0x7f, 0xff, 4, 0]);
        let mut value = vec![1, 0, 0, 0, path.len() as u8, 0];
        for unit in "debian\0".encode_utf16() {
            value.extend(unit.to_le_bytes());
        }
        value.extend(path);
        value
    }

    #[test]
    fn boot_entry_of_a_partition() {
        let entry = boot_entry("0001", &debian()).expect("well-formed");
        assert_eq!(entry.description, "debian");
        assert!(entry.active);
        assert_eq!(entry.partition_uuid.as_deref(), Some("00112233-4455-6677-8899-aabbccddeeff"));
        assert_eq!(entry.device_path.as_deref(), Some("HD(1,GPT,00112233-4455-6677-8899-aabbccddeeff)"));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..80, b in any::<u8>()) {
            boot_entry("0000", &bytes);
            let mut value = debian();
            if let Some(byte) = value.get_mut(at) { *byte = b; }
            boot_entry("0000", &value);
            device_path(&bytes);
        }
    }
}
