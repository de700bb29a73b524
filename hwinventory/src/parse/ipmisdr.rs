//! Sensor data records and readings (IPMI 2.0, chapters 33, 35, 36 and 43).

use super::bytes::{le16, slice, u8_at};
use super::ipmiwords as words;
use crate::model::{BmcSensor, SensorKind};

/// A record of the repository that is of use here.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Sensor(Box<SensorRecord>),
    /// Device id and name of a logical FRU device.
    Fru(u8, Option<String>),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct SensorRecord {
    pub owner: u8,
    pub lun: u8,
    pub number: u8,
    pub entity: (u8, u8),
    pub kind: u8,
    pub event_type: u8,
    pub name: Option<String>,
    /// Of full records: how a reading becomes a number.
    factors: Option<Factors>,
    base_unit: u8,
    is_percentage: bool,
    /// Raw, where they can be read: lower critical, upper critical.
    low_critical: Option<u8>,
    high_critical: Option<u8>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Factors {
    /// 0 unsigned, 1 ones' complement, 2 two's complement.
    format: u8,
    linearization: u8,
    m: f64,
    b: f64,
    result_exponent: i32,
}

/// Next record id and the record, of an answer to Get SDR that holds all of it.
pub fn answer(answer: &[u8]) -> Option<(u16, &[u8])> {
    (*answer.first()? == 0).then_some(())?;
    Some((le16(answer, 1)?, answer.get(3..)?))
}

pub fn record(bytes: &[u8]) -> Option<Record> {
    match u8_at(bytes, 3)? {
        0x01 => sensor(bytes, Layout { name: 47, full: true }),
        0x02 => sensor(bytes, Layout { name: 31, full: false }),
        0x03 => event_only(bytes),
        // Bit 7: a logical device, which the BMC reads itself.
        0x11 if u8_at(bytes, 7)? & 0x80 != 0 => Some(Record::Fru(u8_at(bytes, 6)?, name(bytes, 15))),
        _ => None,
    }
}

struct Layout {
    name: usize,
    full: bool,
}

fn sensor(bytes: &[u8], layout: Layout) -> Option<Record> {
    let mut found = SensorRecord {
        owner: u8_at(bytes, 5)?,
        lun: u8_at(bytes, 6)? & 3,
        number: u8_at(bytes, 7)?,
        entity: (u8_at(bytes, 8)?, u8_at(bytes, 9)? & 0x7f),
        kind: u8_at(bytes, 12)?,
        event_type: u8_at(bytes, 13)?,
        name: name(bytes, layout.name),
        base_unit: u8_at(bytes, 21)?,
        is_percentage: u8_at(bytes, 20)? & 1 == 1,
        ..SensorRecord::default()
    };
    if layout.full {
        found.factors = factors(bytes);
        // Which thresholds can be read (byte 19 of the record, bits as in Get Sensor Thresholds).
        let readable = u8_at(bytes, 18).unwrap_or(0);
        found.high_critical = u8_at(bytes, 37).filter(|_| readable >> 4 & 1 == 1);
        found.low_critical = u8_at(bytes, 40).filter(|_| readable >> 1 & 1 == 1);
    }
    Some(Record::Sensor(Box::new(found)))
}

fn event_only(bytes: &[u8]) -> Option<Record> {
    Some(Record::Sensor(Box::new(SensorRecord {
        owner: u8_at(bytes, 5)?,
        lun: u8_at(bytes, 6)? & 3,
        number: u8_at(bytes, 7)?,
        entity: (u8_at(bytes, 8)?, u8_at(bytes, 9)? & 0x7f),
        kind: u8_at(bytes, 10)?,
        event_type: u8_at(bytes, 11)?,
        name: name(bytes, 16),
        ..SensorRecord::default()
    })))
}

/// Type and length, then text (43.15).
fn name(bytes: &[u8], at: usize) -> Option<String> {
    let code = u8_at(bytes, at)?;
    let text = slice(bytes, at + 1, usize::from(code & 0x1f)).or_else(|| bytes.get(at + 1..))?;
    super::ipmifru::text(code >> 6, text)
}

/// The lowest `bits` of a number in two's complement.
fn signed(value: u16, bits: u32) -> i32 {
    let shift = 32 - bits;
    (i32::from(value) << shift) >> shift
}

fn factors(bytes: &[u8]) -> Option<Factors> {
    let format = u8_at(bytes, 20)? >> 6;
    // 3: the sensor has no number.
    (format != 3).then_some(())?;
    let ten = |low: usize| Some(u16::from(u8_at(bytes, low)?) | u16::from(u8_at(bytes, low + 1)? >> 6) << 8);
    let exponents = u8_at(bytes, 29)?;
    let b_exponent = signed(u16::from(exponents & 0x0f), 4);
    Some(Factors {
        format,
        linearization: u8_at(bytes, 23)? & 0x7f,
        m: f64::from(signed(ten(24)?, 10)),
        b: f64::from(signed(ten(26)?, 10)) * 10f64.powi(b_exponent),
        result_exponent: signed(u16::from(exponents >> 4), 4),
    })
}

impl Factors {
    /// 36.3.
    fn value(self, raw: u8) -> Option<f64> {
        let x = match self.format {
            0 => f64::from(raw),
            1 if raw & 0x80 != 0 => -f64::from(!raw),
            _ => f64::from(raw as i8),
        };
        let y = (self.m * x + self.b) * 10f64.powi(self.result_exponent);
        let value = match self.linearization {
            0 => y,
            1 => y.ln(),
            2 => y.log10(),
            3 => y.log2(),
            4 => y.exp(),
            5 => 10f64.powf(y),
            6 => y.exp2(),
            7 => y.recip(),
            8 => y.powi(2),
            9 => y.powi(3),
            10 => y.sqrt(),
            11 => y.cbrt(),
            // Non-linear sensors have factors for each reading.
            _ => return None,
        };
        Some((value * 1000.0).round() / 1000.0).filter(|v| v.is_finite())
    }
}

impl SensorRecord {
    /// The sensor with what Get Sensor Reading answered, if it did.
    pub fn sensor(&self, answer: Option<&[u8]>) -> BmcSensor {
        let is_threshold = self.event_type == 1;
        let value = |raw: Option<u8>| raw.zip(self.factors).and_then(|(raw, factors)| factors.value(raw));
        let mut sensor = BmcSensor {
            number: u64::from(self.number),
            name: self.name.clone().unwrap_or_else(|| format!("sensor {}", self.number)),
            kind: self.quantity(),
            sensed: words::sensor(self.kind).map(str::to_owned),
            entity: words::entity(self.entity.0).map(|word| format!("{word} {}", self.entity.1)),
            unit: self.factors.and_then(|_| self.unit()),
            low_critical: value(self.low_critical),
            high_critical: value(self.high_critical),
            unavailable: true,
            ..BmcSensor::default()
        };
        let Some(data) = answer.filter(|a| a.first() == Some(&0)).and_then(|a| a.get(1..)) else { return sensor };
        let Some((raw, flags)) = u8_at(data, 0).zip(u8_at(data, 1)) else { return sensor };
        // Bit 5: no reading now; bit 6 clear: scanning is off.
        if flags & 0x20 != 0 || flags & 0x40 == 0 {
            return sensor;
        }
        sensor.unavailable = false;
        let (low, high) = (u8_at(data, 2).unwrap_or(0), u8_at(data, 3).unwrap_or(0) & 0x7f);
        if is_threshold {
            sensor.value = value(Some(raw));
            sensor.state = Some(
                match low {
                    b if b & 0x24 != 0 => "non-recoverable",
                    b if b & 0x12 != 0 => "critical",
                    b if b & 0x09 != 0 => "non-critical",
                    _ => "ok",
                }
                .to_owned(),
            );
        } else {
            let bits = u16::from(low) | u16::from(high) << 8;
            let asserted = (0..15u8).filter(|bit| bits >> bit & 1 == 1);
            sensor.states = asserted.map(|bit| words::state(self.event_type, self.kind, bit)).collect();
        }
        sensor
    }

    fn quantity(&self) -> SensorKind {
        match (self.base_unit, self.kind) {
            _ if self.factors.is_none() || self.is_percentage => SensorKind::Other,
            (1..=3, _) => SensorKind::Temperature,
            (4, _) => SensorKind::Voltage,
            (5, _) => SensorKind::Current,
            (6, _) => SensorKind::Power,
            (7, _) => SensorKind::Energy,
            (18, _) => SensorKind::Fan,
            _ => SensorKind::Other,
        }
    }

    fn unit(&self) -> Option<String> {
        if self.is_percentage {
            return Some("percent".to_owned());
        }
        words::unit(self.base_unit).map(str::to_owned)
    }
}

#[cfg(test)]
#[path = "ipmisdr_tests.rs"]
mod tests;
