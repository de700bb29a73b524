//! ACPI's Serial Port Console Redirection table (Microsoft, revision 4).

use super::bytes::{le16, le32, le64, slice, u8_at};
use crate::model::SerialConsole;

pub fn console(table: &[u8]) -> Option<SerialConsole> {
    (slice(table, 0, 4)? == b"SPCR").then_some(())?;
    let table = slice(table, 0, (le32(table, 4)? as usize).min(table.len()))?;
    let (space, address) = (u8_at(table, 40)?, le64(table, 44)?);
    // An address of zero says that redirection is off.
    (address != 0).then_some(())?;
    let revision = u8_at(table, 8)?;
    let interface = interface(u8_at(table, 36)?, revision);
    let place = match space {
        0 => Some(format!("memory 0x{address:x}")),
        1 => Some(format!("io 0x{address:x}")),
        _ => None,
    };
    let vendor = le16(table, 66).filter(|&v| v != 0xffff && v != 0);
    let device = le16(table, 64).filter(|&d| d != 0xffff);
    let pci = vendor.zip(device);
    let baud = baud(table, revision);
    let interrupts = u8_at(table, 52)?;
    Some(SerialConsole {
        interface: interface.map(str::to_owned),
        address: place,
        baud_rate: baud,
        terminal: match u8_at(table, 62) {
            Some(0) => Some("vt100".to_owned()),
            Some(1) => Some("vt100+".to_owned()),
            Some(2) => Some("vt-utf8".to_owned()),
            Some(3) => Some("ansi".to_owned()),
            _ => None,
        },
        flow_control: flow(u8_at(table, 61).unwrap_or(0)),
        pci_address: pci.and(slice(table, 68, 3)).and_then(|at| pci_address(u8_at(table, 75).unwrap_or(0), at)),
        pci_id: pci.map(|(vendor, device)| format!("{vendor:04x}:{device:04x}")),
        // Bit 0 is the PC's interrupt, the others are numbered globally.
        interrupt: match interrupts {
            i if i & 1 != 0 => u8_at(table, 53).map(u64::from),
            0 => None,
            _ => le32(table, 54).map(u64::from),
        },
        console: line(space, address, interface, baud),
    })
}

fn pci_address(segment: u8, at: &[u8]) -> Option<String> {
    let [bus, device, function] = at else { return None };
    Some(format!("{segment:04x}:{bus:02x}:{device:02x}.{function:x}"))
}

/// Revision 1 has two kinds; later ones share the debug port table's numbers (DBG2, table 3).
fn interface(kind: u8, revision: u8) -> Option<&'static str> {
    Some(match (revision, kind) {
        (_, 0) => "16550",
        (_, 1) => "16450",
        (0 | 1, _) => return None,
        (_, 0x03) => "pl011",
        (_, 0x04 | 0x09) => "msm",
        (_, 0x05) => "nvidia-16550",
        (_, 0x06) => "omap",
        (_, 0x08) => "apm",
        (_, 0x0a) => "samsung",
        (_, 0x0c) => "imx",
        (_, 0x0d | 0x0e) => "sbsa",
        (_, 0x0f) => "dcc",
        (_, 0x10) => "bcm2835",
        (_, 0x11 | 0x13) => "sdm845",
        (_, 0x12) => "16550-gas",
        (_, 0x14) => "lpss",
        (_, 0x15) => "sbi",
        _ => return None,
    })
}

/// The precise rate of revision 4, else one of five.
fn baud(table: &[u8], revision: u8) -> Option<u64> {
    if let Some(precise) = le32(table, 80).filter(|&rate| revision >= 4 && rate != 0) {
        return Some(u64::from(precise));
    }
    match u8_at(table, 58)? {
        3 => Some(9_600),
        4 => Some(19_200),
        6 => Some(57_600),
        7 => Some(115_200),
        _ => None,
    }
}

fn flow(bits: u8) -> Vec<String> {
    const WORDS: &[&str] = &["dcd", "rts/cts", "xon/xoff"];
    WORDS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, w)| (*w).to_owned()).collect()
}

/// For `console=`: the PC's four ports are where they always were.
fn line(space: u8, address: u64, interface: Option<&str>, baud: Option<u64>) -> Option<String> {
    let port = match (space, address, interface) {
        (1, 0x3f8, _) => "ttyS0",
        (1, 0x2f8, _) => "ttyS1",
        (1, 0x3e8, _) => "ttyS2",
        (1, 0x2e8, _) => "ttyS3",
        (0, _, Some("pl011" | "sbsa")) => "ttyAMA0",
        _ => return None,
    };
    Some(baud.map_or_else(|| port.to_owned(), |baud| format!("{port},{baud}n8")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(revision: u8) -> Vec<u8> {
        let mut t = vec![0u8; 88];
        t[..4].copy_from_slice(b"SPCR");
        (t[4], t[8]) = (88, revision);
        t[40] = 1;
        t[44..46].copy_from_slice(&0x2f8u16.to_le_bytes());
        (t[52], t[53], t[58], t[61], t[62]) = (3, 3, 7, 2, 2);
        t[64..68].fill(0xff);
        t
    }

    #[test]
    fn a_pc() {
        let found = console(&table(2)).expect("whole");
        assert_eq!((found.interface.as_deref(), found.address.as_deref()), (Some("16550"), Some("io 0x2f8")));
        assert_eq!((found.baud_rate, found.interrupt), (Some(115_200), Some(3)));
        assert_eq!((found.terminal.as_deref(), found.console.as_deref()), (Some("vt-utf8"), Some("ttyS1,115200n8")));
        assert_eq!((found.flow_control, found.pci_id), (vec!["rts/cts".to_owned()], None));
    }

    #[test]
    fn an_arm_server_and_precise_rates() {
        let mut t = table(4);
        (t[36], t[40], t[52], t[58]) = (3, 0, 8, 0);
        t[54] = 33;
        t[80..84].copy_from_slice(&1_500_000u32.to_le_bytes());
        let found = console(&t).expect("whole");
        assert_eq!((found.interface.as_deref(), found.interrupt), (Some("pl011"), Some(33)));
        assert_eq!(found.console.as_deref(), Some("ttyAMA0,1500000n8"));
    }

    #[test]
    fn redirection_that_is_off() {
        let mut t = table(2);
        t[44..46].fill(0);
        assert_eq!(console(&t), None);
        assert_eq!(console(&t[..40]), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..88, b in any::<u8>()) {
            console(&bytes);
            let mut near = table(4);
            near[at] = b;
            console(&near);
        }
    }
}
