//! Decodes processor sockets.

use super::processor_words as words;
use super::table::{Structure, Table};
use crate::model::CpuSocket;
use crate::parse::bytes::hex;

/// Type 4: sockets in the order of the table, empty ones too.
pub fn sockets(table: &Table<'_>) -> Vec<CpuSocket> {
    table.of(4).map(socket).collect()
}

fn socket(s: &Structure<'_>) -> CpuSocket {
    let status = s.byte(0x18);
    let populated = status.is_some_and(|b| b & 0x40 != 0);
    let mut socket = CpuSocket {
        designation: s.raw_string(0x04),
        populated,
        upgrade: s.byte(0x19).and_then(words::socket),
        ..CpuSocket::default()
    };
    if !populated {
        return socket;
    }
    let manufacturer = s.raw_string(0x07);
    // 7.5.2: 0xfe refers to the second field.
    let family = match s.byte(0x06) {
        Some(0xfe) => s.word(0x28),
        other => other.map(u16::from),
    };
    socket.kind = s.byte(0x05).and_then(words::kind);
    socket.family = family.and_then(|f| words::family(f, manufacturer.as_deref()));
    socket.manufacturer = s.string(0x07);
    socket.id = s.bytes(0x08, 8).filter(|b| b.iter().any(|&b| b != 0)).map(hex);
    socket.version = s.string(0x10);
    socket.voltage = s.byte(0x11).and_then(voltage);
    let megahertz = |at: usize| s.word(at).filter(|&n| n != 0).map(|n| u64::from(n) * 1_000_000);
    socket.external_clock = megahertz(0x12);
    socket.max_speed = megahertz(0x14);
    socket.current_speed = megahertz(0x16);
    socket.status = status.and_then(words::status);
    socket.serial_number = s.string(0x20);
    socket.asset_tag = s.string(0x21);
    socket.part_number = s.string(0x22);
    socket.cores = count(s, 0x23, 0x2a);
    socket.enabled_cores = count(s, 0x24, 0x2c);
    socket.threads = count(s, 0x25, 0x2e);
    socket.characteristics = s.word(0x26).map(words::characteristics).unwrap_or_default();
    socket
}

/// 7.5.4 in millivolts: tenths of a volt with bit 7, else one of three; several at once say nothing.
fn voltage(value: u8) -> Option<u64> {
    match value {
        v if v & 0x80 != 0 => Some(u64::from(v & 0x7f) * 100).filter(|&mv| mv != 0),
        v => match v & 7 {
            1 => Some(5000),
            2 => Some(3300),
            4 => Some(2900),
            _ => None,
        },
    }
}

/// 7.5.6 to 7.5.8: 0 is unknown; 0xff refers to the wide field, which tables before 3.0 do not have.
fn count(s: &Structure<'_>, at: usize, wide: usize) -> Option<u64> {
    let number = match s.byte(at)? {
        0xff => s.word(wide).unwrap_or(0xff),
        n => u16::from(n),
    };
    (number != 0 && number != 0xffff).then_some(u64::from(number))
}
