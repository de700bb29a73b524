//! Tests of the module EEPROMs.

use super::*;
use proptest::prelude::*;

fn text(eeprom: &mut [u8], at: usize, length: usize, text: &str) {
    let padded = format!("{text:<length$}");
    eeprom[at..at + length].copy_from_slice(padded.as_bytes());
}

fn put(eeprom: &mut [u8], at: usize, value: u16) {
    eeprom[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// A 10GBASE-SR module with internally calibrated diagnostics.
fn short_range() -> Vec<u8> {
    let mut e = vec![0u8; 512];
    (e[0], e[2], e[3]) = (0x03, 0x07, 0x10);
    text(&mut e, 20, 16, "FINISAR CORP.");
    e[37..40].copy_from_slice(&[0, 0x90, 0x65]);
    text(&mut e, 40, 16, "FTLX8574D3BCL");
    text(&mut e, 56, 4, "A");
    put(&mut e, 60, 850);
    text(&mut e, 68, 16, "AVE1234");
    text(&mut e, 84, 8, "190412");
    e[92] = 0x68;
    put(&mut e, 256 + 96, 0x1e80);
    put(&mut e, 256 + 98, 33_000);
    put(&mut e, 256 + 100, 3_500);
    put(&mut e, 256 + 102, 5_623);
    put(&mut e, 256 + 104, 11);
    e[256 + 113] = 0x40;
    e
}

#[test]
fn an_sfp() {
    let found = module(&short_range()).expect("known");
    assert_eq!((found.kind.as_deref(), found.vendor.as_deref()), (Some("SFP"), Some("FINISAR CORP.")));
    assert_eq!((found.part_number.as_deref(), found.serial.as_deref()), (Some("FTLX8574D3BCL"), Some("AVE1234")));
    assert_eq!((found.vendor_oui.as_deref(), found.date.as_deref()), (Some("009065"), Some("2019-04-12")));
    assert_eq!((found.connector.as_deref(), found.compliance), (Some("LC"), vec!["10GBASE-SR".to_owned()]));
    assert_eq!((found.wavelength, found.temperature, found.voltage), (Some(850.0), Some(30.5), Some(3.3)));
    let lane = OpticalLane { lane: 1, rx_power: Some(1.1), tx_power: Some(562.3), bias: Some(7.0) };
    assert_eq!(found.lanes, [lane]);
    assert_eq!(found.alarms, ["rx power low alarm"]);
}

#[test]
fn external_calibration() {
    let mut e = short_range();
    e[92] = 0x58;
    // Slopes of one half, and an rx polynomial of 2 x.
    for at in [76, 80, 84, 88] {
        put(&mut e, 256 + at, 0x0080);
    }
    e[256 + 68..256 + 72].copy_from_slice(&2.0f32.to_be_bytes());
    let found = module(&e).expect("known");
    assert_eq!((found.temperature, found.voltage), (Some(15.25), Some(1.65)));
    assert_eq!((found.lanes[0].tx_power, found.lanes[0].rx_power), (Some(281.15), Some(2.2)));
}

#[test]
fn a_cable_has_no_light() {
    let mut e = vec![0u8; 256];
    (e[0], e[2], e[8], e[18], e[36]) = (0x03, 0x21, 0x04, 3, 0x0d);
    let found = module(&e).expect("known");
    assert_eq!((found.cable_length, found.wavelength), (Some(3.0), None));
    assert_eq!(found.compliance, ["passive cable", "25GBASE-CR CA-N"]);
    assert!(found.lanes.is_empty() && found.connector.as_deref() == Some("copper pigtail"));
}

#[test]
fn a_qsfp() {
    let mut e = vec![0u8; 256];
    (e[0], e[128], e[130], e[131], e[192]) = (0x11, 0x11, 0x0c, 0x80, 0x02);
    text(&mut e, 148, 16, "Mellanox");
    text(&mut e, 196, 16, "MT1234");
    text(&mut e, 212, 8, "200101A1");
    put(&mut e, 186, 17_000);
    put(&mut e, 22, 0x2000);
    put(&mut e, 36, 9_000);
    e[9] = 0x04;
    let found = module(&e).expect("known");
    assert_eq!((found.kind.as_deref(), found.serial.as_deref()), (Some("QSFP28"), Some("MT1234")));
    assert_eq!((found.compliance, found.date.as_deref()), (vec!["100GBASE-SR4".to_owned()], Some("2020-01-01 A1")));
    assert_eq!((found.wavelength, found.temperature), (Some(850.0), Some(32.0)));
    assert_eq!((found.lanes.len(), found.lanes[1].rx_power), (4, Some(900.0)));
    assert_eq!(found.alarms, ["rx power low alarm, lane 2"]);
}

#[test]
fn a_module_of_cmis() {
    let mut e = vec![0u8; 256];
    (e[0], e[85], e[202], e[203]) = (0x18, 3, 0x41, 0x23);
    text(&mut e, 129, 16, "Amphenol");
    text(&mut e, 166, 16, "APF1");
    let found = module(&e).expect("known");
    assert_eq!((found.kind.as_deref(), found.vendor.as_deref()), (Some("QSFP-DD"), Some("Amphenol")));
    assert_eq!((found.serial.as_deref(), found.cable_length, found.temperature), (Some("APF1"), Some(1.0), None));
    assert_eq!(module(&[0xff; 256]), None);
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..700), kind in 0u8..0x20, at in 0usize..512, b in any::<u8>()) {
        module_info(&bytes);
        let mut near = bytes.clone();
        if let Some(first) = near.first_mut() { *first = kind; }
        module(&near);
        let mut near = short_range();
        near[at] = b;
        module(&near);
    }
}
