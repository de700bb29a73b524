//! What is plugged into the cage, asked through the driver.

use crate::model::Transceiver;
use crate::parse::optics;
use crate::source::{Query, Reader};

const MODULE_INFO: u32 = 0x42;
const MODULE_EEPROM: u32 = 0x43;
/// `struct ethtool_modinfo`, and the header of `struct ethtool_eeprom`.
const INFO_LENGTH: u32 = 44;
const HEADER: u32 = 16;
/// The largest EEPROM that the ioctl has (SFF-8636 with its four upper pages).
const LARGEST: u32 = 640;

pub fn collect(reader: &Reader, interface: &str) -> Option<Transceiver> {
    let ask = |command: u32, length: u32| {
        reader.quiet_query(&Query::Ethtool { interface: interface.to_owned(), command, length }).ok()
    };
    let (_, length) = ask(MODULE_INFO, INFO_LENGTH).and_then(|a| optics::module_info(&a))?;
    let length = length.min(LARGEST);
    (length > 0).then_some(())?;
    ask(MODULE_EEPROM, HEADER + length).and_then(|a| optics::eeprom_answer(&a))
}
