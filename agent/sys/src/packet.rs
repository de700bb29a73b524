//! AF_PACKET sockets: IPv4 on an interface that has no address yet.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socket};
use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// Sends IPv4 packets to the Ethernet broadcast address of one interface, and receives UDP packets to one port there.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    index: i32,
}

impl PacketSocket {
    /// Receives unfragmented UDP packets to `port` on the interface `index`; they start with their IPv4 header.
    pub fn open(index: u32, port: u16) -> io::Result<Self> {
        let index = i32::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // Protocol 0: nothing is queued before the filter is set.
        let fd = socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        let packet = Self { fd, index };
        packet.attach_filter(port)?;
        packet.bind()?;
        Ok(packet)
    }

    fn address(&self) -> libc::sockaddr_ll {
        libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_IP as u16).to_be(),
            sll_ifindex: self.index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
        }
    }

    fn attach_filter(&self, port: u16) -> io::Result<()> {
        let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        // Classic BPF over a packet that starts with its IPv4 header.
        let mut program = [
            op(0x30, 0, 0, 9),               // A = protocol
            op(0x15, 0, 6, 17),              // UDP, or drop
            op(0x28, 0, 0, 6),               // A = flags and fragment offset
            op(0x45, 4, 0, 0x1fff),          // a later fragment: drop
            op(0xb1, 0, 0, 0),               // X = header length
            op(0x48, 0, 0, 2),               // A = destination port
            op(0x15, 0, 1, u32::from(port)), // ours, or drop
            op(0x06, 0, 0, 0xffff),          // take
            op(0x06, 0, 0, 0),               // drop
        ];
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: `filter` and the program it points to live across the call, `len` counts its instructions, and the
        // kernel copies them before it returns.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const filter).cast(),
                size_of_val(&filter) as libc::socklen_t,
            )
        };
        Errno::result(result).map(drop).map_err(io::Error::from)
    }

    fn bind(&self) -> io::Result<()> {
        let address = self.address();
        // SAFETY: `address` is an initialised sockaddr_ll of the length given, read by the kernel during the call only.
        let result = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        Errno::result(result).map(drop).map_err(io::Error::from)
    }

    /// Sends a whole IPv4 packet as an Ethernet broadcast.
    pub fn broadcast(&self, packet: &[u8]) -> io::Result<()> {
        let address = self.address();
        // SAFETY: `packet` is readable for its length and `address` is an initialised sockaddr_ll of the length given;
        // the kernel reads both during the call only.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        Errno::result(sent).map(drop).map_err(io::Error::from)
    }

    /// The next packet's length in `buffer`; `None` after `limit`.
    pub fn receive(&self, buffer: &mut [u8], limit: Duration) -> io::Result<Option<usize>> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match recv(self.fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
