//! Devices that appear later: the kernel's uevent multicast.

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_KOBJECT_UEVENT};
use nix::sys::socket::{setsockopt, sockopt};
use std::io;

/// The group for the kernel's own messages; udevd uses group 2.
const KERNEL_GROUP: u32 = 1;
/// Enough for every device of a large machine to appear at once.
const RECEIVE_BUFFER: usize = 16 << 20;

/// A uevent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uevent {
    pub action: String,
    pub devpath: String,
    pub subsystem: String,
    pub modalias: Option<String>,
    /// The kernel's sequence number.
    pub seqnum: Option<u64>,
}

impl Uevent {
    /// `ACTION@DEVPATH\0KEY=VALUE\0...`; `None` for anything else.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let mut fields = message.split(|&byte| byte == 0).map(String::from_utf8_lossy);
        let head = fields.next()?;
        let (action, devpath) = head.split_once('@')?;
        let mut event = Self { action: action.to_owned(), devpath: devpath.to_owned(), ..Self::default() };
        for field in fields {
            match field.split_once('=') {
                Some(("SUBSYSTEM", value)) => event.subsystem = value.to_owned(),
                Some(("MODALIAS", value)) => event.modalias = Some(value.to_owned()),
                Some(("SEQNUM", value)) => event.seqnum = value.parse().ok(),
                _ => {}
            }
        }
        Some(event)
    }
}

/// The listening socket; open it before coldplug, so that no device is missed in between.
#[derive(Debug)]
pub struct UeventListener(Socket);

pub fn listen() -> io::Result<UeventListener> {
    let mut socket = Socket::new(NETLINK_KOBJECT_UEVENT)?;
    socket.bind(&SocketAddr::new(0, KERNEL_GROUP))?;
    // Best effort: after an overrun there is another coldplug.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
    Ok(UeventListener(socket))
}

/// The result of waiting for uevents.
#[derive(Debug, PartialEq, Eq)]
pub enum UeventMessage {
    Event(Uevent),
    /// The kernel dropped some: scan all devices again.
    Overrun,
}

impl UeventListener {
    /// Waits for the next announcement.
    pub fn next(&self) -> io::Result<UeventMessage> {
        let mut buffer = Vec::with_capacity(64 << 10);
        loop {
            buffer.clear();
            match self.0.recv_from(&mut buffer, 0) {
                // Any process may send to a netlink group that it can join: only port 0 is the kernel.
                Ok((_, sender)) if sender.port_number() != 0 => {}
                Ok(_) => {
                    if let Some(event) = Uevent::parse(&buffer) {
                        return Ok(UeventMessage::Event(event));
                    }
                }
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => return Ok(UeventMessage::Overrun),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
