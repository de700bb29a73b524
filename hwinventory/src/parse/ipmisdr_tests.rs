//! Tests of the sensor data records.

use super::*;
use proptest::prelude::*;

/// A temperature of the first processor: M 1, no offset, critical from 95 on.
pub fn full() -> Vec<u8> {
    let mut r = vec![0u8; 48];
    r[..5].copy_from_slice(&[1, 0, 0x51, 0x01, 0]);
    (r[5], r[7], r[8], r[9]) = (0x20, 0x30, 3, 1);
    (r[12], r[13], r[18], r[20], r[21], r[24], r[37]) = (0x01, 0x01, 0x10, 0x80, 1, 1, 95);
    let name = b"CPU1 Temp";
    r[47] = 0xc0 | name.len() as u8;
    r.extend(name);
    r[4] = (r.len() - 5) as u8;
    r
}

fn sensor_of(bytes: &[u8]) -> SensorRecord {
    match record(bytes) {
        Some(Record::Sensor(sensor)) => *sensor,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_temperature() {
    let sensor = sensor_of(&full()).sensor(Some(&[0, 41, 0xc0, 0xc0, 0]));
    assert_eq!(
        (sensor.name.as_str(), sensor.value, sensor.unit.as_deref()),
        ("CPU1 Temp", Some(41.0), Some("degrees C"))
    );
    assert_eq!((sensor.kind, sensor.high_critical, sensor.low_critical), (SensorKind::Temperature, Some(95.0), None));
    assert_eq!((sensor.state.as_deref(), sensor.entity.as_deref()), (Some("ok"), Some("processor 1")));
    let hot = sensor_of(&full()).sensor(Some(&[0, 97, 0xc0, 0x18, 0]));
    assert_eq!(hot.state.as_deref(), Some("critical"));
    let cold = sensor_of(&full()).sensor(Some(&[0, 0xfb, 0xc0, 0, 0]));
    assert_eq!(cold.value, Some(-5.0), "two's complement");
    for absent in [None, Some(&[0xcb][..]), Some(&[0, 0, 0xe0, 0, 0][..]), Some(&[0, 0, 0x80, 0, 0][..])] {
        let sensor = sensor_of(&full()).sensor(absent);
        assert!(sensor.unavailable && sensor.value.is_none());
    }
}

/// 12 V: M 63, R exponent -3, and 3000 rpm: M 100.
#[test]
fn factors_of_ten() {
    let mut r = full();
    (r[20], r[21], r[24], r[29]) = (0, 4, 63, 0xd0);
    let voltage = sensor_of(&r).sensor(Some(&[0, 192, 0xc0, 0, 0]));
    assert_eq!((voltage.value, voltage.unit.as_deref()), (Some(12.096), Some("volts")));
    (r[21], r[24], r[29]) = (18, 100, 0);
    let fan = sensor_of(&r).sensor(Some(&[0, 30, 0xc0, 0, 0]));
    assert_eq!((fan.value, fan.kind), (Some(3000.0), SensorKind::Fan));
    // An offset of -5 x 10^1, M of ten bits: -1.
    (r[21], r[24], r[25], r[26], r[27], r[29]) = (1, 0xff, 0xc0, 0xfb, 0xc0, 0x01);
    assert_eq!(sensor_of(&r).sensor(Some(&[0, 10, 0xc0, 0, 0])).value, Some(-60.0));
}

#[test]
fn discrete_sensors_say_what_is_asserted() {
    let mut r = vec![0u8; 32];
    r[3] = 0x02;
    (r[5], r[7], r[12], r[13]) = (0x20, 0x50, 0x08, 0x6f);
    r[31] = 0xc4;
    r.extend(b"PSU2");
    let sensor = sensor_of(&r).sensor(Some(&[0, 0, 0xc0, 0x03, 0x80]));
    assert_eq!(sensor.states, ["presence detected", "failure detected"]);
    assert_eq!((sensor.sensed.as_deref(), sensor.value), (Some("Power Supply"), None));
}

#[test]
fn boards_that_can_be_asked() {
    let mut r = vec![0u8; 16];
    (r[3], r[6], r[7], r[15]) = (0x11, 4, 0x80, 0xc4);
    r.extend(b"PDB1");
    assert_eq!(record(&r), Some(Record::Fru(4, Some("PDB1".into()))));
    r[7] = 0;
    assert_eq!(record(&r), None, "behind another controller");
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0usize..57, b in any::<u8>(), raw in any::<u8>()) {
        answer(&bytes);
        let mut near = full();
        near[at] = b;
        for record in [record(&bytes), record(&near)].into_iter().flatten() {
            if let Record::Sensor(sensor) = record {
                sensor.sensor(Some(&bytes));
                sensor.sensor(Some(&[0, raw, 0xc0, b, raw]));
            }
        }
    }
}
