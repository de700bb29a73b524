//! LACP on a single NIC (IEEE 802.1AX-2014, 6.4): a switch port in a LAG forwards nothing until its partner speaks.
//! Answering as a LAG with one member opens it, as iPXE does while it loads the ramdisk.

use super::netlink::Link;
use crate::config::Mac;
use crate::sys::frames::FrameSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ETHERTYPE: u16 = 0x8809;
const GROUP: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x02];
const LENGTH: usize = 110;
/// Bits of an actor's state (6.4.2.3).
const ACTIVE: u8 = 0x01;
const SHORT_TIMEOUT: u8 = 0x02;
const AGGREGATION: u8 = 0x04;
const IN_SYNC: u8 = 0x08;
const COLLECTING: u8 = 0x10;
const DISTRIBUTING: u8 = 0x20;
const DEFAULTED: u8 = 0x40;
/// A passive port is greeted once the network has been silent for this long.
const SILENCE: Duration = Duration::from_secs(4);
const AGAIN: Duration = Duration::from_secs(8);
const GLANCE: Duration = Duration::from_millis(250);

/// Our side, and what is known of the partner: 15 bytes of system, key, port and state.
fn message(mac: Mac, state: u8, partner: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend([1, 1, 1, 20]);
    bytes.extend([0xff, 0xff]);
    bytes.extend(mac.0);
    // Key, port priority, port.
    bytes.extend([0, 1, 0, 0xff, 0, 1, state, 0, 0, 0]);
    bytes.extend([2, 20]);
    bytes.extend(partner.unwrap_or(&[0; 15]));
    bytes.extend([0; 3]);
    bytes.extend([3, 16]);
    bytes.resize(LENGTH, 0);
    bytes
}

/// The message to a partner that has not spoken yet.
pub fn greeting(mac: Mac) -> Vec<u8> {
    message(mac, ACTIVE | AGGREGATION | IN_SYNC | DEFAULTED, None)
}

/// The answer to a partner's message; `None` if it is not one.
pub fn answer(heard: &[u8], mac: Mac) -> Option<Vec<u8>> {
    let field = |at: usize, length: usize| heard.get(at..at + length);
    // A marker asks whether earlier frames have arrived (6.5): they have.
    if field(0, 4)? == [2, 1, 1, 16] {
        let mut response = heard.get(..LENGTH.min(heard.len()))?.to_vec();
        *response.get_mut(2)? = 2;
        return Some(response);
    }
    if field(0, 1)? != [1] || field(2, 2)? != [1, 20] {
        return None;
    }
    let partner = field(4, 15)?;
    let state = *partner.last()?;
    if field(6, 6)? == mac.0 {
        // Our own message, returned by a loop.
        return None;
    }
    // It sends at the rate that we request, and we answer each message, so we request the rate that it requests of us.
    let ours = ACTIVE | AGGREGATION | IN_SYNC | COLLECTING | DISTRIBUTING | (state & SHORT_TIMEOUT);
    Some(message(mac, ours, Some(partner)))
}

/// Answers on one interface until it is gone.
pub fn run(link: &Link, gone: &Arc<AtomicBool>, leased: &AtomicBool) {
    let Some(mac) = link.mac else { return };
    let (mut socket, mut told) = (None, false);
    let mut silence = Instant::now();
    let mut patience = SILENCE;
    while !gone.load(Ordering::Relaxed) {
        let mut turn = || -> std::io::Result<()> {
            let socket = match &mut socket {
                Some(socket) => socket,
                none => none.insert(FrameSocket::open(link.index, ETHERTYPE, &[GROUP])?),
            };
            let mut buffer = [0; 256];
            if let Some(answer) = socket.receive(&mut buffer, GLANCE)?.and_then(|heard| answer(heard, mac)) {
                if !told {
                    log::info!("{}: the switch port requires LACP: answering as a LAG of one link", link.name);
                }
                told = true;
                silence = Instant::now();
                socket.send(GROUP, &answer)?;
            } else if !told && !leased.load(Ordering::Relaxed) && silence.elapsed() >= patience {
                // Bridges without LACP drop it.
                socket.send(GROUP, &greeting(mac))?;
                silence = Instant::now();
                patience = AGAIN;
            }
            Ok(())
        };
        if turn().is_err() {
            // Down at the moment.
            socket = None;
            std::thread::sleep(GLANCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const SWITCH: Mac = Mac([2, 0, 0, 0, 9, 1]);

    #[test]
    fn a_partner_is_answered_with_its_own_words() {
        let heard = message(SWITCH, ACTIVE | SHORT_TIMEOUT | AGGREGATION, None);
        assert_eq!(heard.len(), LENGTH);
        let said = answer(&heard, OURS).unwrap();
        assert_eq!(
            (said.len(), &said[..4], &said[22..24], &said[42..44]),
            (LENGTH, &[1, 1, 1, 20][..], &[2, 20][..], &[3, 16][..])
        );
        assert_eq!(&said[6..12], OURS.0.as_slice());
        assert_eq!(&said[24..39], &heard[4..19], "what it said of itself comes back");
        assert_eq!(said[18], 0x3f, "in sync, collecting, distributing, and as impatient as the partner");
        assert_eq!(answer(&said, OURS), None, "our own words are not answered");
    }

    #[test]
    fn markers_come_back() {
        let mut marker = vec![2, 1, 1, 16];
        marker.resize(LENGTH, 7);
        let response = answer(&marker, OURS).unwrap();
        assert_eq!((&response[..4], &response[4..]), (&[2, 1, 2, 16][..], &marker[4..]));
    }

    proptest! {
        #[test]
        fn no_frame_panics(bytes in prop::collection::vec(any::<u8>(), 0..130)) {
            let _ = answer(&bytes, OURS);
            let _ = answer(&[&[1, 1, 1, 20], bytes.as_slice()].concat(), OURS);
        }
    }
}
