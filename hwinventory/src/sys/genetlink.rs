//! One page of a pluggable module, through ethtool's generic netlink family (Documentation/networking/ethtool-netlink.rst,
//! MODULE_EEPROM_GET): the ioctl knows neither banks nor the pages of CMIS.

use super::netlink::ask;
use crate::parse::netlink::{attribute, attribute_in};
use crate::parse::optics::PAGE;
use netlink_sys::protocols::NETLINK_GENERIC;
use std::io;

/// GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID and CTRL_ATTR_FAMILY_NAME of <linux/genetlink.h>.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// ETHTOOL_MSG_MODULE_EEPROM_GET and its attributes, and the device's name in their header, of <linux/ethtool_netlink.h>.
const EEPROM_GET: u8 = 31;
const HEADER: u16 = 1;
const DEVICE_NAME: u16 = 2;
const OFFSET: u16 = 2;
const LENGTH: u16 = 3;
const NUMBER: u16 = 4;
const BANK: u16 = 5;
const ADDRESS: u16 = 6;
const DATA: u16 = 7;
const NESTED: u16 = 0x8000;
/// Where the modules answer on their two-wire bus (CMIS 5.2, 5.2.1).
const MODULE: u8 = 0x50;

/// The lower half of page 0 where `upper` is not asked for, else the upper half of `page`.
pub fn module_page(interface: &str, upper: bool, page: u8, bank: u8) -> io::Result<Vec<u8>> {
    let family = family()?;
    let name = [interface.as_bytes(), b"\0"].concat();
    let offset: u32 = if upper { PAGE } else { 0 };
    let body = [
        attribute(HEADER | NESTED, &attribute(DEVICE_NAME, &name)),
        attribute(OFFSET, &offset.to_ne_bytes()),
        attribute(LENGTH, &PAGE.to_ne_bytes()),
        attribute(NUMBER, &[page]),
        attribute(BANK, &[bank]),
        attribute(ADDRESS, &[MODULE]),
    ];
    let answer = ask(NETLINK_GENERIC, family, &generic(EEPROM_GET, &body.concat()))?;
    let data = attribute_in(answer.get(20..).unwrap_or_default(), DATA);
    data.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The number that the kernel has given to the family.
fn family() -> io::Result<u16> {
    let request = generic(GET_FAMILY, &attribute(FAMILY_NAME, b"ethtool\0"));
    let answer = ask(NETLINK_GENERIC, CONTROL, &request)?;
    let id = attribute_in(answer.get(20..).unwrap_or_default(), FAMILY_ID).and_then(|id| id.try_into().ok());
    id.map(u16::from_ne_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Command, version, two bytes of padding.
fn generic(command: u8, body: &[u8]) -> Vec<u8> {
    [&[command, 1, 0, 0][..], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loopback has no module: the kernel has understood what it was asked, and says so.
    #[test]
    fn the_kernel_understands_the_question() {
        let Ok(_) = family() else { return burin_skip::skip!("this kernel has no ethtool family") };
        let error = module_page("lo", true, 0x11, 0).expect_err("no module");
        if error.raw_os_error() == Some(libc::EPERM) {
            return burin_skip::skip!("not root");
        }
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}");
    }
}
