//! IPv6 sockets on one interface.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, bind, recvmsg, sendto,
    setsockopt, socket, sockopt,
};
use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Senders on the link set it, and routers decrement it, so this value proves that the packet is local (RFC 4861,
/// 6.1.2).
const HOP_LIMIT: i32 = 255;

#[derive(Debug)]
pub struct Sockets {
    index: u32,
    routers: OwnedFd,
    servers: UdpSocket,
}

/// A received message.
pub enum Heard<'a> {
    /// An ICMPv6 message from a neighbour.
    Neighbour(Ipv6Addr, &'a [u8]),
    Server(&'a [u8]),
}

impl Sockets {
    pub fn open(index: u32, name: &str) -> io::Result<Self> {
        let protocol = SockProtocol::IcmpV6;
        let routers = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        setsockopt(&routers, sockopt::BindToDevice, &name.into())?;
        setsockopt(&routers, sockopt::Ipv6MulticastHops, &HOP_LIMIT)?;
        setsockopt(&routers, sockopt::Ipv6RecvHopLimit, &true)?;
        let fd = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
        setsockopt(&fd, sockopt::BindToDevice, &name.into())?;
        let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, CLIENT_PORT, 0, index);
        bind(fd.as_raw_fd(), &SockaddrIn6::from(any))?;
        Ok(Self { index, routers, servers: UdpSocket::from(fd) })
    }

    pub fn solicit(&self, message: &[u8]) -> io::Result<()> {
        let to = SockaddrIn6::from(SocketAddrV6::new(ALL_ROUTERS, 0, 0, self.index));
        sendto(self.routers.as_raw_fd(), message, &to, MsgFlags::empty())?;
        Ok(())
    }

    pub fn ask(&self, message: &[u8]) -> io::Result<()> {
        self.servers.send_to(message, SocketAddrV6::new(ALL_SERVERS, SERVER_PORT, 0, self.index)).map(drop)
    }

    /// The next message, or `None` after `limit`.
    pub fn hear<'a>(&self, buffer: &'a mut [u8], limit: Duration) -> io::Result<Option<Heard<'a>>> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        let mut fds = [self.routers.as_fd(), self.servers.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let [routers, _] = fds;
        if routers.any().unwrap_or_default() {
            return self.neighbour(buffer);
        }
        let (length, _) = self.servers.recv_from(buffer)?;
        Ok(buffer.get(..length).map(Heard::Server))
    }

    fn neighbour<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<Heard<'a>>> {
        let mut space = nix::cmsg_space!(i32);
        let (length, from, hops) = {
            let mut slices = [IoSliceMut::new(buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let message = recvmsg::<SockaddrIn6>(self.routers.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
            let hops = message.cmsgs()?.find_map(|cmsg| match cmsg {
                ControlMessageOwned::Ipv6HopLimit(hops) => Some(hops),
                _ => None,
            });
            (message.bytes, message.address.map(|address| address.ip()), hops)
        };
        let Some(from) = from.filter(|from| from.is_unicast_link_local() && hops == Some(HOP_LIMIT)) else {
            return Ok(None);
        };
        Ok(buffer.get(..length).map(|message| Heard::Neighbour(from, message)))
    }
}
