//! The listener, between the two ends of a virtual cable in a network namespace of its own. Needs to be root.

use hwinventory::model::LldpNeighbour;
use hwinventory::source::{FsSource, Query, Source};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, sendto, socket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).stderr(Stdio::null()).status();
    status.is_ok_and(|s| s.success())
}

/// Runs `work` in a thread with a namespace of its own, which holds a cable from `near` to `far` and ends with it.
fn with_cable(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() || !ip("link add near type veth peer name far") {
            burin_skip::skip!("no network namespace, or no virtual cable in it (root and `ip` are needed)");
            return;
        }
        assert!(ip("link set near up") && ip("link set far up"), "the cable has two ends");
        work();
    });
    thread.join().expect("the work in the namespace");
}

fn address_of(interface: &str) -> LinkAddr {
    let mut all = nix::ifaddrs::getifaddrs().expect("interfaces");
    let found = all.find_map(|i| if i.interface_name == interface { i.address?.as_link_addr().copied() } else { None });
    found.expect("the interface has an address")
}

fn send(interface: &str, frame: &[u8]) {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>);
    let socket = socket.expect("a packet socket");
    let sent = sendto(socket.as_raw_fd(), frame, &address_of(interface), MsgFlags::empty()).expect("the cable is up");
    assert_eq!(sent, frame.len());
}

fn tlv(kind: u16, value: &[u8]) -> Vec<u8> {
    [&(kind << 9 | value.len() as u16).to_be_bytes()[..], value].concat()
}

/// A switch that announces one of its ports.
fn announcement(group: u8, chassis: u8, port: &str) -> Vec<u8> {
    let mut frame = vec![0x01, 0x80, 0xc2, 0, 0, group, 2, 0, 0, 0, 0, chassis, 0x88, 0xcc];
    frame.extend(tlv(1, &[4, 2, 0, 0, 0, 0, chassis]));
    frame.extend(tlv(2, format!("\x05{port}").as_bytes()));
    frame.extend(tlv(3, &[0, 120]));
    frame.extend(tlv(5, b"tor-1"));
    frame.extend(tlv(127, &[0, 0x80, 0xc2, 1, 0, 42]));
    frame.extend(tlv(0, &[]));
    frame.resize(frame.len().max(60), 0);
    frame
}

/// Listens on `near` while `speak` is called again and again, as a switch repeats itself.
fn hear(seconds: u32, mut speak: impl FnMut()) -> Vec<LldpNeighbour> {
    let (done, finished) = mpsc::channel();
    // A thread is in the namespace of the one that starts it.
    std::thread::spawn(move || {
        let query = Query::Lldp { interface: "near".into(), seconds, agent_off: true };
        done.send(FsSource::live().query(&query)).expect("somebody waits");
    });
    let deadline = Instant::now() + Duration::from_secs(u64::from(seconds) + 60);
    loop {
        speak();
        match finished.recv_timeout(Duration::from_millis(200)) {
            Ok(answer) => return hwinventory::fuzz::neighbours(&answer.expect("the listener listens")),
            Err(_) => assert!(Instant::now() < deadline, "the listener never ends"),
        }
    }
}

fn names(found: &[LldpNeighbour]) -> Vec<(&str, &str, Option<&str>, Option<u64>)> {
    found.iter().map(|n| (n.chassis_id.as_str(), n.port_id.as_str(), n.system_name.as_deref(), n.port_vlan)).collect()
}

#[test]
fn a_neighbour_is_heard() {
    with_cable(|| {
        let frame = announcement(0x0e, 1, "Ethernet1/7");
        let started = Instant::now();
        let found = hear(600, || send("far", &frame));
        assert_eq!(names(&found), [("02:00:00:00:00:01", "Ethernet1/7", Some("tor-1"), Some(42))]);
        assert!(started.elapsed() < Duration::from_secs(500), "a neighbour ends the waiting");
    });
}

/// All three groups of 802.1AB 7.1 are heard, a second neighbour too, and what this machine says itself is not.
#[test]
fn every_group_and_a_second_neighbour() {
    with_cable(|| {
        let frames = [announcement(0x03, 3, "Gi0/3"), announcement(0x00, 4, "Gi0/4")];
        let own = announcement(0x0e, 9, "mine");
        let found = hear(600, || {
            send("near", &own);
            frames.iter().for_each(|frame| send("far", frame));
        });
        assert_eq!(names(&found).iter().map(|n| n.1).collect::<Vec<_>>(), ["Gi0/3", "Gi0/4"]);
    });
}

#[test]
fn other_traffic_and_silence_are_no_neighbours() {
    with_cable(|| {
        let mut other = announcement(0x0e, 1, "Ethernet1/7");
        other[12..14].copy_from_slice(&[0x08, 0x00]);
        let cut = announcement(0x0e, 1, "Ethernet1/7")[..20].to_vec();
        let found = hear(1, || {
            send("far", &other);
            send("far", &cut);
        });
        assert_eq!(found, []);
    });
}

#[test]
fn an_interface_that_is_not_there() {
    let query = Query::Lldp { interface: "nothere0".into(), seconds: 1, agent_off: false };
    assert!(FsSource::live().query(&query).is_err());
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a real daemon says.
#[test]
fn lldpd_is_understood() {
    if Command::new("lldpd").arg("-v").output().is_err() {
        burin_skip::skip!("lldpd is not installed");
        return;
    }
    with_cable(|| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("socket");
        // In the foreground, on one interface, speaking every second.
        let mut daemon = Command::new("lldpd");
        daemon.arg("-d").args(["-I", "far", "-C", "far", "-S", "oracle of the tests", "-u"]).arg(&socket);
        daemon.stdout(Stdio::null()).stderr(Stdio::null());
        let mut daemon = Daemon(daemon.spawn().expect("lldpd starts"));
        let found = hear(60, || {
            let mut faster = Command::new("lldpcli");
            faster.arg("-u").arg(&socket).args(["configure", "lldp", "tx-interval", "1"]);
            let _ = faster.stdout(Stdio::null()).stderr(Stdio::null()).status();
        });
        if found.is_empty() && daemon.0.try_wait().is_ok_and(|status| status.is_some()) {
            burin_skip::skip!("lldpd does not stay up here");
            return;
        }
        let neighbour = found.first().expect("lldpd speaks");
        assert_eq!(neighbour.system_description.as_deref(), Some("oracle of the tests"));
        let host = nix::unistd::gethostname().expect("a host name").into_string().unwrap_or_default();
        assert!(neighbour.system_name.as_deref().is_some_and(|n| n.starts_with(&host)), "{neighbour:?}");
        assert_eq!(neighbour.port_id_kind, "mac");
        let address = address_of("far").addr().expect("Ethernet");
        assert_eq!(neighbour.port_id, address.map(|b| format!("{b:02x}")).join(":"));
        assert!(neighbour.ttl > 0 && !neighbour.capabilities.is_empty(), "{neighbour:?}");
    });
}
