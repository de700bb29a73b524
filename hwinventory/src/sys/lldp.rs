//! Listens for LLDP frames on a raw socket.

use super::ethtool;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

const LLDP: u16 = 0x88cc;
/// Nearest bridge, nearest non-TPMR bridge, nearest customer bridge (802.1AB 7.1).
const GROUPS: [[u8; 6]; 3] =
    [[0x01, 0x80, 0xc2, 0, 0, 0x0e], [0x01, 0x80, 0xc2, 0, 0, 0x03], [0x01, 0x80, 0xc2, 0, 0, 0x00]];
const MOST_FRAMES: usize = 16;

/// After a first neighbour, how long a second one is waited for: a port has one, behind a hub or on a mirrored port two.
const SECOND: Duration = Duration::from_secs(2);

/// Listens for LLDP frames. Each in the answer is preceded by its length as a big-endian u16.
pub fn listen(interface: &str, seconds: u32, agent_off: bool) -> io::Result<Vec<u8>> {
    let index = nix::net::if_::if_nametoindex(interface)?;
    // Protocol 0: nothing is received before the socket is bound to one interface. Bound to one protocol it does not
    // hear what this machine sends.
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None::<SockProtocol>,
    )?;
    bind(&socket, index)?;
    for group in GROUPS {
        join(&socket, index, group)?;
    }
    let _agent = if agent_off { QuietAgent::new(interface)? } else { None };
    let mut deadline = Instant::now() + Duration::from_secs(u64::from(seconds));
    let mut answer = Vec::new();
    let mut frame = vec![0u8; 2048];
    let mut frames = 0;
    while frames < MOST_FRAMES {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: a wait of less than a millisecond would spin.
        let timeout = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        if left.is_zero() || poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout)? == 0 {
            break;
        }
        let length = match recv(socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            Ok(length) => length,
            // The link went down, perhaps because of the switch above: it may come back.
            Err(Errno::ENETDOWN | Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let received = frame.get(..length).unwrap_or_default();
        answer.extend((received.len() as u16).to_be_bytes());
        answer.extend_from_slice(received);
        frames += 1;
        deadline = deadline.min(Instant::now() + SECOND);
    }
    Ok(answer)
}

/// The card's own LLDP agent, switched off until this is dropped.
struct QuietAgent {
    interface: String,
}

impl QuietAgent {
    /// `None` where there is no agent, or it is off already.
    fn new(interface: &str) -> io::Result<Option<QuietAgent>> {
        if ethtool::lldp_agent(interface)? != Some(true) {
            return Ok(None);
        }
        log::info!("{interface}: the card's LLDP agent is switched off while listening");
        let agent = QuietAgent { interface: interface.to_owned() };
        ethtool::switch_lldp_agent(interface, false)?;
        Ok(Some(agent))
    }
}

impl Drop for QuietAgent {
    fn drop(&mut self) {
        if let Err(error) = ethtool::switch_lldp_agent(&self.interface, true) {
            log::warn!("{}: the card's LLDP agent could not be switched on again: {error}", self.interface);
        }
    }
}

fn bind(socket: &OwnedFd, index: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: LLDP.to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `address`, which lives through the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn join(socket: &OwnedFd, index: u32, group: [u8; 6]) -> io::Result<()> {
    let mut address = [0u8; 8];
    if let Some(place) = address.get_mut(..6) {
        place.copy_from_slice(&group);
    }
    let request = libc::packet_mreq {
        mr_ifindex: index as i32,
        mr_type: libc::PACKET_MR_MULTICAST as u16,
        mr_alen: 6,
        mr_address: address,
    };
    let length = size_of::<libc::packet_mreq>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `request`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
