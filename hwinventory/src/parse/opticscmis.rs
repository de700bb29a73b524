//! Modules with the common management interface, CMIS: QSFP-DD, OSFP and others. The lower memory and page 00h are always
//! there; page 01h says what the module measures, and page 11h, once for each bank of eight lanes, what it has measured.

use super::bytes::{be16, u8_at};
use super::optics::{Names, PAGE, names, rounded, signed};
use crate::model::{OpticalLane, Transceiver};

/// Lanes of a bank.
const LANES: usize = 8;

pub fn is_one(eeprom: &[u8]) -> bool {
    matches!(u8_at(eeprom, 0), Some(0x18 | 0x19 | 0x1b | 0x1e | 0x1f))
}

/// The lower memory and page 00h (CMIS 5.2, 8.2 and 8.3).
pub fn first_pages(eeprom: &[u8]) -> Transceiver {
    let mut found = names(
        eeprom,
        &Names { vendor: 129, oui: 145, part: 148, revision: (164, 2), serial: 166, date: 182, connector: 203 },
    );
    // Base in the lower six bits, times 0.1, 1, 10 or 100.
    let length = u8_at(eeprom, 202).filter(|&b| b & 0x3f != 0);
    const SCALES: [f64; 4] = [0.1, 1.0, 10.0, 100.0];
    found.cable_length = length.map(|b| f64::from(b & 0x3f) * SCALES[usize::from(b >> 6)]);
    if !is_copper(eeprom) {
        found.temperature = be16(eeprom, 14).map(|t| rounded(signed(t) / 256.0));
        found.voltage = be16(eeprom, 16).map(|v| rounded(f64::from(v) / 1e4));
        const SIDES: [&str; 4] = ["high alarm", "low alarm", "high warning", "low warning"];
        for (first, what) in [(0, "temperature"), (4, "voltage")] {
            let set = SIDES.iter().enumerate().filter(|(n, _)| is_set(eeprom, 9, first + n));
            found.alarms.extend(set.map(|(_, side)| format!("{what} {side}")));
        }
    }
    found
}

/// Media type 3 is passive copper, 4 active cables (table 8-18): neither measures light.
fn is_copper(eeprom: &[u8]) -> bool {
    matches!(u8_at(eeprom, 85), Some(3 | 4))
}

fn is_set(bytes: &[u8], at: usize, bit: usize) -> bool {
    u8_at(bytes, at).is_some_and(|byte| byte >> bit & 1 == 1)
}

/// What a module's lower memory and page 01h say of its other pages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Monitors {
    pub banks: u8,
    bias: bool,
    tx_power: bool,
    rx_power: bool,
    /// Milliamperes a step.
    step: f64,
    /// Lanes on the side of the fibre, of the first application.
    lanes: usize,
}

/// Whether there is a page 01h: modules with flat memory (bit 7 of byte 2) have page 00h alone.
pub fn has_pages(eeprom: &[u8]) -> bool {
    is_one(eeprom) && eeprom.len() >= PAGE as usize && !is_set(eeprom, 2, 7) && !is_copper(eeprom)
}

/// `page` is the upper half of page 01h, whose first byte is 128 (tables 8-43, 8-46 and 8-50).
pub fn monitors(eeprom: &[u8], page: &[u8], found: &mut Transceiver) -> Option<Monitors> {
    let byte = |at: usize| u8_at(page, at.checked_sub(PAGE as usize)?);
    let wavelength = be16(page, 138 - PAGE as usize).map(|w| f64::from(w) / 20.0);
    found.wavelength = wavelength.filter(|&nm| nm > 0.0).or(found.wavelength);
    let (support, banks) = (byte(160)?, byte(142)?);
    const STEPS: [f64; 4] = [1.0, 2.0, 4.0, 1.0];
    Some(Monitors {
        banks: match banks & 3 {
            0 => 1,
            1 => 2,
            _ => 4,
        },
        bias: support & 1 != 0,
        tx_power: support & 2 != 0,
        rx_power: support & 4 != 0,
        step: 0.002 * STEPS[usize::from(support >> 3 & 3)],
        lanes: usize::from(u8_at(eeprom, 88).unwrap_or(0) & 0x0f),
    })
}

/// Adds the lanes of page 11h of one bank, and what the module says of them (tables 8-83 and 8-84).
pub fn lanes(monitors: &Monitors, bank: u8, page: &[u8], found: &mut Transceiver) {
    let at = |byte: usize| byte - PAGE as usize;
    let value = |from: usize, lane: usize| be16(page, at(from) + 2 * lane).filter(|_| page.len() >= PAGE as usize);
    let measured = |lane: usize| [154, 170, 186].iter().any(|&from| value(from, lane).is_some_and(|raw| raw != 0));
    let first = usize::from(bank) * LANES;
    // A bank has eight places, however many lanes the module has: those at the end in which there is nothing are none.
    let count =
        (0..LANES).filter(|&lane| measured(lane) || first + lane < monitors.lanes).max().map_or(0, |last| last + 1);
    for lane in 0..count {
        let power = |from: usize, there: bool| value(from, lane).filter(|_| there).map(|raw| f64::from(raw) / 10.0);
        found.lanes.push(OpticalLane {
            lane: (first + lane + 1) as u64,
            tx_power: power(154, monitors.tx_power),
            bias: value(170, lane).filter(|_| monitors.bias).map(|raw| rounded(f64::from(raw) * monitors.step)),
            rx_power: power(186, monitors.rx_power),
        });
    }
    const FLAGS: [(usize, &str); 12] = [
        (149, "rx power high alarm"),
        (150, "rx power low alarm"),
        (151, "rx power high warning"),
        (152, "rx power low warning"),
        (143, "bias high alarm"),
        (144, "bias low alarm"),
        (145, "bias high warning"),
        (146, "bias low warning"),
        (139, "tx power high alarm"),
        (140, "tx power low alarm"),
        (141, "tx power high warning"),
        (142, "tx power low warning"),
    ];
    for (byte, what) in FLAGS {
        let set = (0..count).filter(|&lane| is_set(page, at(byte), lane));
        found.alarms.extend(set.map(|lane| format!("{what}, lane {}", first + lane + 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn half(bytes: &[(usize, u8)], words: &[(usize, u16)]) -> Vec<u8> {
        let mut page = vec![0; PAGE as usize];
        bytes.iter().for_each(|&(at, value)| page[at % PAGE as usize] = value);
        words.iter().for_each(|&(at, value)| page[at - 128..at - 126].copy_from_slice(&value.to_be_bytes()));
        page
    }

    /// 400GBASE-DR4: eight lanes to the host, four on the fibre.
    #[test]
    fn lanes_of_a_module() {
        let mut eeprom = half(&[(0, 0x18), (9, 0x02), (85, 2), (88, 0x84)], &[]);
        eeprom.extend(half(&[], &[]));
        let mut found = first_pages(&eeprom);
        assert_eq!(found.alarms, ["temperature low alarm"]);
        assert!(has_pages(&eeprom));
        let support = monitors(&eeprom, &half(&[(160, 0x0f), (142, 0)], &[(138, 26_200)]), &mut found).expect("a page");
        assert_eq!((found.wavelength, support.banks), (Some(1310.0), 1));
        // Bias in steps of 4 microamperes; lane 3 is dark.
        let words = [(154, 9_000), (156, 9_100), (158, 9_200), (160, 9_300), (170, 10_000), (186, 8_000), (188, 8_100)];
        lanes(&support, 0, &half(&[(150, 0b1000_0100), (143, 1)], &words), &mut found);
        let lane = |n: usize| (found.lanes[n].lane, found.lanes[n].tx_power, found.lanes[n].rx_power);
        assert_eq!((found.lanes.len(), lane(0), found.lanes[0].bias), (4, (1, Some(900.0), Some(800.0)), Some(40.0)));
        assert_eq!(lane(2), (3, Some(920.0), Some(0.0)));
        // The flag of lane 8 is of a lane that is not there.
        assert_eq!(found.alarms[1..], ["rx power low alarm, lane 3", "bias high alarm, lane 1"]);
    }

    #[test]
    fn what_is_not_measured_is_not_told() {
        let eeprom = half(&[(0, 0x19), (85, 1), (88, 0x88)], &[]);
        let mut found = first_pages(&eeprom);
        let support = monitors(&eeprom, &half(&[(160, 0x04), (142, 1)], &[]), &mut found).expect("a page");
        assert_eq!((support.banks, found.wavelength), (2, None));
        lanes(&support, 1, &half(&[], &[(186, 7)]), &mut found);
        assert_eq!(found.lanes.len(), 1);
        assert_eq!((found.lanes[0].lane, found.lanes[0].rx_power, found.lanes[0].tx_power), (9, Some(0.7), None));
        assert_eq!(found.lanes[0].bias, None);
    }

    #[test]
    fn copper_and_flat_memory_have_no_more_pages() {
        assert!(!has_pages(&half(&[(0, 0x18), (85, 3)], &[])));
        assert!(!has_pages(&half(&[(0, 0x18), (2, 0x80), (85, 1)], &[])));
        assert!(!has_pages(&half(&[(0, 0x11), (85, 1)], &[])));
    }

    proptest! {
        #[test]
        fn nothing_panics(eeprom in proptest::collection::vec(any::<u8>(), 0..300), first in proptest::collection::vec(any::<u8>(), 0..140), second in proptest::collection::vec(any::<u8>(), 0..140), bank in any::<u8>()) {
            let mut found = first_pages(&eeprom);
            if let Some(support) = monitors(&eeprom, &first, &mut found) {
                lanes(&support, bank, &second, &mut found);
            }
        }
    }
}
