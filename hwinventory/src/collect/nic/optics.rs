//! Reads the EEPROM of a pluggable module: by ioctl, and page by page over netlink for CMIS modules.

use crate::model::Transceiver;
use crate::parse::{optics, opticscmis};
use crate::source::{Query, Reader};

const MODULE_INFO: u32 = 0x42;
const MODULE_EEPROM: u32 = 0x43;
/// `struct ethtool_modinfo`, and the header of `struct ethtool_eeprom`.
const INFO_LENGTH: u32 = 44;
const HEADER: u32 = 16;
/// The largest EEPROM that the ioctl has (SFF-8636 with its four upper pages).
const LARGEST: u32 = 640;

pub fn collect(reader: &Reader, interface: &str) -> Option<Transceiver> {
    let page = |upper: bool, page: u8, bank: u8| {
        reader.quiet_query(&Query::ModulePage { interface: interface.to_owned(), upper, page, bank }).ok()
    };
    // Some drivers have the one, some the other.
    let eeprom = by_ioctl(reader, interface).or_else(|| {
        let lower = page(false, 0, 0)?;
        Some([lower, page(true, 0, 0)?].concat())
    })?;
    let mut found = optics::module(&eeprom)?;
    if opticscmis::has_pages(&eeprom)
        && let Some(first) = page(true, 0x01, 0)
        && let Some(monitors) = opticscmis::monitors(&eeprom, &first, &mut found)
    {
        for bank in 0..monitors.banks {
            if let Some(lanes) = page(true, 0x11, bank) {
                opticscmis::lanes(&monitors, bank, &lanes, &mut found);
            }
        }
    }
    Some(found)
}

fn by_ioctl(reader: &Reader, interface: &str) -> Option<Vec<u8>> {
    let ask = |command: u32, length: u32| {
        reader.quiet_query(&Query::Ethtool { interface: interface.to_owned(), command, length }).ok()
    };
    let (_, length) = ask(MODULE_INFO, INFO_LENGTH).and_then(|a| optics::module_info(&a))?;
    let length = length.min(LARGEST);
    (length > 0).then_some(())?;
    Some(ask(MODULE_EEPROM, HEADER + length)?.get(HEADER as usize..)?.to_vec())
}
