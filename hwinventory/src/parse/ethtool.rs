//! Answers of `SIOCETHTOOL` (<linux/ethtool.h>).

use super::bytes::{ascii, le32, slice, u8_at};

/// Driver, its version, and the firmware's.
pub fn driver_info(data: &[u8]) -> Option<(Option<String>, Option<String>, Option<String>)> {
    let text = |at: usize| {
        let field = slice(data, at, 32)?;
        let text = ascii(field.split(|&b| b == 0).next()?)?;
        // Drivers that have nothing to say write this.
        (!text.eq_ignore_ascii_case("n/a")).then_some(text)
    };
    slice(data, 4, 96)?;
    Some((text(4), text(36), text(68)))
}

pub fn address(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// `ETHTOOL_GPERMADDR`: command, size, address.
pub fn permanent_address(data: &[u8]) -> Option<String> {
    let bytes = slice(data, 8, le32(data, 4)?.min(32) as usize)?;
    bytes.iter().any(|&b| b != 0).then(|| address(bytes))
}

/// `ETHTOOL_GWOL`: enabled, when any way of waking is switched on.
pub fn wake_on_lan(data: &[u8]) -> Option<bool> {
    let supported = le32(data, 4)?;
    (supported != 0).then(|| le32(data, 8)).flatten().map(|options| options != 0)
}

/// `ETH_SS_PRIV_FLAGS`: the set of strings that names a driver's private flags.
pub const PRIVATE_FLAGS: u32 = 2;

/// How many private flags the driver has, from `ETHTOOL_GDRVINFO`.
pub fn private_flag_count(driver_info: &[u8]) -> Option<u32> {
    le32(driver_info, 176)
}

/// The private flag that stands for the card's own LLDP agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LldpFlag {
    pub bit: u32,
    pub agent_on: bool,
}

/// From `ETHTOOL_GSTRINGS` and `ETHTOOL_GPFLAGS`. i40e has a flag that switches the agent off; ice one that switches it
/// on, which its first versions called otherwise.
pub fn lldp_flag(names: &[u8], flags: &[u8]) -> Option<LldpFlag> {
    let count = le32(names, 8)?.min(32);
    let value = le32(flags, 4)?;
    (0..count).find_map(|bit| {
        let name = slice(names, 12 + bit as usize * 32, 32)?.split(|&b| b == 0).next()?;
        let set = value >> bit & 1 != 0;
        let agent_on = match name {
            b"disable-fw-lldp" => !set,
            b"fw-lldp-agent" | b"enable-fw-lldp" => set,
            _ => return None,
        };
        Some(LldpFlag { bit, agent_on })
    })
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkSettings {
    /// bit/s
    pub speed: Option<u64>,
    pub duplex: Option<&'static str>,
    pub autonegotiation: Option<bool>,
    pub connector: Option<&'static str>,
    pub modes: Vec<String>,
    pub max_speed: Option<u64>,
}

/// `ETHTOOL_GLINKSETTINGS`.
pub fn link_settings(data: &[u8]) -> Option<LinkSettings> {
    let speed = le32(data, 4)?;
    let words = usize::from(u8_at(data, 15)?);
    let supported = slice(data, 48, words * 4)?;
    let mut settings = LinkSettings {
        speed: (speed != 0 && speed != u32::MAX).then_some(u64::from(speed) * 1_000_000),
        duplex: match u8_at(data, 8)? {
            0 => Some("half"),
            1 => Some("full"),
            _ => None,
        },
        connector: match u8_at(data, 9)? {
            0 => Some("twisted-pair"),
            1 => Some("aui"),
            2 => Some("mii"),
            3 => Some("fibre"),
            4 => Some("bnc"),
            5 => Some("direct-attach"),
            0xef => Some("none"),
            _ => None,
        },
        autonegotiation: match u8_at(data, 11)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        ..LinkSettings::default()
    };
    for (bit, megabits, name) in MODES {
        let word = le32(supported, usize::from(*bit / 32) * 4).unwrap_or(0);
        if word >> (bit % 32) & 1 != 0 {
            settings.modes.push((*name).to_owned());
            settings.max_speed = settings.max_speed.max(Some(*megabits * 1_000_000));
        }
    }
    Some(settings)
}

/// `enum ethtool_link_mode_bit_indices`: bit, Mbit/s, name.
const MODES: &[(u8, u64, &str)] = &[
    (0, 10, "10baseT/Half"),
    (1, 10, "10baseT/Full"),
    (2, 100, "100baseT/Half"),
    (3, 100, "100baseT/Full"),
    (4, 1000, "1000baseT/Half"),
    (5, 1000, "1000baseT/Full"),
    (12, 10_000, "10000baseT/Full"),
    (15, 2500, "2500baseX/Full"),
    (17, 1000, "1000baseKX/Full"),
    (18, 10_000, "10000baseKX4/Full"),
    (19, 10_000, "10000baseKR/Full"),
    (21, 20_000, "20000baseMLD2/Full"),
    (22, 20_000, "20000baseKR2/Full"),
    (23, 40_000, "40000baseKR4/Full"),
    (24, 40_000, "40000baseCR4/Full"),
    (25, 40_000, "40000baseSR4/Full"),
    (26, 40_000, "40000baseLR4/Full"),
    (27, 56_000, "56000baseKR4/Full"),
    (28, 56_000, "56000baseCR4/Full"),
    (29, 56_000, "56000baseSR4/Full"),
    (30, 56_000, "56000baseLR4/Full"),
    (31, 25_000, "25000baseCR/Full"),
    (32, 25_000, "25000baseKR/Full"),
    (33, 25_000, "25000baseSR/Full"),
    (34, 50_000, "50000baseCR2/Full"),
    (35, 50_000, "50000baseKR2/Full"),
    (36, 100_000, "100000baseKR4/Full"),
    (37, 100_000, "100000baseSR4/Full"),
    (38, 100_000, "100000baseCR4/Full"),
    (39, 100_000, "100000baseLR4_ER4/Full"),
    (40, 50_000, "50000baseSR2/Full"),
    (41, 1000, "1000baseX/Full"),
    (42, 10_000, "10000baseCR/Full"),
    (43, 10_000, "10000baseSR/Full"),
    (44, 10_000, "10000baseLR/Full"),
    (45, 10_000, "10000baseLRM/Full"),
    (46, 10_000, "10000baseER/Full"),
    (47, 2500, "2500baseT/Full"),
    (48, 5000, "5000baseT/Full"),
    (52, 50_000, "50000baseKR/Full"),
    (53, 50_000, "50000baseSR/Full"),
    (54, 50_000, "50000baseCR/Full"),
    (55, 50_000, "50000baseLR_ER_FR/Full"),
    (56, 50_000, "50000baseDR/Full"),
    (57, 100_000, "100000baseKR2/Full"),
    (58, 100_000, "100000baseSR2/Full"),
    (59, 100_000, "100000baseCR2/Full"),
    (60, 100_000, "100000baseLR2_ER2_FR2/Full"),
    (61, 100_000, "100000baseDR2/Full"),
    (62, 200_000, "200000baseKR4/Full"),
    (63, 200_000, "200000baseSR4/Full"),
    (64, 200_000, "200000baseLR4_ER4_FR4/Full"),
    (65, 200_000, "200000baseDR4/Full"),
    (66, 200_000, "200000baseCR4/Full"),
    (67, 100, "100baseT1/Full"),
    (68, 1000, "1000baseT1/Full"),
    (69, 400_000, "400000baseKR8/Full"),
    (70, 400_000, "400000baseSR8/Full"),
    (71, 400_000, "400000baseLR8_ER8_FR8/Full"),
    (72, 400_000, "400000baseDR8/Full"),
    (73, 400_000, "400000baseCR8/Full"),
    (75, 100_000, "100000baseKR/Full"),
    (76, 100_000, "100000baseSR/Full"),
    (77, 100_000, "100000baseLR_ER_FR/Full"),
    (78, 100_000, "100000baseCR/Full"),
    (79, 100_000, "100000baseDR/Full"),
    (80, 200_000, "200000baseKR2/Full"),
    (81, 200_000, "200000baseSR2/Full"),
    (82, 200_000, "200000baseLR2_ER2_FR2/Full"),
    (83, 200_000, "200000baseDR2/Full"),
    (84, 200_000, "200000baseCR2/Full"),
    (85, 400_000, "400000baseKR4/Full"),
    (86, 400_000, "400000baseSR4/Full"),
    (87, 400_000, "400000baseLR4_ER4_FR4/Full"),
    (88, 400_000, "400000baseDR4/Full"),
    (89, 400_000, "400000baseCR4/Full"),
    (93, 800_000, "800000baseCR8/Full"),
    (94, 800_000, "800000baseKR8/Full"),
    (95, 800_000, "800000baseDR8/Full"),
    (96, 800_000, "800000baseDR8_2/Full"),
    (97, 800_000, "800000baseSR8/Full"),
    (98, 800_000, "800000baseVR8/Full"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_flag_of_the_lldp_agent() {
        let names = |flags: &[&str]| {
            let mut bytes = [0x1bu32, PRIVATE_FLAGS, flags.len() as u32].map(u32::to_le_bytes).concat();
            for flag in flags {
                let mut field = flag.as_bytes().to_vec();
                field.resize(32, 0);
                bytes.extend(field);
            }
            bytes
        };
        let value = |bits: u32| [0x27u32, bits].map(u32::to_le_bytes).concat();
        let i40e = names(&["MFP", "LinkPolling", "flow-director-atr", "disable-fw-lldp", "rs-fec"]);
        assert_eq!(lldp_flag(&i40e, &value(0x10)), Some(LldpFlag { bit: 3, agent_on: true }));
        assert_eq!(lldp_flag(&i40e, &value(0x08)), Some(LldpFlag { bit: 3, agent_on: false }));
        let ice = names(&["link-down-on-close", "fw-lldp-agent"]);
        assert_eq!(lldp_flag(&ice, &value(2)), Some(LldpFlag { bit: 1, agent_on: true }));
        assert_eq!(lldp_flag(&ice, &value(1)), Some(LldpFlag { bit: 1, agent_on: false }));
        assert_eq!(lldp_flag(&names(&["legacy-rx"]), &value(1)), None);
        assert_eq!(lldp_flag(&ice[..40], &value(2)), None);
    }

    #[test]
    fn a_gigabit_port() {
        let mut data = vec![0u8; 48 + 36];
        data[4..8].copy_from_slice(&1000u32.to_le_bytes());
        (data[8], data[11], data[15]) = (1, 1, 3);
        data[48] = 0x2f;
        let settings = link_settings(&data).expect("long enough");
        assert_eq!((settings.speed, settings.max_speed), (Some(1_000_000_000), Some(1_000_000_000)));
        assert_eq!(settings.modes.last().map(String::as_str), Some("1000baseT/Full"));
        assert_eq!((settings.duplex, settings.connector), (Some("full"), Some("twisted-pair")));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            driver_info(&bytes);
            permanent_address(&bytes);
            wake_on_lan(&bytes);
            link_settings(&bytes);
        }
    }
}
