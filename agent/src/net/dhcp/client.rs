//! The socket loop that runs the state machine: one thread per interface, for the life of the agent.

use super::machine::{Action, Machine};
use super::message::{Lease, parse};
use super::packet::{CLIENT_PORT, SERVER_PORT, unwrap, wrap};
use crate::config::{ClientId, Mac};
use crate::net::arp;
use crate::sys::frames::FrameSocket;
use crate::sys::packet::PacketSocket;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a waiting client checks whether its carrier came back.
const GLANCE: Duration = Duration::from_millis(250);
/// The same, while another owner of the address may answer.
const SHORT_GLANCE: Duration = Duration::from_millis(20);

/// A change of the interface's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Use it from now on; also reported for each renewal.
    Leased(Box<Lease>),
    Withdrawn,
}

/// A client on one interface.
#[derive(Debug)]
pub struct Client {
    pub index: u32,
    pub name: String,
    pub mac: Mac,
    pub client_id: ClientId,
    /// Set by the thread that watches links.
    pub news: Arc<News>,
}

/// Events on a client's link.
#[derive(Debug, Default)]
pub struct News {
    /// Carrier came back.
    pub carrier: AtomicBool,
    /// The same for IPv6.
    pub carrier6: AtomicBool,
    /// The interface is gone: the client ends.
    pub gone: Arc<AtomicBool>,
    /// A server has granted an address.
    pub leased: AtomicBool,
}

/// What a client listens with.
#[derive(Default)]
struct Senses {
    ears: Option<Ears>,
    /// Open while the address may turn out to be in use.
    arp: Option<FrameSocket>,
}

/// How replies are received.
enum Ears {
    /// No address yet: a packet socket.
    Packet(PacketSocket),
    /// With an address: the kernel's own UDP, so that a fast download does not have to pass our packet filter.
    Udp(UdpSocket),
}

impl Client {
    /// Runs until the interface is gone; `changed` applies leases before it returns.
    pub fn run(self, seed: u64, mut changed: impl FnMut(Change)) {
        let origin = Instant::now();
        let mut machine = Machine::new(self.mac, self.client_id.clone(), seed, Duration::ZERO);
        let mut senses = Senses::default();
        let mut complained = false;
        while !self.news.gone.load(Ordering::Relaxed) {
            if let Err(error) = self.turn(origin, &mut machine, &mut senses, &mut changed) {
                // The interface is down or gone at the moment.
                if !complained {
                    log::warn!("{}: DHCP: {error}", self.name);
                }
                complained = true;
                senses = Senses::default();
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
        senses: &mut Senses,
        changed: &mut impl FnMut(Change),
    ) -> io::Result<()> {
        if self.news.carrier.swap(false, Ordering::Relaxed) {
            machine.carrier(origin.elapsed());
        }
        // Taken before conflicts are read, so that everything that was sent in time is still counted.
        let now = origin.elapsed();
        if let Some(actions) = self.rivals(origin, machine, senses)? {
            return self.perform(actions, machine, senses, changed);
        }
        let actions = machine.tick(now);
        if actions.is_empty() {
            let glance = if senses.arp.is_some() { SHORT_GLANCE } else { GLANCE };
            let limit = machine.due().saturating_sub(origin.elapsed()).clamp(Duration::from_millis(1), glance);
            let mut buffer = [0; 2048];
            let heard = self.ears(machine.unconfigured(), &mut senses.ears)?;
            let actions = match heard.hear(&mut buffer, limit)?.map(|payload| parse(payload, self.mac)) {
                None => Vec::new(),
                Some(Ok(reply)) => machine.receive(origin.elapsed(), &reply),
                Some(Err(why)) => {
                    log::debug!("{}: a DHCP reply was dropped: {why}", self.name);
                    Vec::new()
                }
            };
            return self.perform(actions, machine, senses, changed);
        }
        self.perform(actions, machine, senses, changed)
    }

    fn perform(
        &self,
        actions: Vec<Action>,
        machine: &Machine,
        senses: &mut Senses,
        changed: &mut impl FnMut(Change),
    ) -> io::Result<()> {
        for action in actions {
            match action {
                Action::Say(text) => log::warn!("{}: DHCP: {text}", self.name),
                Action::Probe(address) => {
                    let arp = match senses.arp.take() {
                        Some(arp) => arp,
                        None => FrameSocket::open(self.index, arp::ETHERTYPE, &[])?,
                    };
                    arp.send([0xff; 6], &arp::probe(self.mac, address))?;
                    senses.arp = Some(arp);
                }
                Action::Configure(lease) => changed(Change::Leased(Box::new(lease))),
                Action::Withdraw => changed(Change::Withdrawn),
                Action::Broadcast(payload) => {
                    if let Ears::Packet(socket) = self.ears(true, &mut senses.ears)? {
                        socket.broadcast(&wrap(&payload))?;
                    }
                }
                Action::Send(payload, to) => {
                    if let Ears::Udp(socket) = self.ears(machine.unconfigured(), &mut senses.ears)?
                        && let Err(error) = socket.send_to(&payload, SocketAddrV4::new(to, SERVER_PORT))
                    {
                        // Unreachable at the moment: the next attempt is due anyway.
                        log::debug!("{}: DHCP to {to}: {error}", self.name);
                    }
                }
            }
        }
        Ok(())
    }

    /// The state machine's reaction if another host uses its address. `None`: no conflict was seen.
    fn rivals(&self, origin: Instant, machine: &mut Machine, senses: &mut Senses) -> io::Result<Option<Vec<Action>>> {
        let Some(address) = machine.watched(origin.elapsed()) else {
            senses.arp = None;
            return Ok(None);
        };
        let Some(arp) = &senses.arp else { return Ok(None) };
        let mut buffer = [0; 64];
        // Bounded, so that a busy network cannot keep us here.
        for _ in 0..100 {
            let Some(packet) = arp.receive(&mut buffer, Duration::ZERO)? else { break };
            if let Some(rival) = arp::rival(packet, self.mac, address) {
                return Ok(Some(machine.taken(origin.elapsed(), rival)).filter(|actions| !actions.is_empty()));
            }
        }
        Ok(None)
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
                    Ok((length, _)) => Ok(buffer.get(..length)),
                    Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                        Ok(None)
                    }
                    // An ICMP error for an earlier packet: the server is unreachable, which the timers handle.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

/// UDP port 68 on this interface only.
fn udp(name: &str) -> io::Result<UdpSocket> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::Broadcast, &true)?;
    setsockopt(&fd, sockopt::BindToDevice, &name.into())?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT)))?;
    Ok(UdpSocket::from(fd))
}
