//! Sockets bound to one interface, so that each network can be tried separately.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, setsockopt, socket, sockopt,
};
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

fn open(to: SocketAddr, kind: SockType, flags: SockFlag, device: Option<&str>) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC | flags, None)?;
    if let Some(device) = device {
        setsockopt(&fd, sockopt::BindToDevice, &device.into())?;
    }
    Ok(fd)
}

/// A connected socket: it receives only from `to`, including ICMP errors.
pub fn udp(to: SocketAddr, device: Option<&str>) -> io::Result<UdpSocket> {
    let fd = open(to, SockType::Datagram, SockFlag::empty(), device)?;
    connect(fd.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(UdpSocket::from(fd))
}

pub fn tcp(to: SocketAddr, device: Option<&str>, limit: Duration) -> io::Result<TcpStream> {
    let fd = open(to, SockType::Stream, SockFlag::SOCK_NONBLOCK, device)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) => {}
        Err(Errno::EINPROGRESS) => {
            let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
            if poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], timeout)? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let error = getsockopt(&fd, sockopt::SocketError)?;
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
        }
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(fd);
    stream.set_nonblocking(false)?;
    Ok(stream)
}
