//! The PCI Express capability in a function's configuration space (PCI Express Base Specification 5.0, 7.5.3).

use super::bytes::{le16, le32, u8_at};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Express {
    pub port: Option<&'static str>,
    /// bit/s per lane.
    pub speed: Option<u64>,
    pub max_speed: Option<u64>,
    pub width: Option<u64>,
    pub max_width: Option<u64>,
    /// Link Bandwidth Management Status, of ports that report it: the link was retrained, or hardware lowered it to keep it
    /// reliable.
    pub retrained: Option<bool>,
}

/// `None` for functions without the capability, and where only the first 64 bytes could be read.
pub fn express(config: &[u8]) -> Option<Express> {
    // Status register, bit 4: there is a list of capabilities.
    if le16(config, 0x06)? & 0x10 == 0 {
        return None;
    }
    let mut at = usize::from(u8_at(config, 0x34)? & 0xfc);
    // 192 bytes hold 48 capabilities: a longer list is a circle.
    for _ in 0..48 {
        if at < 0x40 {
            return None;
        }
        if u8_at(config, at)? == 0x10 {
            return capability(config, at);
        }
        at = usize::from(u8_at(config, at + 1)? & 0xfc);
    }
    None
}

fn capability(config: &[u8], at: usize) -> Option<Express> {
    let port = match le16(config, at + 2)? >> 4 & 0x0f {
        0 => Some("endpoint"),
        1 => Some("legacy-endpoint"),
        4 => Some("root-port"),
        5 => Some("upstream"),
        6 => Some("downstream"),
        7 => Some("pcie-to-pci"),
        8 => Some("pci-to-pcie"),
        9 => Some("integrated-endpoint"),
        10 => Some("event-collector"),
        _ => None,
    };
    let (can, is) = (le32(config, at + 0x0c), le16(config, at + 0x12));
    let width = |word: u32| Some(u64::from(word >> 4 & 0x3f)).filter(|&w| w != 0);
    Some(Express {
        port,
        speed: is.and_then(|w| speed(u32::from(w))),
        max_speed: can.and_then(speed),
        width: is.and_then(|w| width(u32::from(w))),
        max_width: can.and_then(width),
        // Link Capabilities, bit 21; Link Status, bit 14.
        retrained: can.zip(is).filter(|(can, _)| can >> 21 & 1 == 1).map(|(_, is)| is >> 14 & 1 == 1),
    })
}

fn speed(word: u32) -> Option<u64> {
    let tenths = match word & 0x0f {
        1 => 25,
        2 => 50,
        3 => 80,
        4 => 160,
        5 => 320,
        6 => 640,
        _ => return None,
    };
    Some(tenths * 100_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A power management capability, then PCI Express of an endpoint: 8 GT/s x4 of 16 GT/s x8.
    fn endpoint() -> Vec<u8> {
        let mut config = vec![0u8; 256];
        (config[0x06], config[0x34]) = (0x10, 0x40);
        config[0x40..0x42].copy_from_slice(&[0x01, 0x70]);
        config[0x70..0x74].copy_from_slice(&[0x10, 0, 0x02, 0]);
        config[0x7c..0x80].copy_from_slice(&0x84u32.to_le_bytes());
        config[0x82..0x84].copy_from_slice(&0x43u16.to_le_bytes());
        config
    }

    #[test]
    fn the_link_of_an_endpoint() {
        let expected = Express {
            retrained: None,
            port: Some("endpoint"),
            speed: Some(8_000_000_000),
            max_speed: Some(16_000_000_000),
            width: Some(4),
            max_width: Some(8),
        };
        assert_eq!(express(&endpoint()), Some(expected));
        assert_eq!(express(&endpoint()[..64]), None, "what users other than root can read");
    }

    #[test]
    fn ports_that_watch_their_link_say_that_it_was_retrained() {
        let mut config = endpoint();
        config[0x7e] |= 0x20;
        assert_eq!(express(&config).and_then(|e| e.retrained), Some(false));
        config[0x83] |= 0x40;
        assert_eq!(express(&config).and_then(|e| e.retrained), Some(true));
    }

    #[test]
    fn a_circle_ends() {
        let mut config = endpoint();
        config[0x40..0x42].copy_from_slice(&[0x05, 0x40]);
        assert_eq!(express(&config), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(at in 0usize..256, b in any::<u8>(), end in 0usize..257, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            express(&bytes);
            let mut config = endpoint();
            if let Some(byte) = config.get_mut(at) { *byte = b; }
            express(config.get(..end).unwrap_or_default());
        }
    }
}
