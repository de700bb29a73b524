//! Networks that only a guest's kernel has: a tagged VLAN on a channel of two NICs, and IPv6 alone.

use burin_tests::controller::{Controller, Observation};
use burin_tests::deploy::{Netboot, built, start_controller, start_controller_as};
use burin_tests::vm::{Boot, Bus, Disk, DiskFile, Firmware, MachineSpec, Nic, NicModel, PortRules, Switch};
use burin_tests::vm::{Dirt, Slot};
use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

const MAC: [&str; 2] = ["52:54:00:b0:00:11", "52:54:00:b0:00:12"];
const VLAN: u16 = 100;
/// The host's loopback on QEMU's user network, by IPv6.
const HOST6: &str = "[fec0::2]";

#[test]
fn a_tagged_network_on_a_channel_of_two() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let controller = start_controller(dir.path(), &netboot, dir.path()).unwrap();
    let switch = Switch::start(2, PortRules { vlan: Some(VLAN), lacp: true }, "").unwrap();
    // A port whose duplex is not known, as virtio's, takes no part in LACP.
    let nics = [0, 1].map(|port| Nic::new(NicModel::E1000e, MAC[port]).behind(switch.netdev(port)));
    let words = format!(
        "bond=bond0:eth0,eth1:mode=802.3ad,lacp_rate=fast vlan=bond0.{VLAN}:bond0 ip=:::::bond0.{VLAN}:dhcp \
         burin.controller={}",
        controller.public_url()
    );
    let url = hello(dir.path(), &netboot, &controller, nics.to_vec(), &words);
    assert!(url.contains("//10.0.2."), "{url}: the address of the VLAN");
    let heard = [0, 1].map(|port| switch.heard(port));
    assert!(heard.iter().all(|heard| *heard > 0), "LACPDUs at both ports: {heard:?}");
    println!("LACPDUs {heard:?}, dropped {:?}", [0, 1].map(|port| switch.dropped(port)));
}

#[test]
fn a_network_of_version_6_alone() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let controller = start_controller_as(dir.path(), &netboot, dir.path(), |options| {
        options.listen = (Ipv6Addr::LOCALHOST, port).into();
        options.public_url = Some(format!("http://{HOST6}:{port}"));
    })
    .unwrap();
    let nic = Nic::new(NicModel::E1000e, MAC[0]).behind("user,ipv4=off,ipv6=on");
    let words = format!("burin.controller={} BOOTIF=01-{}", controller.public_url(), MAC[0].replace(':', "-"));
    let url = hello(dir.path(), &netboot, &controller, vec![nic], &words);
    assert!(url.contains("//[fec0:"), "{url}: an address of the advertised prefix");
}

/// Where the agent says that its own API is, in the hello that arrives.
fn hello(dir: &Path, netboot: &Netboot, controller: &Controller, nics: Vec<Nic>, words: &str) -> String {
    let disk = DiskFile::new(dir.join("disk.raw"));
    Dirt::new(64 << 20, 1 << 20, 71).create(&disk).unwrap();
    let seen = controller.subscribe();
    let mut spec = MachineSpec::new(dir, Firmware::Bios)
        .identity("b0b0b0b0-0000-4000-8000-000000000011", "RACK-1")
        .disk(Disk::new(Bus::VirtioBlk, disk.path(), "DISK"))
        .boot(Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            cmdline: format!("console=ttyS0,115200 {words}"),
        });
    for nic in nics {
        spec = spec.nic(nic);
    }
    let machine = spec.start().unwrap();
    loop {
        match seen.recv_timeout(Duration::from_secs(600)) {
            Ok(Observation::Hello { hello, .. }) => return hello.api.map(|api| api.url).unwrap_or_default(),
            Ok(_) => {}
            Err(_) => panic!("no hello; the console:\n{}", machine.console().tail(60)),
        }
    }
}
