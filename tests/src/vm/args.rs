//! [`MachineSpec`] -> QEMU's command line. Pure, apart from the accelerator taken from the environment.

use super::spec::{Boot, Bus, Disk, Firmware, MachineSpec, Nic, NicModel};
use std::path::Path;

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
pub(super) const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// `BURIN_QEMU_ACCEL` names another accelerator, for example `kvm`.
pub(super) fn accelerator() -> String {
    std::env::var("BURIN_QEMU_ACCEL").ok().filter(|a| !a.is_empty()).unwrap_or_else(|| "tcg,thread=multi".to_owned())
}

pub(super) fn build(spec: &MachineSpec, accelerator: &str) -> Vec<String> {
    let mut args = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(|w| (*w).to_owned()));

    add(&["-accel", accelerator, "-cpu", "max", "-nodefaults", "-display", "none"]);
    // Without graphics SeaBIOS and iPXE speak on the serial port.
    add(&["-machine", "q35,graphics=off"]);
    add(&["-m", &spec.memory_mib.to_string(), "-smp", &spec.cpus.to_string()]);
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
        add(&["-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}")]);
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
    if spec.disks.iter().any(|disk| disk.bus == Bus::VirtioScsi) {
        add(&["-device", "virtio-scsi-pci,id=scsi"]);
    }
    for (number, disk) in spec.disks.iter().enumerate() {
        let index = boot_index(matches!(spec.boot, Boot::Network | Boot::Disks));
        add(&["-drive", &drive(number, disk), "-device", &disk_device(number, disk, &index)]);
    }
    args.extend(spec.extra.iter().cloned());
    args
}

pub(super) fn vars(spec: &MachineSpec) -> std::path::PathBuf {
    spec.dir.join("OVMF_VARS.fd")
}

fn netdev(number: usize, nic: &Nic) -> String {
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
    };
    // QEMU gives both models a ROM with iPXE for BIOS and UEFI.
    format!("{model},id=nic{number},netdev=net{number},mac={}{index}", nic.mac)
}

fn drive(number: usize, disk: &Disk) -> String {
    let read_only = if disk.read_only { ",readonly=on" } else { "" };
    // Discard reaches the file, so that a test sees what the agent discards.
    format!("if=none,id=disk{number},format=raw,discard=unmap,file={}{read_only}", quoted(&disk.path))
}

fn disk_device(number: usize, disk: &Disk, index: &str) -> String {
    let Disk { serial, sector, .. } = disk;
    let sectors = format!("logical_block_size={sector},physical_block_size={sector}");
    match disk.bus {
        Bus::Nvme => format!("nvme,drive=disk{number},serial={serial},{sectors}{index}"),
        Bus::Sata => format!("ide-hd,drive=disk{number},bus=ide.{number},serial={serial}{index}"),
        Bus::VirtioBlk => format!("virtio-blk-pci,drive=disk{number},serial={serial},{sectors}{index}"),
        Bus::VirtioScsi => format!("scsi-hd,drive=disk{number},bus=scsi.0,serial={serial},{sectors}{index}"),
    }
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
        assert!(line.contains("serial=S1,logical_block_size=4096,physical_block_size=4096,bootindex=2"), "{line}");
        assert!(line.contains("file=/a,,b.raw"), "{line}");
        assert!(line.contains("bootfile=http://10.0.2.2:1/boot"), "{line}");
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
