//! Dumps links and addresses over rtnetlink.

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

/// One request, and the message that answers it. The kernel's refusal is its errno.
pub fn ask(protocol: isize, kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    const HEADER: u32 = 16;
    /// NLM_F_REQUEST.
    const REQUEST: u16 = 1;
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let length = HEADER + body.len() as u32;
    let request =
        [&length.to_ne_bytes(), &kind.to_ne_bytes()[..], &REQUEST.to_ne_bytes(), &[1, 0, 0, 0], &[0; 4], body];
    socket.send(&request.concat(), 0)?;
    let mut datagram = vec![0u8; 64 << 10];
    let length = socket.recv(&mut datagram.as_mut_slice(), 0)?;
    let received = datagram.get(..length).unwrap_or_default();
    let message = crate::parse::netlink::messages(received).into_iter().next().ok_or(io::ErrorKind::InvalidData)?;
    if message.kind == crate::parse::netlink::ERROR {
        let code = message.bytes.get(16..20).and_then(|code| code.try_into().ok()).map_or(0, i32::from_ne_bytes);
        return Err(io::Error::from_raw_os_error(-code));
    }
    Ok(message.bytes.to_vec())
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
