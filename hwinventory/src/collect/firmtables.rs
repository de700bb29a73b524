//! Reads firmware tables beside SMBIOS: updatable firmware (ESRT), serial console (SPCR), the TPM's event log.

use crate::model::{EsrtEntry, SerialConsole};
use crate::parse::names::natural;
use crate::parse::spcr;
use crate::source::Reader;

/// `/sys/firmware/efi/esrt/entries/entryN`, which only root may read.
pub fn resources(reader: &Reader) -> Vec<EsrtEntry> {
    const BASE: &str = "/sys/firmware/efi/esrt/entries";
    let mut names = reader.source().list(BASE).unwrap_or_default();
    names.sort_by(|a, b| natural(a, b));
    let entry = |name: String| {
        let text = |attribute: &str| reader.quiet_text(&format!("{BASE}/{name}/{attribute}"));
        let number = |attribute: &str| text(attribute).and_then(|t| t.parse::<u64>().ok());
        Some(EsrtEntry {
            class: text("fw_class")?,
            kind: number("fw_type").map(|n| match n {
                1 => "system".to_owned(),
                2 => "device".to_owned(),
                3 => "uefi-driver".to_owned(),
                _ => "unknown".to_owned(),
            }),
            version: number("fw_version"),
            lowest_supported_version: number("lowest_supported_fw_version"),
            last_attempt_version: number("last_attempt_version").filter(|&v| v != 0),
            last_attempt: number("last_attempt_status").map(|n| attempt(n).to_owned()),
        })
    };
    names.into_iter().filter_map(entry).collect()
}

/// UEFI 2.10, 23.4.
fn attempt(status: u64) -> &'static str {
    match status {
        0 => "success",
        1 => "unsuccessful",
        2 => "insufficient resources",
        3 => "incorrect version",
        4 => "invalid format",
        5 => "authentication error",
        6 => "no external power",
        7 => "battery too low",
        8 => "unsatisfied dependencies",
        _ => "vendor specific",
    }
}

pub fn console(reader: &Reader) -> Option<SerialConsole> {
    // For root only; nobody else needs to be told.
    let table = reader.source().read("/sys/firmware/acpi/tables/SPCR").ok()?;
    spcr::console(&table)
}

/// Unknown where securityfs is not mounted.
pub fn event_log(reader: &Reader, tpm: &str) -> Option<bool> {
    const SECURITY: &str = "/sys/kernel/security";
    let mounted = reader.source().list(SECURITY).ok().filter(|names| !names.is_empty())?;
    let log = |name: &String| name == tpm;
    Some(
        mounted.iter().any(log) && {
            let files = reader.source().list(&format!("{SECURITY}/{tpm}")).unwrap_or_default();
            files.iter().any(|f| f == "binary_bios_measurements")
        },
    )
}
