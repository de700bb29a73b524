//! Sends the agent's log to syslog servers: RFC 5424 messages over UDP (RFC 5426), or over TCP with octet counting (RFC
//! 6587 section 3.4.1).

mod message;

pub use message::{Priority, message, priority};

use crate::api::LogRing;
use crate::config::{SyslogTarget, SyslogTransport};
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How often the log is checked.
const PAUSE: Duration = Duration::from_millis(250);
const CHUNK: usize = 64 << 10;
/// An unresponsive server is retried after a second, and finally every half minute.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
const WRITE: Duration = Duration::from_secs(10);
/// The maximum number of servers.
const MOST: usize = 4;

/// Sends until [`Syslog::finish`].
#[derive(Debug)]
pub struct Syslog {
    ring: LogRing,
    targets: Mutex<Vec<(SyslogTarget, Arc<Channel>)>>,
}

#[derive(Debug, Default)]
struct Channel {
    over: AtomicBool,
    /// The whole log has been sent.
    through: AtomicBool,
}

impl Syslog {
    pub fn new(ring: LogRing) -> Self {
        Self { ring, targets: Mutex::default() }
    }

    /// Adds a server, starting with the oldest log line that is still stored. A known server is not added twice.
    pub fn add(&self, target: SyslogTarget) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.len() >= MOST || targets.iter().any(|(known, _)| *known == target) {
            return;
        }
        let channel = Arc::new(Channel::default());
        let (ring, state, to) = (self.ring.clone(), Arc::clone(&channel), target.clone());
        match thread::Builder::new().name("syslog".to_owned()).spawn(move || send_all(&ring, &to, &state)) {
            Ok(_) => targets.push((target, channel)),
            Err(error) => log::warn!("syslog to {target}: {error}"),
        }
    }
}

impl Syslog {
    /// Sends only what has been logged so far; waits a little for that.
    pub fn finish(&self) {
        let targets = std::mem::take(&mut *self.targets.lock().unwrap_or_else(PoisonError::into_inner));
        targets.iter().for_each(|(_, channel)| channel.over.store(true, Ordering::Release));
        let deadline = Instant::now() + Duration::from_secs(2);
        let through = |(_, channel): &(SyslogTarget, Arc<Channel>)| channel.through.load(Ordering::Acquire);
        while Instant::now() < deadline && !targets.iter().all(through) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn send_all(ring: &LogRing, target: &SyslogTarget, channel: &Channel) {
    let (mut offset, mut socket, mut pause) = (0, None, AGAIN);
    loop {
        // Read before the log, so that everything logged before the end is sent.
        let over = channel.over.load(Ordering::Acquire);
        match send_new(ring, target, &mut socket, &mut offset) {
            Ok(()) => pause = AGAIN,
            Err(error) => {
                socket = None;
                log::debug!("syslog to {target}: {error}");
                if !over {
                    thread::sleep(pause);
                }
                pause = (pause * 2).min(AGAIN_AT_MOST);
            }
        }
        if over {
            return channel.through.store(true, Ordering::Release);
        }
        thread::sleep(PAUSE);
    }
}

/// Whole lines only; `offset` is the end of the last line sent.
fn send_new(ring: &LogRing, target: &SyslogTarget, socket: &mut Option<Socket>, offset: &mut u64) -> io::Result<()> {
    loop {
        let (start, bytes) = ring.read(*offset, CHUNK);
        let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else { return Ok(()) };
        *offset = start;
        for line in bytes.get(..end + 1).unwrap_or_default().split_inclusive(|&byte| byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            let open = match socket {
                Some(open) => open,
                None => socket.insert(Socket::open(target)?),
            };
            open.send(text.trim_end())?;
            *offset += line.len() as u64;
        }
    }
}

enum Socket {
    Udp(UdpSocket, String),
    Tcp(TcpStream, String),
}

impl Socket {
    fn open(target: &SyslogTarget) -> io::Result<Self> {
        let address = (target.host.as_str(), target.port).to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        match target.wire {
            SyslogTransport::Udp => {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                let host = socket.local_addr()?.ip().to_string();
                Ok(Self::Udp(socket, host))
            }
            SyslogTransport::Tcp => {
                let stream = TcpStream::connect_timeout(&address, CONNECT)?;
                stream.set_write_timeout(Some(WRITE))?;
                let host = stream.local_addr()?.ip().to_string();
                Ok(Self::Tcp(stream, host))
            }
        }
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        let host = match self {
            Self::Udp(_, host) | Self::Tcp(_, host) => host,
        };
        let message = message(line, host, SystemTime::now());
        match self {
            Self::Udp(socket, _) => match socket.send(message.as_bytes()) {
                // Nobody is listening there now: with UDP, sending is all that can be done.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                sent => sent.map(drop),
            },
            Self::Tcp(stream, _) => stream.write_all(format!("{} {message}", message.len()).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
