//! Links, addresses and routes over rtnetlink, synchronously.

mod address;
mod link;
mod make;
mod monitor;
mod route;

pub use address::Held;
pub use link::Link;
pub use monitor::Monitor;
pub use route::Route;

use super::NetError;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;

/// Kernel dumps come in pieces of at most 32 KiB.
const RECEIVE: usize = 64 << 10;

#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub fn open() -> Result<Self, NetError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(refused("open", "rtnetlink"))?;
        Ok(Self { socket, sequence: 0 })
    }

    pub fn links(&mut self) -> Result<Vec<Link>, NetError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let replies = self.request(request, NLM_F_DUMP).map_err(refused("list", "links"))?;
        let links = replies.into_iter().filter_map(|reply| match reply {
            RouteNetlinkMessage::NewLink(message) => Some(Link::read(&message)),
            _ => None,
        });
        Ok(links.collect())
    }

    fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.request(message, flags | NLM_F_ACK).map(drop)
    }

    /// Sends one request and collects its replies up to the acknowledgement or the end of the dump.
    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut replies = Vec::new();
        let mut buffer = Vec::with_capacity(RECEIVE);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for message in split(&buffer) {
                // A message that the library cannot parse, from a newer kernel, must not hide the others.
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else {
                    log::debug!("rtnetlink: a message that cannot be read was skipped");
                    continue;
                };
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(reply) => replies.push(reply),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(replies),
                    _ => {}
                }
            }
        }
    }
}

fn refused(operation: &'static str, link: &str) -> impl FnOnce(io::Error) -> NetError {
    let link = link.to_owned();
    move |source| NetError::Netlink { operation, link, source }
}

/// Splits a datagram into messages by their length field, each padded to four bytes.
fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = bytes.get(..4).and_then(|field| <[u8; 4]>::try_from(field).ok()).map(u32::from_ne_bytes)? as usize;
        if length < 16 {
            return None;
        }
        let message = bytes.get(..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loopback_is_listed_and_no_candidate() {
        let links = Netlink::open().unwrap().links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert!(lo.loopback && !lo.is_nic() && lo.index == 1, "{lo:?}");
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0u32..220) {
            let mut framed = length.to_ne_bytes().to_vec();
            framed.extend(&bytes);
            for message in split(&framed).chain(split(&bytes)) {
                if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message)
                    && let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) = message.payload
                {
                    let _ = Link::read(&message);
                }
            }
        }
    }
}
