//! Collects how the machine was booted: UEFI or BIOS, boot entries, Secure Boot, kernel command line.

use super::firmtables;
use crate::model::{BootMode, Firmware};
use crate::parse::{bytes, cmdline, uefi};
use crate::source::Reader;

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const EFIVARS: &str = "/sys/firmware/efi/efivars";

pub fn collect(reader: &Reader) -> Option<Firmware> {
    let line = reader.text("/proc/cmdline");
    let mut firmware = Firmware {
        bootif: line.as_deref().and_then(cmdline::bootif),
        cmdline: line.as_deref().map(cmdline::masked),
        resources: firmtables::resources(reader),
        console: firmtables::console(reader),
        ..Firmware::default()
    };
    if reader.has_directory("/sys/firmware/efi") {
        uefi(reader, &mut firmware);
    } else if reader.has_directory("/sys/firmware") {
        firmware.boot_mode = BootMode::Bios;
    } else if line.is_none() {
        return None;
    }
    Some(firmware)
}

fn uefi(reader: &Reader, firmware: &mut Firmware) {
    firmware.boot_mode = BootMode::Uefi;
    firmware.bitness = reader.number("/sys/firmware/efi/fw_platform_size");
    let variables = reader.list(EFIVARS);
    if variables.is_empty() {
        reader.problem(EFIVARS, crate::model::Status::Absent, "efivarfs is not mounted");
        return;
    }
    let get = |name: &str| {
        let file = format!("{name}-{GLOBAL}");
        variables.contains(&file).then(|| reader.bytes(&format!("{EFIVARS}/{file}"))).flatten()
    };
    let flag = |name: &str| get(name).and_then(|f| bytes::u8_at(uefi::value(&f)?, 0)).map(|v| v == 1);
    let id = |name: &str| get(name).and_then(|f| bytes::le16(uefi::value(&f)?, 0)).map(|v| format!("{v:04X}"));
    firmware.secure_boot = flag("SecureBoot");
    firmware.setup_mode = flag("SetupMode");
    firmware.boot_current = id("BootCurrent");
    firmware.boot_next = id("BootNext");
    if let Some(file) = get("BootOrder") {
        let order = uefi::value(&file).unwrap_or_default().chunks_exact(2);
        firmware.boot_order = order.filter_map(|c| bytes::le16(c, 0)).map(|v| format!("{v:04X}")).collect();
    }
    for name in &variables {
        let Some(id) = name.strip_prefix("Boot").and_then(|n| n.strip_suffix(GLOBAL)?.strip_suffix('-')) else {
            continue;
        };
        if id.len() != 4 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            continue;
        }
        let file = reader.bytes(&format!("{EFIVARS}/{name}"));
        firmware.boot_entries.extend(file.and_then(|f| uefi::boot_entry(id, uefi::value(&f)?)));
    }
}
