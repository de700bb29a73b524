//! NVM Express Identify data and log pages (NVMe base specification 2.0, NVM command set 1.0).

use super::bytes::{ascii, hex, le16, le32, le64, le128, slice, u8_at};
use crate::model::{Health, HealthState};

/// Identify Controller (5.17.2.1), as far as an inventory wants it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Controller {
    pub serial: Option<String>,
    pub model: Option<String>,
    pub firmware: Option<String>,
    pub controller_id: u64,
    pub version: Option<String>,
    pub total_capacity: Option<u64>,
    pub unallocated_capacity: Option<u64>,
    pub namespaces: u64,
    pub format: bool,
    pub crypto_erase: bool,
    pub sanitize_crypto: bool,
    pub sanitize_block: bool,
    pub sanitize_overwrite: bool,
    pub volatile_write_cache: bool,
    pub subsystem_nqn: Option<String>,
}

pub fn controller(data: &[u8]) -> Option<Controller> {
    let sanitize = le32(data, 328)?;
    let version = le32(data, 80)?;
    Some(Controller {
        serial: slice(data, 4, 20).and_then(ascii),
        model: slice(data, 24, 40).and_then(ascii),
        firmware: slice(data, 64, 8).and_then(ascii),
        controller_id: u64::from(le16(data, 78)?),
        version: (version != 0).then(|| format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)),
        total_capacity: le128(data, 280).filter(|&c| c != 0),
        unallocated_capacity: le128(data, 296),
        namespaces: u64::from(le32(data, 516)?),
        format: le16(data, 256)? & 2 != 0,
        crypto_erase: u8_at(data, 524)? & 4 != 0,
        sanitize_crypto: sanitize & 1 != 0,
        sanitize_block: sanitize & 2 != 0,
        sanitize_overwrite: sanitize & 4 != 0,
        volatile_write_cache: u8_at(data, 525)? & 1 != 0,
        subsystem_nqn: slice(data, 768, 256).map(|b| b.split(|&c| c == 0).next().unwrap_or_default()).and_then(ascii),
    })
}

/// Identify Namespace (NVM command set 4.1.5.1).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Namespace {
    /// In bytes.
    pub size: Option<u64>,
    pub block_size: Option<u64>,
    pub metadata_size: Option<u64>,
    /// Block sizes without metadata, best relative performance first.
    pub formats: Vec<u64>,
    pub nguid: Option<String>,
    pub eui64: Option<String>,
    /// Deallocated blocks read as zeros.
    pub deallocated_zero: Option<bool>,
}

pub fn namespace(data: &[u8]) -> Option<Namespace> {
    let count = usize::from(u8_at(data, 25)?) + 1;
    let current = u8_at(data, 26)?;
    // Bits 6:5 extend the index beyond 16 formats.
    let current = usize::from(current & 0x0f | (current & 0x60) >> 1);
    let format = |index: usize| {
        let at = 128 + index * 4;
        let shift = u32::from(u8_at(data, at + 2)?);
        let size = 1u64.checked_shl(shift).filter(|_| (9..32).contains(&shift))?;
        Some((le16(data, at)?, size, u8_at(data, at + 3)? & 3))
    };
    let mut formats: Vec<(u8, u64)> = (0..count.min(64))
        .filter_map(format)
        .filter(|(metadata, ..)| *metadata == 0)
        .map(|(_, size, performance)| (performance, size))
        .collect();
    formats.sort();
    formats.dedup();
    let id = |at: usize, length: usize| slice(data, at, length).filter(|b| b.iter().any(|&b| b != 0)).map(hex);
    let current = format(current);
    Some(Namespace {
        size: current.zip(le64(data, 0)).and_then(|((_, size, _), blocks)| blocks.checked_mul(size)),
        block_size: current.map(|(_, size, _)| size),
        metadata_size: current.map(|(metadata, ..)| u64::from(metadata)),
        formats: formats.into_iter().map(|(_, size)| size).collect(),
        nguid: id(104, 16),
        eui64: id(120, 8),
        deallocated_zero: match u8_at(data, 33)? & 7 {
            1 => Some(true),
            2 => Some(false),
            _ => None,
        },
    })
}

/// SMART / Health Information log (5.16.1.3).
pub fn smart(data: &[u8]) -> Option<Health> {
    let critical = u8_at(data, 0)?;
    const WARNINGS: &[(u8, &str, HealthState)] = &[
        (0x01, "available spare is below its threshold", HealthState::Failing),
        (0x02, "temperature is out of range", HealthState::Warning),
        (0x04, "reliability is degraded by media or internal errors", HealthState::Failing),
        (0x08, "medium is read-only", HealthState::Failing),
        (0x10, "backup of volatile memory has failed", HealthState::Failing),
        (0x20, "persistent memory region is unreliable", HealthState::Failing),
    ];
    let mut health = Health { state: HealthState::Ok, source: Some("nvme-smart".to_owned()), ..Health::default() };
    for (bit, reason, state) in WARNINGS {
        if critical & bit != 0 {
            health.reasons.push((*reason).to_owned());
            health.state = health.state.max(*state);
        }
    }
    let count = |at: usize| le128(data, at);
    // In thousands of 512-byte units.
    let units = |at: usize| count(at).map(|n| n.saturating_mul(512_000));
    health.temperature = le16(data, 1).filter(|&k| k != 0).map(|kelvin| i64::from(kelvin) - 273);
    health.available_spare = u8_at(data, 3).map(u64::from);
    health.available_spare_threshold = u8_at(data, 4).map(u64::from);
    health.percentage_used = u8_at(data, 5).map(u64::from);
    health.bytes_read = units(32);
    health.bytes_written = units(48);
    health.power_cycles = count(112);
    health.power_on_hours = count(128);
    health.unsafe_shutdowns = count(144);
    health.media_errors = count(160);
    health.error_log_entries = count(176);
    if health.percentage_used.is_some_and(|p| p >= 100) {
        health.reasons.push("rated endurance is used up".to_owned());
        health.state = health.state.max(HealthState::Warning);
    }
    le64(data, 504)?;
    Some(health)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identify() {
        let mut data = vec![0u8; 4096];
        data[4..24].copy_from_slice(b"S4EVNF0M000000      ");
        data[24..64].copy_from_slice(b"Samsung SSD 970 EVO Plus 1TB            ");
        data[80..84].copy_from_slice(&0x0001_0300u32.to_le_bytes());
        data[256] = 0x17;
        data[328] = 3;
        data[516] = 1;
        data[524] = 5;
        data[768..780].copy_from_slice(b"nqn.2014.x\0y");
        let controller = controller(&data).expect("long enough");
        assert_eq!(controller.serial.as_deref(), Some("S4EVNF0M000000"));
        assert_eq!(controller.version.as_deref(), Some("1.3.0"));
        assert!(controller.format && controller.crypto_erase && controller.sanitize_block);
        assert!(!controller.sanitize_overwrite);
        assert_eq!(controller.subsystem_nqn.as_deref(), Some("nqn.2014.x"));
    }

    #[test]
    fn formats_come_best_first() {
        let mut data = vec![0u8; 4096];
        data[25] = 2;
        data[26] = 1;
        data[33] = 1;
        data[128..140].copy_from_slice(&[0, 0, 9, 2, 0, 0, 12, 0, 8, 0, 12, 1]);
        data[120..128].copy_from_slice(&[0, 0x25, 0x38, 1, 2, 3, 4, 5]);
        let namespace = namespace(&data).expect("long enough");
        assert_eq!(namespace.block_size, Some(4096));
        assert_eq!(namespace.formats, [4096, 512]);
        assert_eq!(namespace.nguid, None);
        assert_eq!(namespace.eui64.as_deref(), Some("0025380102030405"));
        assert_eq!(namespace.deallocated_zero, Some(true));
    }

    #[test]
    fn a_worn_drive_is_failing() {
        let mut data = vec![0u8; 512];
        data[0] = 0x01;
        data[1..3].copy_from_slice(&310u16.to_le_bytes());
        data[5] = 104;
        data[128] = 200;
        let health = smart(&data).expect("long enough");
        assert_eq!(health.state, HealthState::Failing);
        assert_eq!(health.reasons.len(), 2);
        assert_eq!((health.temperature, health.power_on_hours), (Some(37), Some(200)));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            controller(&bytes);
            namespace(&bytes);
            smart(&bytes);
        }
    }
}
