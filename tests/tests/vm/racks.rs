//! Networks that need a guest's kernel: a tagged VLAN on a LAG of two NICs, and IPv6 only, starting with UEFI HTTP
//! Boot. Also a watchdog, which this host does not have.

use burin_initramfs::arch::Arch;
use burin_initramfs::uki;
use burin_tests::controller::{Controller, Observation};
use burin_tests::deploy::{Image, Netboot, OrderBuilder, built, start_controller, start_controller_as};
use burin_tests::vm::nbd::{self, Told, Verdict};
use burin_tests::vm::{Boot, Bus, Disk, DiskFile, Firmware, MachineSpec, Nic, NicModel, PortRules, Switch};
use burin_tests::vm::{Dirt, Slot};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MAC: [&str; 2] = ["52:54:00:b0:00:11", "52:54:00:b0:00:12"];
const VLAN: u16 = 100;
/// The host's loopback on QEMU's user network, over IPv6.
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
    let switch = Switch::start(2, PortRules { lacp: true, ..PortRules::tagged(VLAN) }, "").unwrap();
    // A port with unknown duplex, like virtio's, does not take part in LACP.
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

/// The VLAN is not on the command line: the switch announces it.
#[test]
#[ignore = "on demand: scripts/test --racks"]
fn a_tagged_network_that_the_switch_names() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let controller = start_controller(dir.path(), &netboot, dir.path()).unwrap();
    let switch = Switch::start(1, PortRules { lldp: true, ..PortRules::tagged(VLAN) }, "").unwrap();
    let nic = Nic::new(NicModel::E1000e, MAC[0]).behind(switch.netdev(0));
    let words = format!("burin.vlan=lldp burin.controller={}", controller.public_url());
    let url = hello(dir.path(), &netboot, &controller, vec![nic], &words);
    assert!(url.contains("//10.0.2."), "{url}: the address of the VLAN");
}

/// An IPv6-only network from the firmware on: OVMF gets the unified image by HTTP, and the agent says hello.
#[test]
#[ignore = "on demand: scripts/test --racks"]
fn uefi_http_boot_of_version_6() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    // Everything that this thread starts is in a separate network.
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        return burin_skip::skip!("no network namespace: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for words in
        ["link set lo up", "tuntap add tap0 mode tap", "addr add fd00::1/64 dev tap0 nodad", "link set tap0 up"]
    {
        assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
    }
    let controller = start_controller_as(dir, &netboot, dir, |options| {
        options.listen = (Ipv6Addr::UNSPECIFIED, 80).into();
        options.public_url = Some("http://[fd00::1]".to_owned());
    })
    .unwrap();
    unified_image(&netboot, &dir.join("burin.efi"), &format!("burin.controller={}", controller.public_url()));
    let _dhcp = address_server("http://[fd00::1]/images/burin.efi");
    // OVMF's own driver, and no PXE before HTTP.
    let spec = MachineSpec::new(dir, Firmware::Uefi)
        .identity("b0b0b0b0-0000-4000-8000-000000000013", "RACK-3")
        .memory_mib(2048)
        .nic(Nic::new(NicModel::Virtio, MAC[0]).behind("tap,ifname=tap0,script=no,downscript=no"))
        .extra(["-global", "virtio-net-pci.romfile="])
        .extra(["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"])
        .extra(["-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"]);
    let url = hello_of(dir, &controller, spec.boot(Boot::Network));
    assert!(url.contains("//[fd00:"), "{url}: an address of version 6");
}

fn unified_image(netboot: &Netboot, path: &Path, words: &str) {
    let stub = std::fs::read("/usr/lib/systemd/boot/efi/linuxx64.efi.stub").unwrap();
    let (kernel, initrd) = (std::fs::read(netboot.kernel()).unwrap(), std::fs::read(netboot.initramfs()).unwrap());
    let cmdline = format!("console=ttyS0,115200 {words}");
    let (os_release, uname, sbat) = ("ID=burin\n", "", "");
    let parts = uki::Parts { os_release, cmdline: &cmdline, uname, kernel: &kernel, initrd: &initrd, sbat };
    std::fs::write(path, uki::build(&stub, &parts, Arch::X86_64).unwrap()).unwrap();
}

/// Router advertisements and DHCPv6. Firmware accepts a URL for HTTP Boot if the vendor class (option 16) is
/// `HTTPClient`, preceded by a four-byte number and a two-byte length. dnsmasq writes strings, each preceded by a
/// two-byte length: the first string's length and its two characters are read as the number.
fn address_server(url: &str) -> Ends {
    let dnsmasq = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0"])
        .args(["--interface=tap0", "--bind-interfaces", "--enable-ra", "--leasefile-ro", "--log-facility=-"])
        .args(["--dhcp-range=fd00::100,fd00::1ff,64,1h", "--dhcp-option=option6:16,ab,HTTPClient"])
        .arg(format!("--dhcp-option=option6:59,{url}"))
        .spawn()
        .unwrap();
    Ends(dnsmasq)
}

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A watchdog is fed while the machine waits for an order and while bytes are written; once the disk no longer answers,
/// it resets the machine.
#[test]
#[ignore = "on demand: scripts/test --racks"]
fn a_watchdog_ends_an_agent_that_is_stuck() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let image = Image::small(dir, "small.raw.zst", 64 << 20).unwrap();
    let controller = start_controller(dir, &netboot, dir).unwrap();
    let file = DiskFile::new(dir.join("disk.raw"));
    Dirt::new(512 << 20, 64 << 20, 72).create(&file).unwrap();
    let socket = dir.join("disk.sock");
    // QEMU's reset waits for what its disks have begun.
    let (answers, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (may_answer, is_held) = (answers.clone(), held.clone());
    nbd::serve(&socket, file.path(), move |told| {
        while matches!(told, Told::Write { .. }) && !may_answer.load(Ordering::Acquire) {
            is_held.store(true, Ordering::Release);
            std::thread::sleep(Duration::from_millis(100));
        }
        Verdict::Done
    })
    .unwrap();
    let seen = controller.subscribe();
    let words = format!("burin.watchdog=on,20 burin.controller={}", controller.public_url());
    let mut machine = MachineSpec::new(dir, Firmware::Bios)
        .identity("b0b0b0b0-0000-4000-8000-000000000014", "RACK-4")
        .disk(Disk::new(Bus::VirtioBlk, &socket, "DISK").served())
        .nic(Nic::new(NicModel::Virtio, MAC[0]))
        .extra(["-device", "i6300esb", "-action", "watchdog=reset"])
        .exit_on_reboot()
        .boot(kernel(&netboot, &words))
        .start()
        .unwrap();
    loop {
        match seen.recv_timeout(Duration::from_secs(600)) {
            Ok(Observation::Hello { .. }) => break,
            Ok(_) => {}
            Err(_) => panic!("no hello; the console:\n{}", machine.console().tail(60)),
        }
    }
    // Twice the timeout of this watchdog (30 s), and a multiple of the agent's patience.
    std::thread::sleep(Duration::from_secs(75));
    assert!(machine.is_running(), "fed while it waits for an order:\n{}", machine.console().tail(60));
    let told = machine.console().text();
    assert!(told.contains("fed while work makes progress"), "{told}");
    let order = OrderBuilder::new("stuck", "nobody", &format!("{}/images", controller.public_url()), &image)
        .set("/layouts/0/disks/system/match", json!({ "serial": "DISK" }))
        .set("/layouts/0/disks/system/grow", Value::Null)
        .set("/seed", Value::Null)
        .set("/policies/finish", json!("hold"));
    controller.put_order(MAC[0], order.json()).unwrap();
    let left = "no progress for 20 s: the watchdog is no longer fed";
    machine.console().wait_for(left, Duration::from_secs(240)).unwrap_or_else(|error| panic!("{error}"));
    assert!(held.load(Ordering::Acquire), "the disk was asked for nothing");
    // Longer than it takes to fire. An agent that nothing has reset would go on now, and stay.
    std::thread::sleep(Duration::from_secs(45));
    answers.store(true, Ordering::Release);
    let status = machine.wait_exit(Duration::from_secs(120));
    assert!(status.is_ok(), "the watchdog did not fire:\n{}", machine.console().text());
}

/// The address of the agent's own API, from the hello that arrives.
fn hello(dir: &Path, netboot: &Netboot, controller: &Controller, nics: Vec<Nic>, words: &str) -> String {
    let spec = MachineSpec::new(dir, Firmware::Bios)
        .identity("b0b0b0b0-0000-4000-8000-000000000011", "RACK-1")
        .boot(kernel(netboot, words));
    hello_of(dir, controller, nics.into_iter().fold(spec, MachineSpec::nic))
}

fn kernel(netboot: &Netboot, words: &str) -> Boot {
    Boot::Kernel {
        kernel: netboot.kernel(),
        initrd: netboot.initramfs(),
        cmdline: format!("console=ttyS0,115200 {words}"),
    }
}

fn hello_of(dir: &Path, controller: &Controller, spec: MachineSpec) -> String {
    let disk = DiskFile::new(dir.join("disk.raw"));
    Dirt::new(64 << 20, 1 << 20, 71).create(&disk).unwrap();
    let seen = controller.subscribe();
    let machine = spec.disk(Disk::new(Bus::VirtioBlk, disk.path(), "DISK")).start().unwrap();
    loop {
        match seen.recv_timeout(Duration::from_secs(600)) {
            Ok(Observation::Hello { hello, .. }) => return hello.api.map(|api| api.url).unwrap_or_default(),
            Ok(_) => {}
            Err(_) => panic!("no hello; the console:\n{}", machine.console().tail(60)),
        }
    }
}
