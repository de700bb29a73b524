//! A switch port in user space that forwards nothing before its partner speaks LACP (IEEE 802.1AX), so that the kernel
//! on which tests run needs no bonding driver.

use super::lab::{Lab, Place};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recvfrom, send,
    setsockopt, socket, sockopt,
};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const OUTGOING: u8 = 4;
const SLOW: [u8; 2] = [0x88, 0x09];

/// Connects two interfaces of a namespace. Frames pass once an LACPDU has arrived at `port`. An active port sends
/// first; a passive one waits. Returns whether the port has opened.
pub fn lacp(lab: &Lab, place: Place, port: &'static str, network: &'static str, active: bool) -> Arc<AtomicBool> {
    let open = Arc::new(AtomicBool::new(false));
    let kept = Arc::clone(&open);
    lab.inside(place, move || {
        let (port, network) = (Arc::new(raw(port)), Arc::new(raw(network)));
        if active {
            let port = Arc::clone(&port);
            thread::spawn(move || {
                // Ends together with its namespace.
                while send(port.as_raw_fd(), &lacpdu(), MsgFlags::empty()).is_ok() {
                    thread::sleep(Duration::from_secs(1));
                }
            });
        }
        let (from, to, gate) = (Arc::clone(&network), Arc::clone(&port), Arc::clone(&open));
        thread::spawn(move || forward(&from, &to, |_| gate.load(Ordering::Relaxed)));
        forward(&port, &network, |frame| {
            let slow = frame.get(12..14) == Some(&SLOW);
            if slow && frame.get(14) == Some(&1) {
                open.store(true, Ordering::Relaxed);
            }
            !slow && open.load(Ordering::Relaxed)
        });
    });
    kept
}

fn raw(name: &str) -> OwnedFd {
    let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll).unwrap();
    let address = nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter(|interface| interface.interface_name == name)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .unwrap();
    bind(fd.as_raw_fd(), &address).unwrap();
    setsockopt(&fd, sockopt::ReceiveTimeout, &nix::sys::time::TimeVal::new(60, 0)).unwrap();
    fd
}

fn forward(from: &OwnedFd, to: &OwnedFd, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, sender)) = recvfrom::<LinkAddr>(from.as_raw_fd(), &mut buffer) else { return };
        let outgoing =
            sender.is_some_and(|sender| sender.family() == Some(AddressFamily::Packet) && kind(&sender) == OUTGOING);
        if !outgoing && passes(&buffer[..length]) {
            let _ = send(to.as_raw_fd(), &buffer[..length], MsgFlags::empty());
        }
    }
}

fn kind(sender: &LinkAddr) -> u8 {
    sender.pkttype()
}

/// A partner with a LAG of its own that nobody has answered yet.
fn lacpdu() -> Vec<u8> {
    let mut frame = vec![0x01, 0x80, 0xc2, 0, 0, 0x02, 0x02, 0, 0, 0, 9, 1];
    frame.extend(SLOW);
    frame.extend([1, 1, 1, 20, 0x80, 0, 0x02, 0, 0, 0, 9, 1, 0, 7, 0x80, 0, 0, 1, 0x07, 0, 0, 0]);
    frame.extend([2, 20]);
    frame.extend([0; 18]);
    frame.extend([3, 16]);
    frame.resize(14 + 110, 0);
    frame
}
