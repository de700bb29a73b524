//! The system event log (IPMI 2.0, chapters 31 and 32).

use super::bytes::{hex, le16, le32, slice, u8_at};
use super::ipmiwords as words;
use crate::model::{BmcEvent, EventLog};

/// Get SEL Info.
pub fn info(answer: &[u8]) -> Option<EventLog> {
    (*answer.first()? == 0).then_some(())?;
    let time = |at: usize| le32(answer, at).filter(|&t| is_time(t)).map(u64::from);
    Some(EventLog {
        entries: u64::from(le16(answer, 2)?),
        free: le16(answer, 4).filter(|&n| n != 0xffff).map(u64::from),
        last_added: time(6),
        last_erased: time(10),
        overflow: u8_at(answer, 14).is_some_and(|bits| bits & 0x80 != 0),
    })
}

/// Up to 20000000h the clock counts from the BMC's start (37.1); all ones say that there is none.
fn is_time(stamp: u32) -> bool {
    stamp > 0x2000_0000 && stamp != u32::MAX
}

/// Next record id, and the record, of Get SEL Entry.
pub fn answer(answer: &[u8]) -> Option<(u16, &[u8])> {
    (*answer.first()? == 0).then_some(())?;
    Some((le16(answer, 1)?, slice(answer, 3, 16)?))
}

pub fn id(record: &[u8]) -> Option<u16> {
    le16(record, 0)
}

pub fn event(record: &[u8]) -> Option<BmcEvent> {
    let kind = u8_at(record, 2)?;
    // From E0h on records have no time.
    let stamp = le32(record, 3).filter(|_| kind < 0xe0);
    let mut event = BmcEvent {
        id: u64::from(le16(record, 0)?),
        time: stamp.filter(|&t| is_time(t)).map(u64::from),
        uptime: stamp.filter(|&t| t <= 0x2000_0000).map(u64::from),
        raw: hex(record),
        ..BmcEvent::default()
    };
    if kind == 0x02 {
        let (sensed, number) = (u8_at(record, 10)?, u8_at(record, 11)?);
        let (direction, data) = (u8_at(record, 12)?, slice(record, 13, 3)?);
        event.sensor = Some(u64::from(number));
        event.sensed = words::sensor(sensed).map(str::to_owned);
        event.deasserted = direction & 0x80 != 0;
        event.event = Some(words::event(direction & 0x7f, sensed, data));
    } else {
        event.event = Some(format!("record of kind {kind:02x}h, the maker's own"));
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(kind: u8, stamp: u32, rest: [u8; 9]) -> Vec<u8> {
        let mut record = vec![7, 0, kind];
        record.extend(stamp.to_le_bytes());
        record.extend(rest);
        record
    }

    #[test]
    fn a_log() {
        let mut answer = vec![0, 0x51, 12, 0, 0x00, 0x10];
        answer.extend(1_700_000_000u32.to_le_bytes());
        answer.extend(u32::MAX.to_le_bytes());
        answer.push(0x82);
        let log = info(&answer).expect("whole");
        assert_eq!((log.entries, log.free, log.last_added), (12, Some(4096), Some(1_700_000_000)));
        assert!(log.overflow && log.last_erased.is_none());
    }

    #[test]
    fn events_of_memory_thresholds_and_makers() {
        let memory = event(&record(2, 1_700_000_000, [0x20, 0, 4, 0x0c, 0x87, 0x6f, 0xa1, 0xff, 0x03])).expect("whole");
        assert_eq!(memory.event.as_deref(), Some("uncorrectable ECC"));
        assert_eq!(
            (memory.sensed.as_deref(), memory.sensor, memory.time),
            (Some("Memory"), Some(0x87), Some(1_700_000_000))
        );
        let hot = event(&record(2, 60, [0x20, 0, 4, 0x01, 0x30, 0x81, 0x59, 97, 95])).expect("whole");
        assert_eq!(hot.event.as_deref(), Some("upper critical, going high"));
        assert_eq!((hot.deasserted, hot.uptime, hot.time), (true, Some(60), None));
        let own = event(&record(0xe1, 0, [0; 9])).expect("whole");
        assert_eq!((own.time, own.uptime, own.sensor), (None, None, None));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            info(&bytes);
            answer(&bytes);
            event(&bytes);
            let mut near = record(2, 1, [0; 9]);
            for (to, from) in near.iter_mut().skip(3).zip(&bytes) { *to = *from; }
            event(&near);
        }
    }
}
