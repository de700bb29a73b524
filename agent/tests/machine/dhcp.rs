//! The network against a real DHCP server: dnsmasq behind a veth pair, each test in network namespaces of its own.

use burin::config::Config;
use burin::error::Coded;
use burin::net::{Method, NetError, Network, NetworkState};
use nix::sched::{CloneFlags, unshare};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any machine needs, however loaded.
const LIMIT: Duration = Duration::from_secs(90);
const BOOT_MAC: &str = "02:00:00:00:00:02";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The namespace behind the cable, with dnsmasq processes in it. Gone when dropped.
struct Lab {
    namespace: String,
    directory: tempfile::TempDir,
    servers: Vec<Child>,
}

fn ip(arguments: &str) {
    succeeds(Command::new("ip").args(arguments.split_whitespace()));
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn shown(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Lab {
    fn new() -> Self {
        let namespace = format!("burin-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {namespace}"));
        ip("link set lo up");
        Self { namespace, directory: tempfile::tempdir().unwrap(), servers: Vec::new() }
    }

    /// A program behind the cable. Not by `ip netns exec` or `ip -n`: these copy all mounts, and disks that other tests
    /// have mounted at that moment stay busy.
    fn behind(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg(program);
        command
    }

    fn ip_behind(&self, arguments: &str) {
        succeeds(self.behind("ip").args(arguments.split_whitespace()));
    }

    /// A cable `name`, whose other end has the address `10.9.NET.1/24`; dark while that end is down.
    fn cable(&self, name: &str, mac: &str, net: u8, lit: bool) {
        let far = format!("{name}-far");
        ip(&format!("link add {name} address {mac} type veth peer name {far}"));
        ip(&format!("link set {far} netns {}", self.namespace));
        self.ip_behind(&format!("addr add 10.9.{net}.1/24 dev {far}"));
        if lit {
            self.ip_behind(&format!("link set {far} up"));
        }
    }

    fn serve(&mut self, name: &str, net: u8, options: &[&str]) {
        let path = |what: &str| self.directory.path().join(format!("{name}.{what}")).display().to_string();
        let mut command = self.behind("dnsmasq");
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null"])
            .args(["--port=0", "--user=root", "--bind-interfaces", "--log-dhcp", "--no-ping", "--dhcp-authoritative"])
            .arg(format!("--interface={name}-far"))
            .arg(format!("--dhcp-range=10.9.{net}.50,10.9.{net}.60,255.255.255.0,1h"))
            .arg(format!("--dhcp-leasefile={}", path("leases")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--log-facility={}", path("log")))
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.servers.push(command.spawn().unwrap());
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    fn up(&self, cmdline: &str, limit: Duration) -> Result<Network, NetError> {
        let network = Network::start(&Config::parse(&[cmdline]).unwrap(), self.directory.path())?;
        network.wait(limit)?;
        Ok(network)
    }

    fn resolv_conf(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("etc/resolv.conf")).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
    }
}

/// Runs in a network namespace of its own: that of this thread, and of those that it starts.
fn in_namespace(test: impl FnOnce(&mut Lab) + Send + 'static) {
    let tools = ["ip", "dnsmasq"].iter().all(|tool| {
        ["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|directory| Path::new(directory).join(tool).exists())
    });
    if !nix::unistd::geteuid().is_root() || !tools {
        burin_skip::skip!("needs root, iproute2 and dnsmasq");
        return;
    }
    let outcome = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        test(&mut Lab::new());
    });
    if let Err(panic) = outcome.join() {
        std::panic::resume_unwind(panic);
    }
}

fn eventually(what: &str, check: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn addresses(state: &NetworkState) -> Vec<Ipv4Addr> {
    let version4 = |address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    state.addresses().into_iter().filter_map(version4).collect()
}

#[test]
fn a_lease_with_every_option_is_applied_and_renewed() {
    in_namespace(|lab| {
        lab.cable("dark0", "02:00:00:00:00:01", 1, false);
        lab.cable("lit0", BOOT_MAC, 2, true);
        let options = [
            "--dhcp-option=option:router,10.9.2.1",
            "--dhcp-option=option:dns-server,10.9.2.3,10.9.2.4",
            "--dhcp-option=option:ntp-server,10.9.2.5",
            "--dhcp-option=option:mtu,1400",
            "--dhcp-option=option:domain-name,rack.example",
            "--dhcp-option=option:domain-search,a.example,b.example",
            "--dhcp-option=121,0.0.0.0/0,10.9.2.1,10.77.0.0/16,10.9.2.9",
            // dnsmasq makes T1 a little less than T2.
            "--dhcp-option-force=59,4",
        ];
        lab.serve("lit0", 2, &options);
        let network = lab.up("", LIMIT).unwrap();
        let state = network.state();
        let primary = state.primary().unwrap();
        assert_eq!(
            (primary.name.as_str(), primary.method, primary.addresses[0].prefix_len()),
            ("lit0", Method::Dhcp, 24)
        );
        assert!((50..=60).contains(&addresses(&state)[0].octets()[3]), "{primary}");
        assert_eq!(primary.gateway(), Some([10, 9, 2, 1].into()));
        assert_eq!(state.ntp_servers(), ["10.9.2.5"]);
        assert_eq!(
            lab.resolv_conf(),
            "search a.example b.example rack.example\nnameserver 10.9.2.3\nnameserver 10.9.2.4\n\
             options timeout:2 attempts:3\n"
        );
        let routes = shown("-4 route");
        assert!(routes.contains("default via 10.9.2.1 dev lit0") && routes.contains("metric 100"), "{routes}");
        assert!(routes.contains("10.77.0.0/16 via 10.9.2.9 dev lit0"), "{routes}");
        assert!(shown("link show lit0").contains("mtu 1400"));
        // The lease is asked for again after seconds, and stays.
        let log = lab.log("lit0");
        assert!(log.contains("vendor class: burin"), "{log}");
        let renewed = || lab.log("lit0").matches("DHCPACK").count() >= 3;
        eventually("two renewals", renewed);
        assert_eq!(addresses(&network.state()), addresses(&state));
        assert_eq!(lab.log("lit0").matches("DHCPDISCOVER").count(), log.matches("DHCPDISCOVER").count());
    });
}

#[test]
fn the_boot_nic_is_the_only_one_asked() {
    in_namespace(|lab| {
        lab.cable("first0", "02:00:00:00:00:01", 1, true);
        lab.cable("boot0", BOOT_MAC, 2, true);
        lab.serve("first0", 1, &[]);
        lab.serve("boot0", 2, &[]);
        let network = lab.up("BOOTIF=01-02-00-00-00-00-02", LIMIT).unwrap();
        let state = network.state();
        assert_eq!(state.interfaces.len(), 1);
        assert!(state.interfaces[0].boot && state.interfaces[0].name == "boot0");
        assert!(!lab.log("first0").contains("DHCPDISCOVER"));
    });
}

#[test]
fn every_nic_with_carrier_is_asked_and_the_first_has_the_default_route() {
    in_namespace(|lab| {
        lab.cable("one0", "02:00:00:00:00:01", 1, true);
        lab.cable("two0", BOOT_MAC, 2, true);
        lab.serve("one0", 1, &[]);
        lab.serve("two0", 2, &[]);
        let network = lab.up("", LIMIT).unwrap();
        eventually("two leases", || network.state().interfaces.len() == 2);
        let state = network.state();
        assert_eq!(state.interfaces.iter().map(|interface| interface.metric).collect::<Vec<_>>(), [100, 200]);
        let first = shown("-4 route get 192.0.2.1");
        assert!(first.contains(&format!("dev {}", state.interfaces[0].name)), "{first}");
    });
}

#[test]
fn carrier_that_comes_late_is_used() {
    in_namespace(|lab| {
        lab.cable("late0", BOOT_MAC, 2, false);
        let network = Network::start(&Config::parse(&[""]).unwrap(), lab.directory.path()).unwrap();
        assert_eq!(network.wait(Duration::from_millis(500)).unwrap_err().code(), "net.no_carrier");
        lab.ip_behind("link set late0-far up");
        lab.serve("late0", 2, &[]);
        network.wait(LIMIT).unwrap();
        assert_eq!(network.state().interfaces[0].name, "late0");
    });
}

#[test]
fn a_nic_that_is_pulled_and_put_back_works_again() {
    in_namespace(|lab| {
        lab.cable("lit0", BOOT_MAC, 2, true);
        lab.serve("lit0", 2, &[]);
        let network = lab.up("", LIMIT).unwrap();
        let before = addresses(&network.state());
        ip("link del lit0");
        eventually("no address", || network.state().interfaces.is_empty());
        lab.cable("lit0", BOOT_MAC, 2, true);
        // The server was bound to the cable that went.
        lab.serve("lit0", 2, &[]);
        eventually("an address again", || addresses(&network.state()) == before);
    });
}

#[test]
fn a_static_address_needs_no_server() {
    in_namespace(|lab| {
        lab.cable("other0", "02:00:00:00:00:01", 1, true);
        lab.cable("fixed0", BOOT_MAC, 2, true);
        let network = lab.up("ip=10.9.2.77::10.9.2.1:255.255.255.0:node:fixed0:none:10.9.2.3", LIMIT).unwrap();
        let state = network.state();
        assert_eq!((state.interfaces[0].method, addresses(&state)), (Method::Static, vec![[10, 9, 2, 77].into()]));
        assert!(shown("-4 route").contains("default via 10.9.2.1 dev fixed0"));
        assert!(lab.resolv_conf().contains("nameserver 10.9.2.3\n"));
    });
}

#[test]
fn what_is_missing_is_named() {
    in_namespace(|lab| {
        let short = Duration::from_millis(700);
        assert_eq!(lab.up("", short).unwrap_err().code(), "net.no_link");
        lab.cable("dark0", "02:00:00:00:00:01", 1, false);
        assert_eq!(lab.up("", short).unwrap_err().code(), "net.no_carrier");
        assert_eq!(lab.up("ip=:::::eth9:dhcp", short).unwrap_err().code(), "net.no_such_device");
        lab.cable("mute0", BOOT_MAC, 2, true);
        assert_eq!(lab.up("", short).unwrap_err().code(), "net.no_lease");
        assert!(lab.up("ip=off", short).unwrap().state().interfaces.is_empty());
    });
}

#[test]
fn a_server_that_moves_gives_a_new_address() {
    in_namespace(|lab| {
        lab.cable("lit0", BOOT_MAC, 2, true);
        lab.serve("lit0", 2, &["--dhcp-option-force=59,4"]);
        let network = lab.up("", LIMIT).unwrap();
        let before = addresses(&network.state());
        // The same cable, another subnet: the server refuses to renew, and the machine asks anew.
        let mut old = lab.servers.remove(0);
        old.kill().unwrap();
        old.wait().unwrap();
        lab.ip_behind("addr add 10.9.3.1/24 dev lit0-far");
        lab.serve("lit0", 3, &[]);
        eventually("a new address", || {
            let now = addresses(&network.state());
            now.len() == 1 && now != before && now[0].octets()[2] == 3
        });
        let listed = shown("-4 addr show dev lit0");
        assert!(!listed.contains(&before[0].to_string()), "{listed}");
    });
}
