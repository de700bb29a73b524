//! The BMC's event log, FRU inventories and sensors. Each question takes some ten milliseconds and there are hundreds, so
//! there is a time for all of them; what is worth most comes first.

use super::Options;
use super::isolate::{self, SectionTask};
use crate::model::{BmcRecords, Fru, Section, Status};
use crate::parse::ipmisdr::{Record, SensorRecord};
use crate::parse::names::natural;
use crate::parse::{ipmifru, ipmisdr, ipmisel};
use crate::source::{Query, Reader};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const STORAGE: u8 = 0x0a;
const SENSOR_EVENT: u8 = 0x04;
/// How many of the last events are kept.
const EVENTS: usize = 100;
/// The BMC's own address: other owners' sensors are behind bridges.
const OWNER: u8 = 0x20;

/// This section alone, for those who do not want everything else to wait for it.
pub fn section(options: &Options) -> Section<BmcRecords> {
    start(options, Duration::from_secs(10)).wait()
}

pub fn start(options: &Options, limit: Duration) -> SectionTask<BmcRecords> {
    let time = options.bmc_time;
    let limit = limit + time;
    isolate::section_in_steps("bmc_records", "ipmi", &options.source, limit, move |reader, publish| {
        if time.is_zero() {
            return None;
        }
        let mut names = reader.source().list("/sys/class/ipmi").unwrap_or_default();
        names.sort_by(|a, b| natural(a, b));
        let device = format!("/dev/{}", names.first()?);
        let bmc = Bmc { reader, device, deadline: Instant::now() + time };
        let mut records = BmcRecords::default();
        bmc.event_log(&mut records)?;
        publish(records.clone());
        let (sensors, frus) = bmc.repository();
        bmc.frus(frus, &mut records);
        publish(records.clone());
        name_events(&sensors, &mut records);
        let total = sensors.len();
        for sensor in sensors {
            if bmc.is_late() {
                break;
            }
            records.sensors.push(bmc.sensor(&sensor));
        }
        if bmc.is_late() {
            let text = format!("read for {} s: {} of {total} sensors", time.as_secs_f32(), records.sensors.len());
            reader.problem(&bmc.device, Status::Timeout, text);
        }
        Some(records)
    })
}

struct Bmc<'a> {
    reader: &'a Reader,
    device: String,
    deadline: Instant,
}

impl Bmc<'_> {
    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn ask(&self, netfn: u8, command: u8, data: &[u8]) -> Option<Vec<u8>> {
        if self.is_late() {
            return None;
        }
        let query = Query::Ipmi { device: self.device.clone(), netfn, command, data: data.to_vec() };
        self.reader.quiet_query(&query).ok()
    }

    /// `None` where the BMC does not even say how many events there are.
    fn event_log(&self, records: &mut BmcRecords) -> Option<()> {
        let log = ipmisel::info(&self.ask(STORAGE, 0x40, &[])?)?;
        let entries = log.entries;
        records.event_log = Some(log);
        if entries == 0 {
            return Some(());
        }
        let entry = |id: u16| {
            let [low, high] = id.to_le_bytes();
            let answer = self.ask(STORAGE, 0x43, &[0, 0, low, high, 0, 0xff])?;
            ipmisel::answer(&answer).map(|(next, record)| (next, record.to_vec()))
        };
        let mut last: VecDeque<Vec<u8>> = VecDeque::new();
        let mut next = self.first_of_last(entries, &entry);
        // Ids never go round in a log of that size; a BMC that says so must not be followed for ever.
        for _ in 0..=entries.min(u64::from(u16::MAX)) {
            let Some((following, record)) = entry(next) else { break };
            if last.len() == EVENTS {
                last.pop_front();
            }
            last.push_back(record);
            if following == 0xffff || following == next {
                break;
            }
            next = following;
        }
        records.events = last.iter().filter_map(|record| ipmisel::event(record)).collect();
        Some(())
    }

    /// Where to begin: ids mostly count up by one, and where they do not the whole log is read.
    fn first_of_last(&self, entries: u64, entry: &dyn Fn(u16) -> Option<(u16, Vec<u8>)>) -> u16 {
        const TRIES: u16 = 4;
        if entries <= EVENTS as u64 {
            return 0;
        }
        let Some(last) = entry(0xffff).and_then(|(_, record)| ipmisel::id(&record)) else { return 0 };
        let Some(wanted) = last.checked_sub(EVENTS as u16 - 1) else { return 0 };
        (0..TRIES).filter_map(|n| wanted.checked_add(n)).find(|&id| entry(id).is_some()).unwrap_or(0)
    }

    /// Sensors and FRU devices, as the repository describes them.
    fn repository(&self) -> (Vec<SensorRecord>, Vec<(u8, Option<String>)>) {
        const MOST_RECORDS: usize = 2048;
        let (mut sensors, mut frus) = (Vec::new(), Vec::new());
        let mut next = 0u16;
        for _ in 0..MOST_RECORDS {
            let Some((following, bytes)) = self.record(next) else { break };
            match ipmisdr::record(&bytes) {
                Some(Record::Sensor(sensor)) => sensors.push(*sensor),
                Some(Record::Fru(id, name)) => frus.push((id, name)),
                None => {}
            }
            if following == 0xffff || following == next {
                break;
            }
            next = following;
        }
        (sensors, frus)
    }

    /// A whole record; in parts, under a reservation, from BMCs whose interface has no room for one.
    fn record(&self, id: u16) -> Option<(u16, Vec<u8>)> {
        const HEADER: usize = 5;
        const PART: usize = 22;
        let [low, high] = id.to_le_bytes();
        let whole = self.ask(STORAGE, 0x23, &[0, 0, low, high, 0, 0xff])?;
        if let Some((next, bytes)) = ipmisdr::answer(&whole) {
            return Some((next, bytes.to_vec()));
        }
        let reservation = self.ask(STORAGE, 0x22, &[])?;
        let [0, r0, r1, ..] = *reservation else { return None };
        let part = |at: usize, length: usize| {
            let data = [r0, r1, low, high, u8::try_from(at).ok()?, u8::try_from(length).ok()?];
            let answer = self.ask(STORAGE, 0x23, &data)?;
            ipmisdr::answer(&answer).map(|(next, bytes)| (next, bytes.to_vec()))
        };
        let (next, mut bytes) = part(0, HEADER)?;
        let length = HEADER + usize::from(*bytes.get(4)?);
        while bytes.len() < length {
            let (_, more) = part(bytes.len(), PART.min(length - bytes.len()))?;
            if more.is_empty() {
                return None;
            }
            bytes.extend(more);
        }
        Some((next, bytes))
    }

    /// Device 0 is the BMC's own board, whether or not the repository tells of it.
    fn frus(&self, mut devices: Vec<(u8, Option<String>)>, records: &mut BmcRecords) {
        if !devices.iter().any(|(id, _)| *id == 0) {
            devices.push((0, None));
        }
        devices.sort();
        devices.dedup_by_key(|(id, _)| *id);
        for (id, name) in devices {
            if let Some(fru) = self.fru(id) {
                records.frus.push(Fru { id: u64::from(id), name, ..fru });
            }
        }
    }

    fn fru(&self, id: u8) -> Option<Fru> {
        let (size, by_words) = ipmifru::area(&self.ask(STORAGE, 0x10, &[id])?)?;
        let mut bytes = Vec::new();
        let mut part = 32u8;
        let mut end = usize::from(size);
        while bytes.len() < end {
            let left = u8::try_from(end - bytes.len()).unwrap_or(u8::MAX).min(part);
            let scale = if by_words { 2 } else { 1 };
            let [low, high] = u16::try_from(bytes.len() / scale).ok()?.to_le_bytes();
            let answer = self.ask(STORAGE, 0x11, &[id, low, high, left.div_ceil(scale as u8)])?;
            match ipmifru::data(&answer) {
                Some(data) if !data.is_empty() => bytes.extend(data),
                // Too much at once, for some.
                _ if part > 8 => part /= 2,
                _ => break,
            }
            if bytes.len() >= 8 {
                end = end.min(usize::from(ipmifru::extent(&bytes)?));
            }
        }
        ipmifru::fru(&bytes)
    }

    fn sensor(&self, record: &SensorRecord) -> crate::model::BmcSensor {
        let own = record.owner == OWNER && record.lun == 0;
        let answer = own.then(|| self.ask(SENSOR_EVENT, 0x2d, &[record.number])).flatten();
        record.sensor(answer.as_deref())
    }
}

/// Events name their sensors by number.
fn name_events(sensors: &[SensorRecord], records: &mut BmcRecords) {
    for event in &mut records.events {
        let known = sensors.iter().find(|s| s.owner == OWNER && Some(u64::from(s.number)) == event.sensor);
        event.sensor_name = known.and_then(|s| s.name.clone());
    }
}
