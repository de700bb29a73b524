//! [`MachineSpec`] -> QEMU's command line. Pure, apart from the accelerator taken from the environment.

use super::spec::{BadSector, Boot, Bus, Disk, Firmware, MachineSpec, Nic, NicModel};
use std::path::Path;

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_SECURE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
pub(super) const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// `BURIN_QEMU_ACCEL` names another accelerator, for example `kvm`.
pub(super) fn accelerator() -> String {
    std::env::var("BURIN_QEMU_ACCEL").ok().filter(|a| !a.is_empty()).unwrap_or_else(|| "tcg,thread=multi".to_owned())
}

pub(super) fn build(spec: &MachineSpec, accelerator: &str) -> Vec<String> {
    let mut args = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(|w| (*w).to_owned()));

    add(&["-accel", accelerator, "-cpu", "max", "-nodefaults", "-display", "none"]);
    // Without graphics, SeaBIOS and iPXE use the serial port.
    match spec.secure_boot {
        None => add(&["-machine", "q35,graphics=off"]),
        // Only firmware in system management mode may write to the variables.
        Some(_) => {
            add(&["-machine", "q35,graphics=off,smm=on"]);
            add(&["-global", "driver=cfi.pflash01,property=secure,value=on"]);
            add(&["-global", "ICH9-LPC.disable_s3=1"]);
        }
    }
    processors(spec, &mut add);
    if spec.tpm {
        add(&["-chardev", &format!("socket,id=tpm,path={}", quoted(&super::tpm::socket(&spec.dir)))]);
        add(&["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0"]);
    }
    add(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    add(&["-qmp", &format!("unix:{},server=on,wait=off", quoted(&spec.dir.join("qmp.sock")))]);
    add(&["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"]);
    if spec.exit_on_reboot {
        add(&["-no-reboot"]);
    }
    if let Some(uuid) = &spec.uuid {
        add(&["-uuid", uuid]);
    }
    if let Some(serial) = &spec.serial {
        add(&["-smbios", &format!("type=1,serial={serial},manufacturer=Example,product=Server")]);
    }
    if spec.firmware == Firmware::Uefi {
        let code = if spec.secure_boot.is_some() { OVMF_SECURE } else { OVMF_CODE };
        add(&["-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={code}")]);
        add(&["-drive", &format!("if=pflash,unit=1,format=raw,file={}", quoted(&vars(spec)))]);
    }
    if let Boot::Kernel { kernel, initrd, cmdline } = &spec.boot {
        add(&["-kernel", &kernel.display().to_string(), "-initrd", &initrd.display().to_string()]);
        add(&["-append", cmdline]);
    }

    let mut next_index = 0;
    let mut boot_index = |wanted: bool| {
        if !wanted {
            return String::new();
        }
        next_index += 1;
        format!(",bootindex={next_index}")
    };
    for (number, nic) in spec.nics.iter().enumerate() {
        let index = boot_index(matches!(spec.boot, Boot::Network));
        add(&["-netdev", &netdev(number, nic), "-device", &nic_device(number, nic, &index)]);
    }
    let controllers = [
        (Bus::VirtioScsi, "virtio-scsi-pci,id=scsi"),
        (Bus::MegaRaid, "megasas,id=megaraid"),
        (Bus::Sas, "mptsas1068,id=sas"),
        (Bus::Usb, "qemu-xhci,id=usb"),
    ];
    for (_, device) in controllers.iter().filter(|(bus, _)| spec.disks.iter().any(|disk| disk.bus == *bus)) {
        add(&["-device", device]);
    }
    if let Some(first) = spec.disks.iter().find(|disk| disk.bus == Bus::NvmeNamespace) {
        add(&["-device", &format!("nvme,id=nvme,serial={}", first.serial)]);
    }
    for (number, disk) in spec.disks.iter().enumerate() {
        let index = boot_index(matches!(spec.boot, Boot::Network | Boot::Disks));
        if disk.hotplug {
            add(&["-device", &format!("pcie-root-port,id=slot{number},chassis={0},slot={0}", number + 1)]);
        }
        let device = disk_device(&spec.disks, number, disk);
        let properties = disk_properties(number, disk);
        add(&["-drive", &drive(number, disk), "-device", &format!("{device}{properties}{index}")]);
    }
    args.extend(spec.extra.iter().cloned());
    args
}

fn processors(spec: &MachineSpec, add: &mut impl FnMut(&[&str])) {
    let per_socket = spec.cpus / spec.sockets;
    add(&["-m", &spec.memory_mib.to_string()]);
    add(&["-smp", &format!("{},sockets={},cores={per_socket},threads=1", per_socket * spec.sockets, spec.sockets)]);
    for node in (0..spec.sockets).filter(|_| spec.sockets > 1) {
        let (first, last) = (node * per_socket, node * per_socket + per_socket - 1);
        let memory = spec.memory_mib / spec.sockets;
        add(&["-object", &format!("memory-backend-ram,id=node{node},size={memory}M")]);
        add(&["-numa", &format!("node,nodeid={node},cpus={first}-{last},memdev=node{node}")]);
    }
}

pub(super) fn vars(spec: &MachineSpec) -> std::path::PathBuf {
    spec.dir.join("OVMF_VARS.fd")
}

fn netdev(number: usize, nic: &Nic) -> String {
    if let Some(behind) = &nic.behind {
        return format!("{behind},id=net{number}");
    }
    let mut text = format!("user,id=net{number}");
    if let Some(root) = &nic.tftp {
        text += &format!(",tftp={}", quoted(root));
    }
    if let Some(file) = &nic.bootfile {
        text += &format!(",bootfile={}", file.replace(',', ",,"));
    }
    if let Some((host, guest)) = nic.forward {
        text += &format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
    }
    text
}

fn nic_device(number: usize, nic: &Nic, index: &str) -> String {
    let model = match nic.model {
        NicModel::Virtio => "virtio-net-pci",
        NicModel::E1000e => "e1000e",
        NicModel::Vmxnet3 => "vmxnet3",
    };
    // QEMU gives them a ROM with iPXE.
    format!("{model},id=nic{number},netdev=net{number},mac={}{index}", nic.mac)
}

fn drive(number: usize, disk: &Disk) -> String {
    let read_only = if disk.read_only { ",readonly=on" } else { "" };
    let path = quoted(&disk.path);
    let file = match disk.bad {
        None if disk.served => {
            format!("file.driver=nbd,file.server.type=unix,file.server.path={path}")
        }
        None => format!("file={path}"),
        Some(bad) => {
            let (kind, byte) = match bad {
                BadSector::Write(byte) => ("write", byte),
                BadSector::Read(byte) => ("read", byte),
            };
            // Event `none`: the rule applies from the start.
            let rule = format!("event=none,iotype={kind},sector={},errno=5", byte / 512);
            let rule: Vec<String> = rule.split(',').map(|word| format!("file.inject-error.0.{word}")).collect();
            format!("file.driver=blkdebug,file.image.driver=file,file.image.filename={path},{}", rule.join(","))
        }
    };
    // Discards reach the file, so that tests see what the agent discards.
    format!("if=none,id=disk{number},format=raw,discard=unmap,{file}{read_only}")
}

/// On a bus with numbers, a disk gets the next one.
fn disk_device(disks: &[Disk], number: usize, disk: &Disk) -> String {
    let earlier = |buses: &[Bus]| disks[..number].iter().filter(|disk| buses.contains(&disk.bus)).count();
    match disk.bus {
        Bus::Sata => format!("ide-hd,bus=ide.{}", earlier(&[Bus::Sata, Bus::Cdrom])),
        Bus::Cdrom => format!("ide-cd,bus=ide.{}", earlier(&[Bus::Sata, Bus::Cdrom])),
        Bus::Nvme => "nvme".to_owned(),
        Bus::NvmeNamespace => format!("nvme-ns,bus=nvme,nsid={}", earlier(&[Bus::NvmeNamespace]) + 1),
        Bus::VirtioBlk => "virtio-blk-pci".to_owned(),
        Bus::VirtioScsi => "scsi-hd,bus=scsi.0".to_owned(),
        Bus::MegaRaid => "scsi-hd,bus=megaraid.0".to_owned(),
        Bus::Sas => "scsi-hd,bus=sas.0".to_owned(),
        Bus::Usb => "usb-storage,bus=usb.0".to_owned(),
    }
}

fn disk_properties(number: usize, disk: &Disk) -> String {
    let Disk { bus, serial, sector, properties, hotplug, .. } = disk;
    let serial = if *bus == Bus::NvmeNamespace { String::new() } else { format!(",serial={serial}") };
    let sectors = match bus {
        Bus::Sata | Bus::Cdrom => String::new(),
        _ => format!(",logical_block_size={sector},physical_block_size={sector}"),
    };
    let slot = if *hotplug { format!(",bus=slot{number}") } else { String::new() };
    format!(",drive=disk{number},id=dev{number}{serial}{sectors}{slot}{properties}")
}

/// A comma in a path would end the option.
fn quoted(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(spec: &MachineSpec) -> String {
        build(spec, "tcg").join(" ")
    }

    #[test]
    fn network_comes_before_disks() {
        let spec = MachineSpec::new("/run/vm", Firmware::Uefi)
            .disk(Disk::new(Bus::Nvme, "/a,b.raw", "S1").four_k())
            .nic(Nic::new(NicModel::Virtio, "52:54:00:00:00:01").bootfile("http://10.0.2.2:1/boot"));
        let line = line(&spec);
        assert!(line.contains("nic0,netdev=net0,mac=52:54:00:00:00:01,bootindex=1"), "{line}");
        assert!(
            line.contains("id=dev0,serial=S1,logical_block_size=4096,physical_block_size=4096,bootindex=2"),
            "{line}"
        );
        assert!(line.contains("file=/a,,b.raw"), "{line}");
        assert!(line.contains("bootfile=http://10.0.2.2:1/boot"), "{line}");
    }

    #[test]
    fn disks_are_told_apart_by_bus_and_slot() {
        let disk = |bus, serial: &str| Disk::new(bus, "/d", serial);
        let spec = MachineSpec::new("/run/vm", Firmware::Bios)
            .sockets(2)
            .disk(disk(Bus::NvmeNamespace, "N1"))
            .disk(disk(Bus::Sata, "S1"))
            .disk(disk(Bus::NvmeNamespace, "N2").four_k().with("eui64=0x1"))
            .disk(disk(Bus::Cdrom, "C1"))
            .disk(disk(Bus::VirtioBlk, "V1").in_a_slot().bad(BadSector::Write(10 << 20)))
            .disk(Disk::new(Bus::VirtioScsi, "/s", "R1").served());
        let line = line(&spec);
        for wanted in [
            "nvme,id=nvme,serial=N1 ",
            "nvme-ns,bus=nvme,nsid=1,drive=disk0,id=dev0,logical_block_size=512",
            "nsid=2,drive=disk2,id=dev2,logical_block_size=4096,physical_block_size=4096,eui64=0x1,bootindex=3",
            "ide-hd,bus=ide.0,drive=disk1,id=dev1,serial=S1,bootindex=2",
            "ide-cd,bus=ide.1",
            "id=disk3,format=raw,discard=unmap,file=/d,readonly=on",
            "file.driver=nbd,file.server.type=unix,file.server.path=/s",
            "virtio-blk-pci,drive=disk4,id=dev4,serial=V1,logical_block_size=512,physical_block_size=512,bus=slot4",
            "file.inject-error.0.iotype=write,file.inject-error.0.sector=20480,file.inject-error.0.errno=5",
            "-smp 2,sockets=2,cores=1,threads=1",
            "node,nodeid=1,cpus=1-1,memdev=node1",
        ] {
            assert!(line.contains(wanted), "{wanted} is not in {line}");
        }
    }

    #[test]
    fn a_kernel_needs_no_boot_order() {
        let boot = Boot::Kernel { kernel: "/k".into(), initrd: "/i".into(), cmdline: "a b=c".into() };
        let spec = MachineSpec::new("/run/vm", Firmware::Bios).disk(Disk::new(Bus::Sata, "/d", "S")).boot(boot);
        let args = build(&spec, "tcg");
        assert!(!args.iter().any(|arg| arg.contains("bootindex")), "{args:?}");
        assert!(!args.iter().any(|arg| arg.contains("pflash")), "{args:?}");
        assert!(args.windows(2).any(|pair| pair == ["-append", "a b=c"]), "{args:?}");
    }
}
