//! Machines that boot from the ISO, as a CD under BIOS and as a stick under UEFI, and find their controller through the
//! medium's parameters, because there is no DHCP.

use burin_initramfs::iso::{IsoOptions, iso};
use burin_tests::controller::Observation;
use burin_tests::deploy::{built, start_controller};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, MachineSpec, Nic, NicModel, Slot};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

const MAC: &str = "52:54:00:b0:00:0e";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 77);

#[test]
fn a_cd_with_bios() {
    starts(Firmware::Bios, Bus::Cdrom, "CD-1");
}

#[test]
fn a_stick_with_uefi() {
    starts(Firmware::Uefi, Bus::Usb, "STICK-1");
}

fn starts(firmware: Firmware, bus: Bus, serial: &str) {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let controller = start_controller(dir, &netboot, dir).unwrap();
    let conf = dir.join("burin.conf");
    // A section for each machine by another kind of name, and one for a foreign machine.
    let text = format!(
        "# rack 7\nburin.controller={}\n[serial={serial}]\nburin.attr.rack=7\n[serial=OTHER]\nburin.controller=http://127.0.0.1:1\n\
         [mac={}]\nip={ADDRESS}::10.0.2.2:255.255.255.0::eth0:none\n",
        controller.public_url(),
        MAC.replace(':', "-"),
    );
    std::fs::write(&conf, text).unwrap();
    let image = dir.join("burin.iso");
    let options = IsoOptions {
        from: netboot.dir.clone(),
        output: image.clone(),
        label: "BURIN".to_owned(),
        conf: Some(conf),
        files: vec![],
        cmdline: vec![],
        mtime: 0,
    };
    iso(&options, &mut |_| {}).unwrap();

    let packets = dir.join("packets.pcap");
    let dump = format!("filter-dump,id=dump,netdev=net0,file={}", packets.display());
    let seen = controller.subscribe();
    let machine = MachineSpec::new(dir, firmware)
        .identity("b0b0b0b0-0000-4000-8000-00000000000e", serial)
        .disk(Disk::new(bus, &image, "MEDIUM").read_only())
        .nic(Nic::new(NicModel::E1000e, MAC))
        .extra(["-object", &dump])
        .boot(Boot::Disks)
        .start()
        .unwrap();
    let hello = loop {
        match seen.recv_timeout(Duration::from_secs(600)) {
            Ok(Observation::Hello { hello, .. }) => break hello,
            Ok(_) => {}
            Err(_) => panic!("no hello; the console:\n{}", machine.console().tail(60)),
        }
    };
    assert_eq!(hello.identity.serial.as_deref(), Some(serial));
    assert!(hello.api.is_some_and(|api| api.url.contains(&ADDRESS.to_string())), "the address of the medium");
    let told = machine.console().text();
    // On a stick, the editable volume is used.
    let kind = if bus == Bus::Usb { "(vfat)" } else { "(iso9660)" };
    let line = told.lines().find(|line| line.contains("init: boot medium: ")).unwrap_or_default();
    assert!(line.contains(kind), "{line}\n{told}");
    let inventory: hwinventory::Inventory = serde_json::from_value(hello.inventory).unwrap();
    let medium: Vec<_> = inventory.disks.data.iter().filter(|disk| disk.boot_medium).collect();
    assert_eq!(medium.len(), 1, "no order may overwrite what the machine was started from");
    machine.cut_power();
    assert!(!has_dhcp(&packets), "nobody asked for an address");
}

/// A hybrid ISO as the image of an order: it stays as it is, its EFI system partition is found, and the entry for its
/// fallback loader boots it.
#[test]
#[ignore = "on demand: scripts/test --hybrid"]
fn a_hybrid_iso_that_an_order_wrote_boots() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (images, disk) = (dir.join("images"), DiskFile::new(dir.join("disk.raw")));
    std::fs::create_dir(&images).unwrap();
    Dirt::new(1 << 30, 16 << 20, 61).create(&disk).unwrap();
    let controller = start_controller(dir, &netboot, &images).unwrap();
    let url = controller.public_url();
    let conf = dir.join("burin.conf");
    std::fs::write(&conf, format!("burin.controller={url}\n")).unwrap();
    let options = IsoOptions {
        from: netboot.dir.clone(),
        output: images.join("burin.iso"),
        label: "BURIN".to_owned(),
        conf: Some(conf),
        files: vec![],
        cmdline: vec![],
        mtime: 0,
    };
    iso(&options, &mut |_| {}).unwrap();
    let image = std::fs::read(&options.output).unwrap();
    let order = serde_json::json!({
        "version": "order/v1", "id": "hybrid", "images": { "iso": { "urls": [format!("{url}/images/burin.iso")] } },
        "layouts": [{ "name": "iso", "disks": { "root": { "image": "iso", "on_existing": "destroy" } } }],
        "policies": { "finish": "hold" }
    });
    controller.put_order(MAC, order.to_string()).unwrap();
    let spec = || {
        MachineSpec::new(dir, Firmware::Uefi)
            .identity("b0b0b0b0-0000-4000-8000-00000000001e", "HYBRID")
            .disk(Disk::new(Bus::Nvme, disk.path(), "HYBRID-1"))
            .nic(Nic::new(NicModel::E1000e, MAC))
    };
    let cmdline = format!("console=ttyS0,115200 burin.controller={url} BOOTIF=01-{}", MAC.replace(':', "-"));
    let kernel = Boot::Kernel { kernel: netboot.kernel(), initrd: netboot.initramfs(), cmdline };
    let machine = spec().boot(kernel).start().unwrap();
    let receipt = controller.wait_receipt("hybrid", Duration::from_secs(600));
    let (_, receipt) = receipt.unwrap_or_else(|| panic!("no receipt\n{}", machine.console().tail(60)));
    assert_eq!(receipt.problem, None, "{}", machine.console().tail(60));
    let entry = receipt.changes.iter().find(|change| change.step == "boot-entry").expect("an entry");
    assert!(entry.detail.to_string().to_uppercase().contains("BOOTX64.EFI"), "{}", entry.detail);
    machine.cut_power();
    assert!(disk.read(0, image.len()).unwrap() == image, "byte for byte");

    let machine = spec().boot(Boot::FirmwareOrder).start().unwrap();
    let console = machine.console();
    console.wait_for("init: boot medium: ", Duration::from_secs(600)).unwrap_or_else(|error| panic!("{error}"));
    let text = console.text();
    assert!(text.lines().any(|line| line.contains("BdsDxe: starting Boot") && line.contains("hybrid")), "{text}");
    machine.cut_power();
}

/// UDP from port 68 anywhere in the capture, recognised by the ports `0, 68, 0, 67`.
fn has_dhcp(capture: &Path) -> bool {
    let bytes = std::fs::read(capture).unwrap();
    assert!(bytes.len() > 1000, "the capture has the conversation with the controller");
    bytes.windows(4).any(|ports| ports == [0, 68, 0, 67])
}
