//! Resolves one host with the servers of one network: all in parallel, each family separately.

use super::Families;
use super::query::{Answer, answer, candidates, question};
use crate::net::bound;
use crate::net::state::Interface;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const PORT: u16 = 53;
/// At most this many servers of a network are asked.
const SERVERS: usize = 4;
/// The query is repeated after each of these delays.
const PATIENCE: [Duration; 3] = [Duration::from_millis(800), Duration::from_millis(1600), Duration::from_millis(2400)];

struct Server {
    address: SocketAddr,
    device: Option<String>,
    socket: UdpSocket,
    /// By family, IPv4 first; `None` until there is an answer.
    answers: [Option<Answer>; 2],
}

pub fn lookup(host: &str, interface: &Interface, families: Families) -> io::Result<Vec<IpAddr>> {
    let mut last = io::Error::other("no name server answers");
    for name in candidates(host, &interface.search) {
        match one(&name, interface, families) {
            Ok(addresses) => return Ok(addresses),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn one(name: &str, interface: &Interface, families: Families) -> io::Result<Vec<IpAddr>> {
    let wanted = [families.ipv4, families.ipv6];
    let mut servers: Vec<Server> =
        interface.dns.iter().take(SERVERS).filter_map(|&server| open(server, interface).ok()).collect();
    let mut seed = [0; 2];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let id = u16::from_ne_bytes(seed);
    for patience in PATIENCE {
        ask(&servers, name, id, wanted)?;
        let deadline = Instant::now() + patience;
        while !decided(&servers, wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            hear(&mut servers, id, left)?;
        }
        if decided(&servers, wanted) || addresses(&servers).next().is_some() {
            break;
        }
    }
    for server in &mut servers {
        again_by_tcp(server, name, id);
    }
    let found: Vec<IpAddr> = addresses(&servers).collect();
    if !found.is_empty() {
        return Ok(crate::net::state::distinct(found.into_iter()));
    }
    let said = servers.iter().find_map(|server| {
        server.answers.iter().flatten().find_map(|answer| match answer {
            Answer::No(why) => Some(format!("{}: {name}: {why}", server.address.ip())),
            _ => None,
        })
    });
    Err(io::Error::other(said.unwrap_or_else(|| format!("no name server of {} answers", interface.name))))
}

/// Through the network that names the server, if the server is reached that way.
fn open(server: IpAddr, interface: &Interface) -> io::Result<Server> {
    let device = interface.leads_to(server).then(|| interface.name.clone());
    let address = SocketAddr::new(server, PORT);
    let socket = bound::udp(address, device.as_deref())?;
    socket.set_nonblocking(true)?;
    Ok(Server { address, device, socket, answers: [None, None] })
}

/// Each family has an id of its own.
fn number(id: u16, family: usize) -> u16 {
    id.wrapping_add(family as u16)
}

fn ask(servers: &[Server], name: &str, id: u16, wanted: [bool; 2]) -> io::Result<()> {
    for server in servers {
        for (family, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
            if server.answers.get(family).is_some_and(Option::is_some) {
                continue;
            }
            let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not a name"));
            let question = question(number(id, family), name, family == 0).ok_or_else(invalid)?;
            // Unreachable at the moment: use another server, or the next try.
            let _ = server.socket.send(&question);
        }
    }
    Ok(())
}

/// One server has answered for every family, with an address; or all servers have answered.
fn decided(servers: &[Server], wanted: [bool; 2]) -> bool {
    let complete =
        |server: &Server| server.answers.iter().zip(wanted).all(|(answer, wanted)| !wanted || answer.is_some());
    let good = |server: &Server| server.answers.iter().flatten().any(|answer| !matches!(answer, Answer::No(_)));
    servers.iter().any(|server| complete(server) && good(server)) || servers.iter().all(complete)
}

fn hear(servers: &mut [Server], id: u16, limit: Duration) -> io::Result<()> {
    let timeout = PollTimeout::try_from(limit.max(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX);
    let mut fds: Vec<PollFd> =
        servers.iter().map(|server| PollFd::new(server.socket.as_fd(), PollFlags::POLLIN)).collect();
    match poll(&mut fds, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    for server in servers {
        let mut buffer = [0; 2048];
        // A refusal does not count as an answer: the server may be starting up.
        while let Ok(length) = server.socket.recv(&mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default();
            for (family, slot) in server.answers.iter_mut().enumerate() {
                *slot = slot.take().or_else(|| answer(bytes, number(id, family)));
            }
        }
    }
    Ok(())
}

fn again_by_tcp(server: &mut Server, name: &str, id: u16) {
    for (family, slot) in server.answers.iter_mut().enumerate().filter(|(_, slot)| **slot == Some(Answer::Truncated)) {
        let number = number(id, family);
        *slot = question(number, name, family == 0)
            .and_then(|question| stream(server.address, server.device.as_deref(), &question).ok())
            .and_then(|bytes| answer(&bytes, number));
    }
}

/// RFC 7766: each message is preceded by its length.
fn stream(server: SocketAddr, device: Option<&str>, question: &[u8]) -> io::Result<Vec<u8>> {
    let limit = Duration::from_secs(2);
    let mut stream = bound::tcp(server, device, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[length.to_be_bytes().as_slice(), question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn addresses(servers: &[Server]) -> impl Iterator<Item = IpAddr> + '_ {
    servers.iter().flat_map(|server| &server.answers).flat_map(|answer| match answer {
        Some(Answer::Addresses(addresses)) => addresses.clone(),
        _ => Vec::new(),
    })
}
