//! Class, transport and medium, derived from driver, path and names.

use crate::model::{Disk, DiskClass, Media, Transport};
use crate::source::Reader;

pub fn media(name: &str) -> Media {
    if name.starts_with("sr") {
        Media::Cdrom
    } else if name.starts_with("fd") {
        Media::Floppy
    } else {
        Media::Disk
    }
}

pub fn transport(reader: &Reader, name: &str, real: &str, disk: &Disk) -> Transport {
    if name.starts_with("nvme") {
        let controller = disk.nvme.as_ref().and_then(|n| n.controller.clone()).unwrap_or_default();
        let word = reader.quiet_text(&format!("{real}/device/transport"));
        let word = word.or_else(|| reader.quiet_text(&format!("/sys/class/nvme/{controller}/transport")));
        return match word.as_deref() {
            Some("tcp") => Transport::NvmeTcp,
            Some("rdma") => Transport::NvmeRdma,
            Some("fc") => Transport::NvmeFc,
            _ => Transport::Nvme,
        };
    }
    let has = |prefix: &str| real.split('/').any(|part| part.starts_with(prefix));
    let numbered = |prefix: &str| {
        real.split('/')
            .any(|part| part.strip_prefix(prefix).is_some_and(|n| n.bytes().next().is_some_and(|b| b.is_ascii_digit())))
    };
    if real.contains("/virtual/") && !name.starts_with("sd") {
        return if numbered("rbd") || numbered("nbd") || numbered("drbd") {
            Transport::Network
        } else {
            Transport::None
        };
    }
    if ["rbd", "nbd", "drbd"].iter().any(|p| name.starts_with(p)) {
        Transport::Network
    } else if numbered("usb") {
        Transport::Usb
    } else if numbered("session") {
        Transport::Iscsi
    } else if has("rport-") {
        Transport::FibreChannel
    } else if has("end_device-")
        || disk
            .driver
            .as_deref()
            .is_some_and(|d| matches!(d, "mpt3sas" | "mpt2sas" | "mptsas" | "pm80xx" | "isci" | "aic94xx" | "mvsas"))
    {
        if is_ata(disk) { Transport::Sata } else { Transport::Sas }
    } else if numbered("ata") {
        Transport::Sata
    } else if numbered("virtio") || name.starts_with("vd") || name.starts_with("xvd") {
        Transport::Virtio
    } else if name.starts_with("mmcblk") {
        Transport::Mmc
    } else if name.starts_with("pmem") {
        Transport::Pmem
    } else if disk.hctl.is_some() {
        Transport::Scsi
    } else {
        Transport::Unknown
    }
}

/// A SATA disk behind a SAS controller: the translation layer names the vendor so (SAT-5 8.1).
fn is_ata(disk: &Disk) -> bool {
    disk.vendor.as_deref() == Some("ATA")
}

pub fn is_remote(transport: Transport) -> bool {
    matches!(
        transport,
        Transport::Iscsi
            | Transport::FibreChannel
            | Transport::NvmeTcp
            | Transport::NvmeRdma
            | Transport::NvmeFc
            | Transport::Network
    )
}

/// Media that a BMC plugs in: they are USB devices of these makers and names.
pub fn is_virtual_media(disk: &Disk) -> bool {
    let name = format!("{} {}", disk.vendor.as_deref().unwrap_or_default(), disk.model.as_deref().unwrap_or_default());
    let name = name.to_ascii_lowercase();
    const NAMES: &[&str] = &[
        "virtual cd",
        "virtual floppy",
        "virtual media",
        "virtual hdisk",
        "virtual hard disk",
        "virtual disk0",
        "virtual keyb",
        "linux file-stor gadget",
        "linux mass storage",
        "amivirtual",
        "ami virtual",
        "idrac",
        "ilo ",
        "ikvm",
        "imm virtual",
        "xcc virtual",
        "lcdrive",
        "oemdrv",
        "remote disk",
        "rmedia",
        "usb virtual",
        // Cisco's CIMC.
        "vhdd",
        "vfdd",
        "vkvm",
    ];
    disk.transport == Transport::Usb && NAMES.iter().any(|n| name.contains(n))
}

pub fn class(reader: &Reader, real: &str, disk: &Disk) -> DiskClass {
    if disk.media != Media::Disk {
        return DiskClass::Unknown;
    }
    if disk.name.starts_with("nvme") {
        return DiskClass::Nvme;
    }
    if disk.virtual_media
        || matches!(disk.transport, Transport::Virtio | Transport::None | Transport::Network)
        || is_emulated(disk)
    {
        return DiskClass::Virtual;
    }
    if is_raid_volume(reader, real, disk) {
        return DiskClass::RaidVolume;
    }
    match (disk.transport, disk.rotation_rate, disk.rotational) {
        (_, Some(rate), _) => {
            if rate > 1 {
                DiskClass::Hdd
            } else {
                DiskClass::Ssd
            }
        }
        // USB bridges say "rotational" of everything, unless they pass on the page that says the rate.
        (Transport::Usb, None, Some(true)) => DiskClass::Unknown,
        (_, None, Some(true)) => DiskClass::Hdd,
        (_, None, Some(false)) => DiskClass::Ssd,
        (_, None, None) => DiskClass::Unknown,
    }
}

/// A hypervisor's disk behind an emulated SATA, SCSI or IDE controller.
fn is_emulated(disk: &Disk) -> bool {
    let vendor = disk.vendor.as_deref().unwrap_or_default();
    let model = disk.model.as_deref().unwrap_or_default();
    matches!(vendor, "QEMU" | "VMware" | "VBOX" | "Msft" | "XENSRC" | "Google" | "OracleVM")
        || ["QEMU ", "VBOX ", "VMware Virtual", "Virtual HD", "Virtual Disk"].iter().any(|n| model.starts_with(n))
        || disk.driver.as_deref().is_some_and(|d| matches!(d, "hv_storvsc" | "vmw_pvscsi" | "xen-blkfront" | "vbd"))
}

/// RAID controllers present volumes under their own names, and physical disks, where they pass them on, under the
/// disk's.
fn is_raid_volume(reader: &Reader, real: &str, disk: &Disk) -> bool {
    let level = reader.quiet_text(&format!("{real}/device/raid_level"));
    if let Some(level) = level {
        // hpsa and smartpqi say N/A of disks they pass through.
        return !level.starts_with("N/A") && !level.to_ascii_lowercase().contains("unknown");
    }
    let driver = disk.driver.as_deref().unwrap_or_default();
    let channel = disk.hctl.as_deref().and_then(|h| h.split(':').nth(1)?.parse::<u32>().ok());
    let name = format!("{} {}", disk.vendor.as_deref().unwrap_or_default(), disk.model.as_deref().unwrap_or_default());
    let named = ["PERC", "MegaRAID", "LOGICAL VOLUME", "ServeRAID", "RAID", "Logical Volume", "MR9", "LOGICAL"]
        .iter()
        .any(|n| name.contains(n));
    match driver {
        // Channels 0 and 1 are physical disks.
        "megaraid_sas" => channel.is_some_and(|c| c >= 2),
        "mpt3sas" | "mpt2sas" => channel == Some(1) || named,
        "aacraid" | "arcmsr" | "3w-9xxx" | "3w-sas" | "3w-xxxx" | "cciss" | "ips" | "gdth" | "megaraid" => true,
        "hpsa" | "smartpqi" | "mpi3mr" | "hptiop" | "mvumi" | "megaraid_mbox" => named,
        _ => false,
    }
}
