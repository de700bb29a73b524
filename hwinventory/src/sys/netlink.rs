use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;

/// No machine has so many links.
const LIMIT: usize = 8 << 20;
const GET_LINK: u16 = 18;
const GET_ADDRESS: u16 = 22;
/// NLM_F_REQUEST and NLM_F_DUMP.
const DUMP: u16 = 0x301;

pub fn links() -> io::Result<Vec<u8>> {
    dump(GET_LINK)
}

pub fn addresses() -> io::Result<Vec<u8>> {
    dump(GET_ADDRESS)
}

/// All messages of the answer, up to but without the one that ends it.
fn dump(kind: u16) -> io::Result<Vec<u8>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // A header, and a body of zeros that is long enough for either kind: every family, every interface.
    let mut request = Vec::with_capacity(32);
    request.extend(32u32.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(DUMP.to_ne_bytes());
    request.extend([1, 0, 0, 0]);
    request.resize(32, 0);
    socket.send(&request, 0)?;

    let mut answer = Vec::new();
    let mut datagram = vec![0u8; 64 << 10];
    loop {
        let length = socket.recv(&mut datagram.as_mut_slice(), 0)?;
        let received = datagram.get(..length).unwrap_or_default();
        for message in crate::parse::netlink::messages(received) {
            match message.kind {
                crate::parse::netlink::DONE => return Ok(answer),
                crate::parse::netlink::ERROR => return Err(io::Error::other("netlink error")),
                _ => answer.extend_from_slice(message.bytes),
            }
        }
        if length == 0 || answer.len() > LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}
