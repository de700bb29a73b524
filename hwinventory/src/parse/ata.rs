//! ATA IDENTIFY DEVICE data (ACS-4 7.13) and SMART.

use super::bytes::{ascii, hex, le16, slice, u8_at};
use crate::model::{AtaSecurity, Health, HealthState};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identify {
    pub serial: Option<String>,
    pub firmware: Option<String>,
    pub model: Option<String>,
    /// NAA, sixteen hexadecimal digits.
    pub wwn: Option<String>,
    /// 1: not rotating; else revolutions per minute.
    pub rotation_rate: Option<u64>,
    pub form_factor: Option<&'static str>,
    pub smart: bool,
    pub write_cache: bool,
    pub trim: bool,
    /// Reads after TRIM return zeros.
    pub trim_zeroes: bool,
    pub sanitize: bool,
    pub security: AtaSecurity,
    /// bit/s
    pub max_link_speed: Option<u64>,
    pub link_speed: Option<u64>,
}

pub fn identify(data: &[u8]) -> Option<Identify> {
    let word = |n: usize| le16(data, n * 2);
    // A buffer of zeros or ones is no answer.
    if data.len() < 512 || data.iter().all(|&b| b == 0) || data.iter().all(|&b| b == 0xff) {
        return None;
    }
    let security = word(128)?;
    let minutes = word(89).filter(|&w| w != 0).map(|w| {
        // With bit 15 the field is 15 bits wide, else 8; the largest value means "at least that".
        if w & 0x8000 != 0 { u64::from(w & 0x7fff) * 2 } else { u64::from(w & 0xff) * 2 }
    });
    let sata = word(76).filter(|&w| w != 0 && w != 0xffff);
    let fastest = sata.and_then(|w| (1..=3).rev().find(|g| w & (1 << g) != 0));
    // Words 82 to 87 are valid when bits 15:14 of word 83 are 01.
    let sets = word(83).is_some_and(|w| w >> 14 == 1);
    Some(Identify {
        serial: text(data, 10, 10),
        firmware: text(data, 23, 4),
        model: text(data, 27, 20),
        wwn: wwn(data),
        rotation_rate: word(217).filter(|w| matches!(w, 1 | 0x401..=0xfffe)).map(u64::from),
        form_factor: match word(168)? & 0x0f {
            1 => Some("5.25 inch"),
            2 => Some("3.5 inch"),
            3 => Some("2.5 inch"),
            4 => Some("1.8 inch"),
            5 => Some("less than 1.8 inch"),
            6 => Some("mSATA"),
            7 => Some("M.2"),
            _ => None,
        },
        smart: sets && word(82)? & 1 != 0 && word(85)? & 1 != 0,
        write_cache: sets && word(85)? & 0x20 != 0,
        trim: word(169)? & 1 != 0,
        trim_zeroes: word(169)? & 1 != 0 && word(69)? & 0x4020 == 0x4020,
        sanitize: word(59)? & 0x1000 != 0,
        security: AtaSecurity {
            supported: security & 0x01 != 0,
            enabled: security & 0x02 != 0,
            locked: security & 0x04 != 0,
            frozen: security & 0x08 != 0,
            count_expired: security & 0x10 != 0,
            enhanced_erase: security & 0x20 != 0,
            erase_minutes: minutes.filter(|_| security & 0x01 != 0),
        },
        max_link_speed: fastest.and_then(generation),
        link_speed: sata.and_then(|_| word(77)).and_then(|w| generation(w >> 1 & 7)),
    })
}

/// Signalling speed of a generation of Serial ATA, in bit/s.
pub fn generation(number: u16) -> Option<u64> {
    match number {
        1 => Some(1_500_000_000),
        2 => Some(3_000_000_000),
        3 => Some(6_000_000_000),
        _ => None,
    }
}

/// Two characters a word, the first in the high byte.
fn text(data: &[u8], word: usize, words: usize) -> Option<String> {
    let swapped: Vec<u8> =
        slice(data, word * 2, words * 2)?.chunks_exact(2).flat_map(|pair| pair.iter().rev().copied()).collect();
    ascii(&swapped)
}

fn wwn(data: &[u8]) -> Option<String> {
    // Bit 8 of word 87 says that there is one.
    let supported = le16(data, 87 * 2)?;
    let bytes: Vec<u8> = slice(data, 108 * 2, 8)?.chunks_exact(2).flat_map(|pair| pair.iter().rev().copied()).collect();
    (supported & 0x100 != 0 && bytes.iter().any(|&b| b != 0)).then(|| hex(&bytes))
}

/// SMART attributes with their thresholds, and the drive's own verdict.
pub fn smart(data: &[u8], thresholds: Option<&[u8]>, failing: Option<bool>) -> Option<Health> {
    let mut health = Health { source: Some("ata-smart".to_owned()), state: HealthState::Ok, ..Health::default() };
    let table = slice(data, 2, 360)?;
    let limits = thresholds.and_then(|t| slice(t, 2, 360)).unwrap_or_default();
    for attribute in table.chunks_exact(12) {
        let (Some(id), Some(flags), Some(value)) = (u8_at(attribute, 0), le16(attribute, 1), u8_at(attribute, 3))
        else {
            continue;
        };
        let raw: u64 = slice(attribute, 5, 6).unwrap_or_default().iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
        match id {
            5 => health.reallocated_sectors = Some(raw & 0xffff_ffff),
            // Some drives keep other counts in the upper bytes.
            9 => health.power_on_hours = Some(raw & 0xffff_ffff),
            12 => health.power_cycles = Some(raw & 0xffff_ffff),
            174 | 192 => health.unsafe_shutdowns = health.unsafe_shutdowns.or(Some(raw & 0xffff_ffff)),
            194 => health.temperature = Some(i64::from(raw as u8 as i8)),
            190 => health.temperature = health.temperature.or(Some(i64::from(raw as u8 as i8))),
            197 => health.pending_sectors = Some(raw & 0xffff_ffff),
            198 => health.uncorrectable_sectors = Some(raw & 0xffff_ffff),
            199 => health.crc_errors = Some(raw & 0xffff_ffff),
            _ => {}
        }
        let limit = limits.chunks_exact(12).find(|l| id != 0 && l.first() == Some(&id)).and_then(|l| u8_at(l, 1));
        // Bit 0: the attribute predicts failure, rather than age. A limit of 0 never fires.
        if flags & 1 != 0 && limit.is_some_and(|l| l > 0 && l < 254 && value <= l) {
            health.state = HealthState::Failing;
            health.reasons.push(format!("SMART attribute {id} is at {value}, its limit"));
        }
    }
    if failing == Some(true) {
        health.state = HealthState::Failing;
        health.reasons.push("the drive predicts its failure".to_owned());
    }
    for (count, what) in [
        (health.pending_sectors, "sectors wait for reallocation"),
        (health.uncorrectable_sectors, "sectors could not be read"),
    ] {
        if let Some(count) = count.filter(|&c| c > 0) {
            health.state = health.state.max(HealthState::Warning);
            health.reasons.push(format!("{count} {what}"));
        }
    }
    Some(health)
}

/// SMART RETURN STATUS, from the ATA status return descriptor (SAT-5 12.2.2.7) in the sense data.
pub fn predicts_failure(sense: &[u8]) -> Option<bool> {
    let (mid, high) = match sense.first()? & 0x7f {
        0x72 => {
            let descriptor = sense.get(8..).filter(|d| d.first() == Some(&0x09))?;
            (u8_at(descriptor, 9)?, u8_at(descriptor, 11)?)
        }
        // Fixed format: LBA mid and high in the command-specific information.
        0x70 => (u8_at(sense, 10)?, u8_at(sense, 11)?),
        _ => return None,
    };
    match (mid, high) {
        (0x4f, 0xc2) => Some(false),
        (0xf4, 0x2c) => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(data: &mut [u8], word: usize, value: u16) {
        data[word * 2..word * 2 + 2].copy_from_slice(&value.to_le_bytes());
    }

    #[test]
    fn identify_data() {
        let mut data = vec![0u8; 512];
        for (i, pair) in b"ZA1B2C3D            ".chunks(2).enumerate() {
            put(&mut data, 10 + i, u16::from_be_bytes([pair[0], pair[1]]));
        }
        put(&mut data, 83, 0x4000);
        put(&mut data, 82, 1);
        put(&mut data, 85, 0x21);
        put(&mut data, 87, 0x4100);
        for (i, w) in [0x5000u16, 0xc500, 0xa1b2, 0xc3d4].iter().enumerate() {
            put(&mut data, 108 + i, *w);
        }
        put(&mut data, 76, 0x000e);
        put(&mut data, 77, 0x0006);
        put(&mut data, 128, 0x0029);
        put(&mut data, 89, 50);
        put(&mut data, 217, 7200);
        put(&mut data, 168, 2);
        let identify = identify(&data).expect("well-formed");
        assert_eq!(identify.serial.as_deref(), Some("ZA1B2C3D"));
        assert_eq!(identify.wwn.as_deref(), Some("5000c500a1b2c3d4"));
        assert_eq!(identify.rotation_rate, Some(7200));
        assert_eq!((identify.max_link_speed, identify.link_speed), (Some(6_000_000_000), Some(6_000_000_000)));
        assert!(identify.smart && identify.write_cache && !identify.trim);
        assert!(identify.security.supported && identify.security.frozen && identify.security.enhanced_erase);
        assert_eq!(identify.security.erase_minutes, Some(100));
    }

    #[test]
    fn an_attribute_at_its_limit_fails() {
        let mut data = vec![0u8; 512];
        let mut limits = vec![0u8; 512];
        data[2..14].copy_from_slice(&[5, 3, 0, 10, 10, 0x2a, 1, 0, 0, 0, 0, 0]);
        data[14..26].copy_from_slice(&[194, 0x22, 0, 64, 50, 36, 0, 50, 0, 20, 0, 0]);
        limits[2..4].copy_from_slice(&[5, 10]);
        let health = smart(&data, Some(&limits), Some(false)).expect("long enough");
        assert_eq!(health.state, HealthState::Failing);
        assert_eq!((health.reallocated_sectors, health.temperature), (Some(298), Some(36)));
        assert_eq!(smart(&data, None, Some(false)).map(|h| h.state), Some(HealthState::Ok));
    }

    #[test]
    fn verdicts() {
        let mut sense = vec![0x72, 1, 0, 0x1d, 0, 0, 0, 14, 9, 12, 0, 0, 0, 0, 0, 0, 0, 0x4f, 0, 0xc2, 0, 0x50];
        assert_eq!(predicts_failure(&sense), Some(false));
        (sense[17], sense[19]) = (0xf4, 0x2c);
        assert_eq!(predicts_failure(&sense), Some(true));
        assert_eq!(predicts_failure(&[]), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), other in proptest::collection::vec(any::<u8>(), 0..600)) {
            identify(&bytes);
            smart(&bytes, Some(&other), None);
            predicts_failure(&bytes);
        }
    }
}
