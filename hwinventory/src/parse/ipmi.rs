//! Answers of a BMC (IPMI 2.0): each starts with a completion code.

use super::bytes::{le16, slice, u8_at};

/// The data behind a completion code of 0.
fn data(answer: &[u8]) -> Option<&[u8]> {
    let (&code, data) = answer.split_first()?;
    (code == 0).then_some(data)
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceId {
    pub device_id: u64,
    pub firmware: String,
    pub ipmi_version: String,
    pub manufacturer_id: u64,
    pub product_id: u64,
}

/// Get Device ID (20.1).
pub fn device_id(answer: &[u8]) -> Option<DeviceId> {
    let data = data(answer)?;
    let version = u8_at(data, 4)?;
    Some(DeviceId {
        device_id: u64::from(u8_at(data, 0)?),
        // The minor number is in BCD.
        firmware: format!("{}.{:02x}", u8_at(data, 2)? & 0x7f, u8_at(data, 3)?),
        // BCD with the major number in the low half.
        ipmi_version: format!("{}.{}", version & 0x0f, version >> 4),
        manufacturer_id: u64::from(le16(data, 6)?) | u64::from(u8_at(data, 8)? & 0x0f) << 16,
        product_id: u64::from(le16(data, 9)?),
    })
}

/// Get System GUID (22.14), in the byte order SMBIOS uses.
pub fn guid(answer: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = slice(data(answer)?, 0, 16)?.try_into().ok()?;
    super::names::real_uuid(Some(uuid::Uuid::from_bytes_le(bytes).to_string()))
}

/// The value of a LAN configuration parameter (23.2), behind its revision.
pub fn parameter(answer: &[u8]) -> Option<&[u8]> {
    data(answer)?.get(1..)
}

/// Parameter 4: where the IPv4 address is from.
pub fn address_source(value: &[u8]) -> Option<&'static str> {
    match value.first()? & 0x0f {
        1 => Some("static"),
        2 => Some("dhcp"),
        3 => Some("bios"),
        4 => Some("other"),
        _ => None,
    }
}

/// Parameter 5.
pub fn mac(value: &[u8]) -> Option<String> {
    slice(value, 0, 6).filter(|m| m.iter().any(|&b| b != 0)).map(super::ethtool::address)
}

/// Parameter 20: bit 15 says that there is one.
pub fn vlan(value: &[u8]) -> Option<u64> {
    let raw = le16(value, 0)?;
    (raw & 0x8000 != 0).then_some(u64::from(raw & 0x0fff))
}

/// Parameters 56 and 59: set selector, source, address, prefix length, status. `None` for a place that holds none.
pub fn ipv6_address(value: &[u8]) -> Option<(String, Option<&'static str>, Option<&'static str>)> {
    let bytes: [u8; 16] = slice(value, 2, 16)?.try_into().ok()?;
    let address = std::net::Ipv6Addr::from(bytes);
    if address.is_unspecified() {
        return None;
    }
    let source = match u8_at(value, 1)? & 0x0f {
        0 => Some("static"),
        1 => Some("slaac"),
        2 => Some("dhcp"),
        _ => None,
    };
    let status = match u8_at(value, 19) {
        Some(0) => Some("active"),
        Some(1) => Some("disabled"),
        Some(2) => Some("pending"),
        Some(3) => Some("failed"),
        Some(4) => Some("deprecated"),
        Some(5) => Some("invalid"),
        _ => None,
    };
    Some((format!("{address}/{}", u8_at(value, 18)?), source, status))
}

/// Medium of a channel (22.24): 4 is 802.3 LAN.
pub fn is_lan_channel(answer: &[u8]) -> bool {
    data(answer).and_then(|d| u8_at(d, 1)).is_some_and(|medium| medium & 0x7f == 4)
}

/// Names of the enterprise numbers that BMCs carry.
pub fn manufacturer(id: u64) -> Option<&'static str> {
    Some(match id {
        2 => "IBM",
        11 | 47196 => "Hewlett Packard Enterprise",
        42 => "Sun Microsystems",
        94 => "Nokia",
        343 => "Intel",
        674 => "Dell",
        2011 => "Huawei",
        5771 => "Cisco",
        7154 => "IPMI forum",
        7244 => "Quanta",
        10368 => "Fujitsu",
        10876 => "Supermicro",
        15000 => "GIGABYTE",
        19046 => "Lenovo",
        20569 => "Inventec",
        37945 => "Inspur",
        40981 => "Facebook",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bmc() {
        let answer = [0, 0x20, 0x81, 0x03, 0x45, 0x02, 0xbf, 0x7c, 0x2a, 0, 0x0b, 0x09];
        let id = device_id(&answer).expect("whole");
        assert_eq!((id.firmware.as_str(), id.ipmi_version.as_str()), ("3.45", "2.0"));
        assert_eq!(manufacturer(id.manufacturer_id), Some("Supermicro"));
        assert_eq!(id.product_id, 0x090b);
        assert_eq!(device_id(&[0xc1]), None);
    }

    #[test]
    fn addresses_of_both_families() {
        assert_eq!(vlan(&[0x64, 0x80]), Some(100));
        assert_eq!(vlan(&[0x64, 0x00]), None);
        assert_eq!(mac(&[0, 0x25, 0x90, 1, 2, 3]).as_deref(), Some("00:25:90:01:02:03"));
        assert_eq!(mac(&[0; 6]), None);
        let mut value = vec![0, 0x80, 0x20, 0x01, 0x0d, 0xb8];
        value.extend([0; 11]);
        value.extend([7, 64, 0]);
        assert_eq!(ipv6_address(&value), Some(("2001:db8::7/64".to_owned(), Some("static"), Some("active"))));
        (value[1], value[19]) = (1, 4);
        assert_eq!(ipv6_address(&value), Some(("2001:db8::7/64".to_owned(), Some("slaac"), Some("deprecated"))));
        assert_eq!(ipv6_address(&[0; 20]), None, "an unused place");
        assert_eq!(ipv6_address(&value[..10]), None);
    }
}
