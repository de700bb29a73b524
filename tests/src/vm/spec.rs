//! The configuration of a machine.

use super::{Machine, VmError};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF, with its own variables, which survive a reboot.
    Uefi,
}

impl std::fmt::Display for Firmware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// A separate controller with one namespace.
    Nvme,
    /// Namespaces of one controller, numbered from 1 in the order given; its serial number is the first one's.
    NvmeNamespace,
    /// AHCI, ports in the order given.
    Sata,
    /// AHCI, a read-only medium in a drive.
    Cdrom,
    VirtioBlk,
    VirtioScsi,
    /// LSI MegaRAID: each disk is a logical volume.
    MegaRaid,
    /// LSI SAS 1068.
    Sas,
    /// USB storage.
    Usb,
}

/// A fault of a disk: requests of this kind that touch the byte fail with EIO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadSector {
    Write(u64),
    Read(u64),
}

/// A raw file as a disk.
#[derive(Debug, Clone)]
pub struct Disk {
    pub bus: Bus,
    pub path: PathBuf,
    pub serial: String,
    /// Logical sector size in bytes, 512 or 4096. QEMU's AHCI supports only 512.
    pub sector: u32,
    pub read_only: bool,
    pub(super) bad: Option<BadSector>,
    pub(super) served: bool,
    pub(super) hotplug: bool,
    pub(super) properties: String,
}

impl Disk {
    pub fn new(bus: Bus, path: impl Into<PathBuf>, serial: &str) -> Self {
        Self {
            bus,
            path: path.into(),
            serial: serial.to_owned(),
            sector: 512,
            read_only: bus == Bus::Cdrom,
            bad: None,
            served: false,
            hotplug: false,
            properties: String::new(),
        }
    }

    /// Puts QEMU's blkdebug between the file and the disk.
    pub fn bad(mut self, bad: BadSector) -> Self {
        self.bad = Some(bad);
        self
    }

    /// `path` is the socket of a server ([`super::nbd`]).
    pub fn served(mut self) -> Self {
        self.served = true;
        self
    }

    /// In a PCIe slot of its own, from which [`super::Qmp::unplug`] can remove it. For NVMe and virtio-blk; SCSI and
    /// USB disks can be removed anyway.
    pub fn in_a_slot(mut self) -> Self {
        self.hotplug = true;
        self
    }

    /// More properties of QEMU's device, verbatim: `wwn=0x5000c500a1b2c3d4`.
    pub fn with(mut self, properties: &str) -> Self {
        self.properties += &format!(",{properties}");
        self
    }

    /// Native 4096-byte sectors.
    pub fn four_k(mut self) -> Self {
        self.sector = 4096;
        self
    }

    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NicModel {
    Virtio,
    E1000e,
    Vmxnet3,
}

/// A network card with iPXE in its ROM (vmxnet3: BIOS only), on a user network of its own where the host's loopback is 10.0.2.2.
#[derive(Debug, Clone)]
pub struct Nic {
    pub model: NicModel,
    pub mac: String,
    /// Root of the built-in TFTP server.
    pub tftp: Option<PathBuf>,
    /// The boot file in DHCP: a name below `tftp`, or a URL, which iPXE accepts too.
    pub bootfile: Option<String>,
    /// Cable plugged in.
    pub carrier: bool,
    /// A port on the host's loopback that is forwarded to a port of the guest.
    pub forward: Option<(u16, u16)>,
    /// QEMU's options for a network other than the user network, without the id.
    pub(super) behind: Option<String>,
}

impl Nic {
    pub fn new(model: NicModel, mac: &str) -> Self {
        Self { model, mac: mac.to_owned(), tftp: None, bootfile: None, carrier: true, forward: None, behind: None }
    }

    pub fn bootfile(mut self, bootfile: impl Into<String>) -> Self {
        self.bootfile = Some(bootfile.into());
        self
    }

    pub fn tftp(mut self, root: impl Into<PathBuf>) -> Self {
        self.tftp = Some(root.into());
        self
    }

    /// Forwards this port on the host's loopback to that of the guest.
    pub fn forward(mut self, host: u16, guest: u16) -> Self {
        self.forward = Some((host, guest));
        self
    }

    /// On another network instead of its own user network: `socket,udp=...`, as from [`super::Switch::netdev`].
    pub fn behind(mut self, netdev: impl Into<String>) -> Self {
        self.behind = Some(netdev.into());
        self
    }

    pub fn unplugged(mut self) -> Self {
        self.carrier = false;
        self
    }
}

/// What the machine boots from.
#[derive(Debug, Clone)]
pub enum Boot {
    /// NICs first, then disks, in the order given.
    Network,
    /// Disks only.
    Disks,
    /// As in the firmware's own variables; QEMU sets no order.
    FirmwareOrder,
    /// QEMU loads the kernel: the fastest way to the agent.
    Kernel { kernel: PathBuf, initrd: PathBuf, cmdline: String },
}

#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// The machine's own files: firmware variables, console log, monitor socket.
    pub(super) dir: PathBuf,
    pub(super) firmware: Firmware,
    pub(super) memory_mib: u32,
    pub(super) cpus: u32,
    pub(super) sockets: u32,
    pub(super) tpm: bool,
    /// Variables of firmware with Secure Boot.
    pub(super) secure_boot: Option<PathBuf>,
    pub(super) disks: Vec<Disk>,
    pub(super) nics: Vec<Nic>,
    pub(super) boot: Boot,
    pub(super) exit_on_reboot: bool,
    pub(super) uuid: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) extra: Vec<String>,
}

impl MachineSpec {
    pub fn new(dir: impl AsRef<Path>, firmware: Firmware) -> Self {
        Self {
            dir: dir.as_ref().to_owned(),
            firmware,
            memory_mib: 1024,
            cpus: 2,
            sockets: 1,
            tpm: false,
            secure_boot: None,
            disks: Vec::new(),
            nics: Vec::new(),
            boot: Boot::Network,
            exit_on_reboot: false,
            uuid: None,
            serial: None,
            extra: Vec::new(),
        }
    }

    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// The CPUs are spread over this many sockets. Each is a NUMA node with its share of the memory.
    pub fn sockets(mut self, sockets: u32) -> Self {
        self.sockets = sockets;
        self
    }

    /// UEFI firmware that protects its variables, with these initial ones, in which keys may be enrolled.
    pub fn secure_boot(mut self, variables: impl Into<PathBuf>) -> Self {
        self.secure_boot = Some(variables.into());
        self
    }

    /// A TPM 2.0 (swtpm): the one in `tpm` of the machine's directory, otherwise a new one.
    pub fn tpm(mut self) -> Self {
        self.tpm = true;
        self
    }

    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    pub fn nic(mut self, nic: Nic) -> Self {
        self.nics.push(nic);
        self
    }

    pub fn boot(mut self, boot: Boot) -> Self {
        self.boot = boot;
        self
    }

    /// A reboot of the guest ends the machine instead.
    pub fn exit_on_reboot(mut self) -> Self {
        self.exit_on_reboot = true;
        self
    }

    /// System UUID and serial number in SMBIOS.
    pub fn identity(mut self, uuid: &str, serial: &str) -> Self {
        self.uuid = Some(uuid.to_owned());
        self.serial = Some(serial.to_owned());
        self
    }

    /// More arguments for QEMU, verbatim.
    pub fn extra<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.extra.extend(args.map(str::to_owned));
        self
    }

    pub fn start(&self) -> Result<Machine, VmError> {
        Machine::start(self)
    }
}
