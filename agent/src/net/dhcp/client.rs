//! The socket loop around the state machine: one thread per interface, for the life of the agent.

use super::machine::{Action, Machine};
use super::message::{Lease, parse};
use super::packet::{CLIENT_PORT, SERVER_PORT, unwrap, wrap};
use crate::config::Mac;
use crate::sys::packet::PacketSocket;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a waiting client looks whether its carrier came back.
const GLANCE: Duration = Duration::from_millis(250);

/// What became of the interface's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Use it from now on; called again for each renewal.
    Leased(Box<Lease>),
    Withdrawn,
}

/// A client on one interface.
#[derive(Debug)]
pub struct Client {
    pub index: u32,
    pub name: String,
    pub mac: Mac,
    /// Set by whoever watches links.
    pub news: Arc<News>,
}

/// What happened to the link of a client.
#[derive(Debug, Default)]
pub struct News {
    /// Carrier came back.
    pub carrier: AtomicBool,
    /// The interface is no more: the client ends.
    pub gone: AtomicBool,
}

/// Where replies are heard, and in which form.
enum Ears {
    /// No address yet.
    Packet(PacketSocket),
    /// Addressed: the kernel's own UDP, so that a download at full speed passes no filter of ours.
    Udp(UdpSocket),
}

impl Client {
    /// Runs until the interface is gone; `changed` applies leases before it returns.
    pub fn run(self, seed: u64, mut changed: impl FnMut(Change)) {
        let origin = Instant::now();
        let mut machine = Machine::new(self.mac, seed, Duration::ZERO);
        let mut ears = None;
        let mut complained = false;
        while !self.news.gone.load(Ordering::Relaxed) {
            if let Err(error) = self.turn(origin, &mut machine, &mut ears, &mut changed) {
                // The interface is down or gone for the moment.
                if !complained {
                    log::warn!("{}: DHCP: {error}", self.name);
                }
                complained = true;
                ears = None;
                thread::sleep(Duration::from_secs(1));
            } else {
                complained = false;
            }
        }
    }

    fn turn(
        &self,
        origin: Instant,
        machine: &mut Machine,
        ears: &mut Option<Ears>,
        changed: &mut impl FnMut(Change),
    ) -> io::Result<()> {
        if self.news.carrier.swap(false, Ordering::Relaxed) {
            machine.carrier(origin.elapsed());
        }
        let heard = self.ears(machine.unconfigured(), ears)?;
        let actions = machine.tick(origin.elapsed());
        if actions.is_empty() {
            let limit = machine.due().saturating_sub(origin.elapsed()).clamp(Duration::from_millis(1), GLANCE);
            let mut buffer = [0; 2048];
            let actions = match heard.hear(&mut buffer, limit)?.map(|payload| parse(payload, self.mac)) {
                None => Vec::new(),
                Some(Ok(reply)) => machine.receive(origin.elapsed(), &reply),
                Some(Err(why)) => {
                    log::debug!("{}: a DHCP reply was dropped: {why}", self.name);
                    Vec::new()
                }
            };
            return self.perform(actions, machine, ears, changed);
        }
        self.perform(actions, machine, ears, changed)
    }

    fn perform(
        &self,
        actions: Vec<Action>,
        machine: &Machine,
        ears: &mut Option<Ears>,
        changed: &mut impl FnMut(Change),
    ) -> io::Result<()> {
        for action in actions {
            match action {
                Action::Say(text) => log::warn!("{}: DHCP: {text}", self.name),
                Action::Configure(lease) => changed(Change::Leased(Box::new(lease))),
                Action::Withdraw => changed(Change::Withdrawn),
                Action::Broadcast(payload) => {
                    if let Ears::Packet(socket) = self.ears(true, ears)? {
                        socket.broadcast(&wrap(&payload))?;
                    }
                }
                Action::Send(payload, to) => {
                    if let Ears::Udp(socket) = self.ears(machine.unconfigured(), ears)?
                        && let Err(error) = socket.send_to(&payload, SocketAddrV4::new(to, SERVER_PORT))
                    {
                        // Unreachable for the moment: the next attempt is due anyway.
                        log::debug!("{}: DHCP to {to}: {error}", self.name);
                    }
                }
            }
        }
        Ok(())
    }

    fn ears<'a>(&self, unconfigured: bool, ears: &'a mut Option<Ears>) -> io::Result<&'a Ears> {
        let fits = match ears {
            Some(Ears::Packet(_)) => unconfigured,
            Some(Ears::Udp(_)) => !unconfigured,
            None => false,
        };
        if !fits {
            *ears = Some(match unconfigured {
                true => Ears::Packet(PacketSocket::open(self.index, CLIENT_PORT)?),
                false => Ears::Udp(udp(&self.name)?),
            });
        }
        ears.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))
    }
}

impl Ears {
    fn hear<'a>(&self, buffer: &'a mut [u8], limit: Duration) -> io::Result<Option<&'a [u8]>> {
        match self {
            Self::Packet(socket) => {
                let length = socket.receive(buffer, limit)?;
                Ok(length.and_then(|length| buffer.get(..length)).and_then(unwrap))
            }
            Self::Udp(socket) => {
                socket.set_read_timeout(Some(limit))?;
                match socket.recv_from(buffer) {
                    Ok((length, sender)) if sender.port() == SERVER_PORT => Ok(buffer.get(..length)),
                    Ok(_) => Ok(None),
                    Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                        Ok(None)
                    }
                    // An ICMP answer to an earlier packet: the server is away, which the timers handle.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

/// UDP port 68 on this interface alone.
fn udp(name: &str) -> io::Result<UdpSocket> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::Broadcast, &true)?;
    setsockopt(&fd, sockopt::BindToDevice, &name.into())?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT)))?;
    Ok(UdpSocket::from(fd))
}
