//! A managed switch between a machine's NICs and QEMU's user network. Its ports may require a VLAN tag, and form a
//! channel by LACP. Everything is UDP on loopback, so it needs neither root nor a kernel with VLANs and bonds.

use super::VmError;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const QEMU: &str = "qemu-system-x86_64";
/// More than the largest Ethernet frame with a tag.
const FRAME: usize = 2048;
/// EtherType 802.1Q.
const TAGGED: [u8; 2] = [0x81, 0x00];
/// EtherType of slow protocols (IEEE 802.3, annex 57A); LACP is subtype 1.
const SLOW: [u8; 2] = [0x88, 0x09];
/// Real switches send every 30 seconds.
const LLDP_PAUSE: Duration = Duration::from_secs(5);
/// In an LACPDU (IEEE 802.1AX-2014, 6.4.2.3), from the frame's first byte: the sender, and its partner.
const ACTOR: std::ops::Range<usize> = 18..33;
const PARTNER: std::ops::Range<usize> = 38..53;
/// Active, short timeout, aggregatable, in sync, collecting, distributing.
const UP: u8 = 0x3f;

/// What a port requires before it forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRules {
    /// Frames must have this tag when they come in, and get it when they go out.
    pub vlan: Option<u16>,
    /// Nothing is forwarded before an LACPDU has been received.
    pub lacp: bool,
    /// Announces the VLAN by LLDP, untagged.
    pub lldp: bool,
}

impl PortRules {
    /// A port that forwards all frames with this tag.
    pub fn tagged(vlan: u16) -> Self {
        Self { vlan: Some(vlan), lacp: false, lldp: false }
    }
}

/// A switch with a user network behind it; stops when dropped.
#[derive(Debug)]
pub struct Switch {
    ports: Vec<Arc<Port>>,
    uplink: Child,
}

#[derive(Debug)]
struct Port {
    wire: Wire,
    heard: AtomicUsize,
    dropped: AtomicUsize,
}

/// A cable made of datagrams: each is a frame.
#[derive(Debug)]
struct Wire {
    socket: UdpSocket,
    far: SocketAddr,
}

impl Wire {
    fn new() -> std::io::Result<Self> {
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let socket = UdpSocket::bind(any)?;
        // QEMU binds this port itself, and must be told its number.
        let far = UdpSocket::bind(any)?.local_addr()?;
        Ok(Self { socket, far })
    }

    /// QEMU's option for this end.
    fn netdev(&self) -> std::io::Result<String> {
        Ok(format!("socket,udp={},localaddr={}", self.socket.local_addr()?, self.far))
    }

    fn send(&self, frame: &[u8]) {
        // Nobody listens before the machine runs; real cables lose frames too.
        let _ = self.socket.send_to(frame, self.far);
    }
}

impl Switch {
    /// `options` are for QEMU's user network behind the switch: `ipv4=off`.
    pub fn start(ports: usize, rules: PortRules, options: &str) -> Result<Self, VmError> {
        let failed = |source| VmError::Start { program: "the switch".to_owned(), source };
        let uplink = Arc::new(Wire::new().map_err(failed)?);
        let port = |_| Wire::new().map(|wire| Port { wire, heard: AtomicUsize::new(0), dropped: AtomicUsize::new(0) });
        let made: Result<Vec<Port>, _> = (0..ports).map(port).collect();
        let ports: Vec<Arc<Port>> = made.map_err(failed)?.into_iter().map(Arc::new).collect();
        let comma = if options.is_empty() { "" } else { "," };
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", QEMU, "-M", "none", "-nodefaults", "-display", "none", "-monitor", "none"])
            .args(["-netdev", &format!("user,id=net{comma}{options}")])
            .args(["-netdev", &format!("{},id=wire", uplink.netdev().map_err(failed)?)])
            .args(["-netdev", "hubport,id=a,hubid=0,netdev=net", "-netdev", "hubport,id=b,hubid=0,netdev=wire"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| VmError::Start { program: QEMU.to_owned(), source })?;
        // Replies go to the port that sent last.
        let active = Arc::new(Mutex::new(None::<Arc<Port>>));
        for port in &ports {
            if let Some(vlan) = rules.vlan.filter(|_| rules.lldp) {
                let port = Arc::clone(port);
                thread::spawn(move || {
                    loop {
                        port.wire.send(&announcement(vlan));
                        thread::sleep(LLDP_PAUSE);
                    }
                });
            }
            let (port, uplink, active) = (Arc::clone(port), Arc::clone(&uplink), Arc::clone(&active));
            thread::spawn(move || port.serve(rules, &uplink, &active));
        }
        thread::spawn(move || {
            let mut buffer = [0; FRAME];
            while let Ok(length) = uplink.socket.recv(&mut buffer) {
                let port = active.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(port) = port {
                    port.wire.send(&tagged(&buffer[..length], rules.vlan));
                }
            }
        });
        Ok(Self { ports, uplink: child })
    }

    /// The network for [`super::Nic::behind`].
    pub fn netdev(&self, port: usize) -> String {
        self.ports[port].wire.netdev().unwrap_or_default()
    }

    /// The number of LACPDUs received at a port.
    pub fn heard(&self, port: usize) -> usize {
        self.ports[port].heard.load(Ordering::Relaxed)
    }

    /// The number of frames that a port has not forwarded.
    pub fn dropped(&self, port: usize) -> usize {
        self.ports[port].dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.uplink.kill();
        let _ = self.uplink.wait();
    }
}

impl Port {
    fn serve(self: Arc<Self>, rules: PortRules, uplink: &Wire, active: &Mutex<Option<Arc<Self>>>) {
        let mut buffer = [0; FRAME];
        while let Ok(length) = self.wire.socket.recv(&mut buffer) {
            let frame = &buffer[..length];
            if let Some(answer) = answer(frame) {
                self.heard.fetch_add(1, Ordering::Relaxed);
                if rules.lacp {
                    self.wire.send(&answer);
                }
                continue;
            }
            let open = !rules.lacp || self.heard.load(Ordering::Relaxed) > 0;
            match untagged(frame, rules.vlan).filter(|_| open) {
                Some(frame) => {
                    *active.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&self));
                    uplink.send(&frame);
                }
                None => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// The frame without its tag; `None` if it does not have the required tag.
fn untagged(frame: &[u8], vlan: Option<u16>) -> Option<Vec<u8>> {
    let Some(vlan) = vlan else { return Some(frame.to_vec()) };
    let tag = frame.get(12..16)?;
    let right = tag[..2] == TAGGED && u16::from_be_bytes([tag[2], tag[3]]) & 0x0fff == vlan;
    right.then(|| [&frame[..12], &frame[16..]].concat())
}

fn tagged(frame: &[u8], vlan: Option<u16>) -> Vec<u8> {
    match (vlan, frame.split_at_checked(12)) {
        (Some(vlan), Some((addresses, rest))) => [addresses, &TAGGED, &vlan.to_be_bytes(), rest].concat(),
        _ => frame.to_vec(),
    }
}

/// The switch's LLDP frame (IEEE 802.1AB-2016, 8.5; 802.1Q-2018, annex D.2): its identity, VLAN 1 as the port's own,
/// and this VLAN.
fn announcement(vlan: u16) -> Vec<u8> {
    const HEAD: [u8; 14] = [0x01, 0x80, 0xc2, 0, 0, 0x0e, 0x02, 0, 0, 0, 9, 1, 0x88, 0xcc];
    let part = |kind: u16, value: &[u8]| [&(kind << 9 | value.len() as u16).to_be_bytes(), value].concat();
    let ieee = |subtype: u8, value: &[u8]| part(127, &[&[0x00, 0x80, 0xc2, subtype], value].concat());
    let name = b"provisioning";
    let named = [&vlan.to_be_bytes()[..], &[name.len() as u8], name].concat();
    [
        HEAD.to_vec(),
        part(1, &[4, 0x02, 0, 0, 0, 9, 1]),
        part(2, b"\x05port7"),
        part(3, &120u16.to_be_bytes()),
        ieee(1, &1u16.to_be_bytes()),
        ieee(3, &named),
        part(0, &[]),
    ]
    .concat()
}

/// The switch's reply to an LACPDU: one system with one channel, in sync with the sender.
fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    let lacp = frame.get(12..14)? == SLOW && frame.get(14)? == &1 && frame.len() >= 124;
    if !lacp {
        return None;
    }
    let mut answer = frame.to_vec();
    answer[6..12].copy_from_slice(&[0x02, 0, 0, 0, 9, 1]);
    let theirs = frame[ACTOR].to_vec();
    answer[PARTNER].copy_from_slice(&theirs);
    // System priority and address, key, port priority; the port's number is the partner's.
    answer[ACTOR].copy_from_slice(&[0x80, 0, 0x02, 0, 0, 0, 9, 1, 0, 7, 0x80, 0, theirs[12], theirs[13], UP]);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_on_and_off() {
        let frame: Vec<u8> = (0..60).collect();
        let with = tagged(&frame, Some(100));
        assert_eq!(&with[12..16], [0x81, 0, 0, 100]);
        assert_eq!(untagged(&with, Some(100)), Some(frame.clone()));
        assert_eq!(untagged(&with, Some(200)), None);
        assert_eq!(untagged(&frame, Some(100)), None);
        assert_eq!(untagged(&frame, None), Some(frame));
    }

    #[test]
    fn what_the_switch_says_of_itself_is_understood() {
        let neighbour = hwinventory::lldp_neighbour(&announcement(100)).unwrap();
        assert_eq!((neighbour.port_vlan, neighbour.vlans.len(), neighbour.vlans[0].id), (Some(1), 1, 100));
    }

    #[test]
    fn an_lacpdu_is_answered_with_its_sender_as_the_partner() {
        let mut frame = vec![0; 124];
        frame[12..18].copy_from_slice(&[0x88, 0x09, 1, 1, 1, 20]);
        frame[ACTOR].copy_from_slice(&[1; 15]);
        let answer = answer(&frame).unwrap();
        assert_eq!(&answer[PARTNER], [1; 15]);
        assert_eq!(answer[32], UP);
        assert_eq!(super::answer(&[0; 60]), None);
    }
}
