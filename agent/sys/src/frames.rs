//! AF_PACKET sockets for one Ethernet type other than IPv4: ARP, LACP.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socket};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// Sends and receives Ethernet frames of one type on one interface. Does not receive this machine's own frames.
#[derive(Debug)]
pub struct FrameSocket {
    fd: OwnedFd,
    index: i32,
    ethertype: u16,
}

impl FrameSocket {
    /// Receives frames to this machine, to the broadcast address, and to the multicast `groups`.
    pub fn open(index: u32, ethertype: u16, groups: &[[u8; 6]]) -> io::Result<Self> {
        let index = i32::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // Protocol 0: nothing is queued before the socket is bound to its interface.
        let fd = socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        let frames = Self { fd, index, ethertype };
        frames.bind()?;
        for group in groups {
            frames.join(*group)?;
        }
        Ok(frames)
    }

    fn address(&self, to: [u8; 6]) -> libc::sockaddr_ll {
        let [a, b, c, d, e, f] = to;
        libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: self.ethertype.to_be(),
            sll_ifindex: self.index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [a, b, c, d, e, f, 0, 0],
        }
    }

    fn bind(&self) -> io::Result<()> {
        let address = self.address([0; 6]);
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

    fn join(&self, group: [u8; 6]) -> io::Result<()> {
        let [a, b, c, d, e, f] = group;
        let request = libc::packet_mreq {
            mr_ifindex: self.index,
            mr_type: libc::PACKET_MR_MULTICAST as u16,
            mr_alen: 6,
            mr_address: [a, b, c, d, e, f, 0, 0],
        };
        // SAFETY: `request` is an initialised packet_mreq of the length given, read by the kernel during the call only.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const request).cast(),
                size_of::<libc::packet_mreq>() as libc::socklen_t,
            )
        };
        Errno::result(result).map(drop).map_err(io::Error::from)
    }

    /// Sends one frame; the kernel writes its header.
    pub fn send(&self, to: [u8; 6], payload: &[u8]) -> io::Result<()> {
        let address = self.address(to);
        // SAFETY: `payload` is readable for its length and `address` is an initialised sockaddr_ll of the length given;
        // the kernel reads both during the call only.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                payload.as_ptr().cast(),
                payload.len(),
                0,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        Errno::result(sent).map(drop).map_err(io::Error::from)
    }

    /// The next frame's payload, in `buffer`; `None` after `limit`.
    pub fn receive<'a>(&self, buffer: &'a mut [u8], limit: Duration) -> io::Result<Option<&'a [u8]>> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match recv(self.fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(buffer.get(..length)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
