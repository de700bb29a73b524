//! The client side of SNTP (RFC 5905, 14; packet layout in 7.3).

use super::step::Offset;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LENGTH: usize = 48;
/// Version 4, mode 3 (client).
const CLIENT: u8 = 4 << 3 | 3;
const STRANGER: &str = "it does not answer our request";
/// Seconds from 1900, NTP's epoch, to 1970.
const TO_UNIX: u64 = 2_208_988_800;

#[derive(Debug, thiserror::Error)]
pub enum SntpError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer")]
    Silence,
    #[error("its answer is not one: {0}")]
    Refused(&'static str),
}

/// A request with a random transmit timestamp: it does not leak the clock, and only hosts that saw the request can
/// answer it.
fn request(nonce: [u8; 8]) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    let (head, transmit) = packet.split_at_mut(40);
    if let Some(first) = head.first_mut() {
        *first = CLIENT;
    }
    transmit.copy_from_slice(&nonce);
    packet
}

/// When the server received the request and when it answered.
fn parse(packet: &[u8], nonce: [u8; 8], floor: SystemTime) -> Result<(SystemTime, SystemTime), &'static str> {
    let packet = packet.get(..LENGTH).ok_or("too short")?;
    let (&[first, stratum, ..], Some(origin)) = (packet, packet.get(24..32)) else { return Err("too short") };
    if origin != nonce {
        return Err(STRANGER);
    }
    if first & 7 != 4 {
        return Err("not from a server");
    }
    if first >> 6 == 3 {
        return Err("the server itself does not know the time");
    }
    match stratum {
        0 => return Err("the server asks to be left alone"),
        1..=15 => {}
        _ => return Err("the server itself does not know the time"),
    }
    let time = |at| timestamp(packet, at, floor).ok_or("without a time");
    Ok((time(32)?, time(40)?))
}

/// 64 bits: seconds since 1900 modulo 2^32, and a fraction. The era is chosen so that the result is after `floor`,
/// because 32 bits overflow in 2036.
fn timestamp(packet: &[u8], at: usize, floor: SystemTime) -> Option<SystemTime> {
    let word = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
    let (seconds, fraction) = (u64::from(word(at)?), u64::from(word(at + 4)?));
    if seconds == 0 && fraction == 0 {
        return None;
    }
    let floor = floor.duration_since(UNIX_EPOCH).ok()?.as_secs() + TO_UNIX;
    // A day of tolerance: a clock just below the floor is slow, not in the next era.
    let lowest = floor.saturating_sub(86_400);
    let mut whole = lowest & !0xffff_ffff | seconds;
    if whole < lowest {
        whole += 1 << 32;
    }
    UNIX_EPOCH.checked_add(Duration::new(whole.checked_sub(TO_UNIX)?, ((fraction * 1_000_000_000) >> 32) as u32))
}

/// Queries one server once.
pub fn query(
    server: SocketAddr,
    patience: Duration,
    now: impl Fn() -> SystemTime,
    floor: SystemTime,
) -> Result<Offset, SntpError> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    // A connected socket receives only from this server, including ICMP errors.
    socket.connect(server)?;
    let mut nonce = [0; 8];
    getrandom::fill(&mut nonce).map_err(|error| SntpError::Io(io::Error::other(error)))?;
    let (sent, began) = (now(), Instant::now());
    socket.send(&request(nonce))?;
    let mut buffer = [0; 512];
    loop {
        let left = patience.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(SntpError::Silence);
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(SntpError::Silence);
            }
            Err(error) => return Err(error.into()),
        };
        let trip = began.elapsed();
        match parse(buffer.get(..length).unwrap_or_default(), nonce, floor) {
            // A late answer to an earlier try, or a forgery: the right one may still come.
            Err(STRANGER) => {}
            Err(why) => return Err(SntpError::Refused(why)),
            Ok((received, answered)) => {
                return offset(sent, trip, received, answered).ok_or(SntpError::Refused("its times run backwards"));
            }
        }
    }
}

/// The server's clock in the middle of its processing, minus ours in the middle of the round trip.
fn offset(sent: SystemTime, trip: Duration, received: SystemTime, answered: SystemTime) -> Option<Offset> {
    let work = answered.duration_since(received).ok()?;
    Some(Offset::between(sent.checked_add(trip / 2)?, received.checked_add(work / 2)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::thread;

    const NONCE: [u8; 8] = *b"12345678";

    fn unix(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn answer(nonce: &[u8], unix_seconds: u64) -> Vec<u8> {
        let mut packet = vec![0; LENGTH];
        packet[0] = 4 << 3 | 4;
        packet[1] = 2;
        packet[24..32].copy_from_slice(nonce);
        let seconds = ((unix_seconds + TO_UNIX) as u32).to_be_bytes();
        packet[32..36].copy_from_slice(&seconds);
        packet[40..44].copy_from_slice(&seconds);
        packet[44..48].copy_from_slice(&(1u32 << 31).to_be_bytes());
        packet
    }

    #[test]
    fn a_good_answer() {
        let floor = unix(1_790_000_000);
        let (received, answered) = parse(&answer(&NONCE, 1_800_000_000), NONCE, floor).unwrap();
        assert_eq!(received, unix(1_800_000_000));
        assert_eq!(answered, unix(1_800_000_000) + Duration::from_millis(500));
    }

    #[test]
    fn time_goes_on_after_2036() {
        let floor = unix(1_790_000_000);
        for seconds in [2_085_978_495, 2_085_978_497, 2_200_000_000, 1_790_000_000] {
            assert_eq!(parse(&answer(&NONCE, seconds), NONCE, floor).unwrap().0, unix(seconds));
        }
        let late = unix(2_300_000_000);
        assert_eq!(parse(&answer(&NONCE, 2_300_000_100), NONCE, late).unwrap().0, unix(2_300_000_100));
    }

    #[test]
    fn bad_answers_are_refused() {
        let floor = unix(0);
        let spoil = |at: usize, value: u8| {
            let mut packet = answer(&NONCE, 1_800_000_000);
            packet[at] = value;
            parse(&packet, NONCE, floor)
        };
        assert!(spoil(31, 0).is_err(), "not our request");
        assert!(spoil(0, 4 << 3 | 3).is_err(), "another client");
        assert!(spoil(0, 3 << 6 | 4 << 3 | 4).is_err(), "unsynchronised");
        assert!(spoil(1, 0).is_err(), "kiss of death");
        assert!(spoil(1, 16).is_err(), "no stratum");
        assert!(parse(&answer(&NONCE, 1_800_000_000)[..47], NONCE, floor).is_err());
        let mut empty = answer(&NONCE, 1_800_000_000);
        empty[40..].fill(0);
        assert!(parse(&empty, NONCE, floor).is_err());
    }

    #[test]
    fn a_server_on_the_wire() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let mut buffer = [0; 100];
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!((length, buffer[0]), (LENGTH, CLIENT));
            // A forged answer comes first.
            server.send_to(&answer(&NONCE, 1_900_000_000), from).unwrap();
            server.send_to(&answer(&buffer[40..48], 1_800_000_000), from).unwrap();
        });
        let ours = unix(1_700_000_000);
        let offset = query(address, Duration::from_secs(60), || ours, unix(1_690_000_000)).unwrap();
        serving.join().unwrap();
        let Offset::Ahead(size) = offset else { panic!("{offset:?}") };
        assert!(size <= Duration::from_secs(100_000_001) && size > Duration::from_secs(99_999_900), "{size:?}");
    }

    proptest! {
        #[test]
        fn no_packet_panics(packet in prop::collection::vec(any::<u8>(), 0..80), floor in 0u64..5_000_000_000, ours: bool) {
            let mut packet = packet;
            if ours && packet.len() >= 32 {
                packet[24..32].copy_from_slice(&NONCE);
            }
            if let Ok((received, answered)) = parse(&packet, NONCE, unix(floor)) {
                let _ = offset(unix(floor), Duration::from_secs(1), received, answered);
            }
        }
    }
}
