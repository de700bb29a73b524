//! Servers that answer like real ones, oddities included: DHCP, DNS, and a listener for hello.

use super::lab::{Lab, Place};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Offers the same address until a DECLINE, then the next one; replies are broadcast.
#[derive(Debug, Clone)]
pub struct Dhcp {
    pub interface: &'static str,
    pub server: Ipv4Addr,
    pub first: Ipv4Addr,
    pub mask: Ipv4Addr,
    pub router: Option<Ipv4Addr>,
    pub dns: Option<Ipv4Addr>,
    pub domain: &'static str,
    /// The source port of replies.
    pub port: u16,
    pub delay: Duration,
    /// Additional raw options.
    pub extra: Vec<u8>,
}

impl Dhcp {
    /// 10.9.1.0/24 or 10.9.2.0/24, with a router.
    pub fn new(interface: &'static str, third: u8) -> Self {
        let server = Ipv4Addr::new(10, 9, third, 1);
        Self {
            interface,
            server,
            first: Ipv4Addr::new(10, 9, third, 50),
            mask: Ipv4Addr::new(255, 255, 255, 0),
            router: Some(server),
            dns: Some(server),
            domain: "",
            port: 67,
            delay: Duration::ZERO,
            extra: Vec::new(),
        }
    }

    /// Returns the types of the messages received.
    pub fn serve(self, lab: &Lab, place: Place) -> Arc<Mutex<Vec<u8>>> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        lab.inside(place, move || self.run(&heard));
        kept
    }

    fn run(&self, heard: &Mutex<Vec<u8>>) {
        let open = |port: u16| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            socket.set_broadcast(true).unwrap();
            setsockopt(&socket, sockopt::BindToDevice, &self.interface.into()).unwrap();
            socket
        };
        let ears = open(67);
        let mouth = if self.port == 67 { ears.try_clone().unwrap() } else { open(self.port) };
        let (mut declined, mut buffer) = (0, [0; 2000]);
        while let Ok((length, _)) = ears.recv_from(&mut buffer) {
            let request = &buffer[..length];
            let Some(kind) = message_type(request) else { continue };
            heard.lock().unwrap().push(kind);
            if kind == 4 {
                declined += 1;
            }
            let reply = match kind {
                1 => 2,
                3 => 5,
                _ => continue,
            };
            thread::sleep(self.delay);
            // The network may be down; the client asks again.
            let _ = mouth.send_to(&self.reply(request, reply, declined), (Ipv4Addr::BROADCAST, 68));
        }
    }

    fn reply(&self, request: &[u8], kind: u8, declined: u32) -> Vec<u8> {
        let mut reply = vec![0; 240];
        reply[..3].copy_from_slice(&[2, 1, 6]);
        reply[4..8].copy_from_slice(&request[4..8]);
        reply[10..12].copy_from_slice(&request[10..12]);
        reply[16..20].copy_from_slice(&Ipv4Addr::from(u32::from(self.first) + declined).octets());
        reply[28..44].copy_from_slice(&request[28..44]);
        reply[236..240].copy_from_slice(&[99, 130, 83, 99]);
        let mut option = |code: u8, value: &[u8]| {
            reply.extend([code, value.len() as u8]);
            reply.extend(value);
        };
        option(53, &[kind]);
        option(54, &self.server.octets());
        option(51, &3600u32.to_be_bytes());
        option(1, &self.mask.octets());
        self.router.iter().for_each(|router| option(3, &router.octets()));
        self.dns.iter().for_each(|dns| option(6, &dns.octets()));
        if !self.domain.is_empty() {
            option(15, self.domain.as_bytes());
        }
        reply.extend(&self.extra);
        reply.push(255);
        reply
    }
}

fn message_type(request: &[u8]) -> Option<u8> {
    let mut options = request.get(240..)?;
    while let [code, length, rest @ ..] = options {
        match code {
            0 => options = &options[1..],
            53 => return rest.first().copied(),
            _ => options = rest.get(usize::from(*length)..)?,
        }
    }
    None
}

/// Knows one name, and denies all others.
pub fn dns(lab: &Lab, place: Place, server: Ipv4Addr, name: &'static str, address: Ipv4Addr) {
    lab.inside(place, move || {
        let socket = UdpSocket::bind((server, 53)).unwrap();
        let mut buffer = [0; 600];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let (mut at, mut labels) = (12, Vec::new());
            while at < length && buffer[at] != 0 {
                let end = at + 1 + usize::from(buffer[at]);
                labels.push(String::from_utf8_lossy(&buffer[at + 1..end]).to_ascii_lowercase());
                at = end;
            }
            let question = &buffer[12..at + 5];
            let known = labels.join(".") == name;
            let found = known && question[question.len() - 4..] == [0, 1, 0, 1];
            let mut reply = buffer[..2].to_vec();
            reply.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
            reply.extend(question);
            if found {
                reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
                reply.extend(address.octets());
            }
            let _ = socket.send_to(&reply, from);
        }
    });
}

/// A hello as received by the controller.
#[derive(Debug, Clone)]
pub struct Heard {
    pub from: IpAddr,
    pub body: String,
}

/// Receives hello and answers that it is busy.
pub fn controller(lab: &Lab, place: Place, address: IpAddr) -> Arc<Mutex<Vec<Heard>>> {
    let callers = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&callers);
    lab.inside(place, move || {
        let listener = TcpListener::bind(SocketAddr::new(address, 8080)).unwrap();
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let callers = Arc::clone(&callers);
            // A connection without a request is not a hello, but the agent's check whether the address is reachable.
            thread::spawn(move || hear(stream).map(|heard| callers.lock().unwrap().push(heard)));
        }
    });
    kept
}

fn hear(mut stream: TcpStream) -> Option<Heard> {
    let from = stream.peer_addr().ok()?.ip();
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut line, mut head, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line).ok()? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    head.starts_with("POST /v1/hello").then_some(Heard { from, body })
}
