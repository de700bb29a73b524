//! Reads one block device: what sysfs says about it first, then what has to be asked of the device itself.

use super::{Kind, Settings, byid, classify, identity, md, partitions, scsi};
use crate::collect::{bays, by_path, place};
use crate::model::{Disk, DiskPath, Multipath, NvmeNamespace};
use crate::source::Reader;

/// What kind of block device this is. Cheap: nothing is asked of the device.
pub fn kind_of(reader: &Reader, name: &str, real: &str, settings: Settings) -> Kind {
    let attribute = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    if attribute("hidden").as_deref() == Some("1") {
        return Kind::Ignored;
    }
    let digits_after = |prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.bytes().next().is_some_and(|b| b.is_ascii_digit()))
    };
    if digits_after("loop") {
        // A loop device always exists; it is something only while bound.
        return match attribute("size").as_deref() {
            None | Some("0") => Kind::Ignored,
            _ if settings.include_loop => Kind::Disk,
            _ => Kind::Volume,
        };
    }
    // Others that exist whether or not there is anything in them.
    let unused = || attribute("size").as_deref() == Some("0");
    if digits_after("ram") || ((digits_after("nbd") || digits_after("zram")) && unused()) {
        return Kind::Ignored;
    }
    // Built by device-mapper, md, bcache, ZFS, or out of memory.
    if ["dm-", "md", "md_d", "zram", "bcache", "zd"].iter().any(|prefix| digits_after(prefix))
        || name.starts_with("md_")
    {
        return Kind::Volume;
    }
    Kind::Disk
}

/// Reads one device. What sysfs knows is published before the device itself is asked.
pub fn collect(reader: &Reader, name: String, real: &str, settings: Settings, publish: &dyn Fn(&Disk)) {
    let mut disk = Disk { path: super::node(&name), name, ..Disk::default() };
    queue(reader, real, &mut disk);
    let device = reader.follow(real, "device");
    if let Some(device) = &device {
        controller(reader, device, &mut disk);
        scsi::from_sysfs(reader, device, &mut disk);
        nvme(reader, real, device, &mut disk);
        simple_buses(reader, real, device, &mut disk);
        usb(reader, device, &mut disk);
        bays::of_disk(reader, device, &mut disk);
    }
    volume(reader, real, &mut disk);
    disk.media = classify::media(&disk.name);
    disk.transport = classify::transport(reader, &disk.name, real, &disk);
    disk.remote = classify::is_remote(disk.transport);
    disk.virtual_media = classify::is_virtual_media(&disk);
    disk.class = classify::class(reader, real, &disk);
    disk.by_path = by_path::of_disk(reader, real, &disk);
    partitions::collect(reader, real, &mut disk);
    settle(&mut disk);
    publish(&disk);
    super::probe::device(reader, real, settings, &mut disk, publish);
}

/// Derives what depends on several sources.
pub fn settle(disk: &mut Disk) {
    disk.identities = identity::identities(disk);
    disk.identity = identity::best(&disk.identities);
    disk.by_id = byid::by_id(disk);
}

fn queue(reader: &Reader, real: &str, disk: &mut Disk) {
    let number = |name: &str| reader.number(&format!("{real}/{name}"));
    let text = |name: &str| reader.text(&format!("{real}/{name}"));
    disk.device_number = text("dev");
    disk.diskseq = number("diskseq");
    match number("size") {
        // In units of 512 bytes, whatever the block size.
        Some(sectors) => disk.size = sectors.saturating_mul(512),
        None => reader.problem(&format!("{real}/size"), crate::model::Status::Error, "not a number"),
    }
    disk.removable = number("removable") == Some(1);
    disk.read_only = number("ro") == Some(1);
    disk.alignment_offset = text("alignment_offset").and_then(|t| t.parse().ok());
    disk.rotational = number("queue/rotational").map(|r| r != 0);
    disk.logical_block_size = number("queue/logical_block_size");
    disk.physical_block_size = number("queue/physical_block_size");
    disk.minimum_io_size = number("queue/minimum_io_size");
    disk.optimal_io_size = number("queue/optimal_io_size");
    disk.max_io_size = number("queue/max_sectors_kb").map(|kib| kib.saturating_mul(1024));
    disk.discard_granularity = number("queue/discard_granularity");
    disk.discard_max_bytes = number("queue/discard_max_bytes");
    disk.write_zeroes_max_bytes = number("queue/write_zeroes_max_bytes");
    disk.write_cache = text("queue/write_cache").map(|t| t.replace(' ', "-"));
    disk.fua = number("queue/fua").map(|f| f != 0);
    disk.zoned = text("queue/zoned");
    disk.zone_size = number("queue/chunk_sectors")
        .filter(|&n| n > 0 && disk.zoned.as_deref().is_some_and(|z| z != "none"))
        .map(|sectors| sectors.saturating_mul(512));
    // The chosen one stands in brackets; devices without a queue have none to choose.
    disk.scheduler = text("queue/scheduler").and_then(|t| Some(t.split_once('[')?.1.split_once(']')?.0.to_owned()));
    disk.integrity = number("integrity/device_is_integrity_capable").map(|n| n != 0);
    disk.slaves = reader.list(&format!("{real}/slaves"));
    disk.holders = reader.list(&format!("{real}/holders"));
}

fn controller(reader: &Reader, device: &str, disk: &mut Disk) {
    disk.pci_address = place::pci(device).map(|(address, _)| address.to_owned());
    disk.numa_node = place::numa_node(reader, device);
    disk.driver = place::driver(reader, device).filter(|d| d != "virtio-pci");
    disk.state = reader.text(&format!("{device}/state"));
    // Only SCSI devices with a device handler (ALUA) have it.
    if let Some(access_state) = reader.quiet_text(&format!("{device}/access_state")) {
        let preferred = reader.quiet_number(&format!("{device}/preferred_path")).map(|n| n != 0);
        disk.multipath = Some(Multipath { access_state: Some(access_state), preferred, ..Multipath::default() });
    }
    if disk.driver.is_none() {
        // virtio and platform devices: the driver of the device itself, or of the nearest that it hangs on.
        let above = std::iter::successors(Some(device), |path| Some(path.rsplit_once('/')?.0));
        let driver = |path: &str| reader.link_name(&format!("{path}/driver"));
        disk.driver = above
            .take_while(|path| path.starts_with("/sys/devices/"))
            .filter_map(driver)
            .find(|driver| !matches!(driver.as_str(), "sd" | "sr" | "virtio-pci" | "pcieport"));
    }
}

fn nvme(reader: &Reader, real: &str, device: &str, disk: &mut Disk) {
    if !disk.name.starts_with("nvme") {
        return;
    }
    let own = |name: &str| reader.text(&format!("{real}/{name}"));
    let up = |name: &str| reader.text(&format!("{device}/{name}"));
    disk.model = up("model");
    disk.serial = up("serial");
    disk.firmware = up("firmware_rev");
    disk.wwn = own("wwid");
    let undashed = |t: String| t.replace(['-', ' '], "").to_ascii_lowercase();
    let zero = |t: &String| t.bytes().all(|b| matches!(b, b'0' | b'-'));
    let name = device.rsplit('/').next().unwrap_or_default();
    disk.nvme = Some(NvmeNamespace {
        controller: Some(name.to_owned()),
        namespace_id: own("nsid").and_then(|t| t.parse().ok()),
        nguid: own("nguid").map(undashed).filter(|t| !zero(t)),
        eui64: own("eui").map(undashed).filter(|t| !zero(t)),
        uuid: own("uuid").filter(|t| !zero(t)),
        subsystem_nqn: up("subsysnqn"),
        controller_id: up("cntlid").and_then(|t| t.parse().ok()),
        ..NvmeNamespace::default()
    });
    // With native multipath the namespace hangs below the subsystem, which has no PCI address: a controller has.
    if disk.pci_address.is_none() {
        let is_controller = |n: &String| {
            n.strip_prefix("nvme").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()) && !rest.is_empty())
        };
        let controllers: Vec<String> = reader.list(device).into_iter().filter(is_controller).collect();
        let first = controllers.first();
        if let Some(nvme) = &mut disk.nvme {
            nvme.controller = first.cloned().or(nvme.controller.take());
        }
        if let Some(real) = first.and_then(|name| reader.follow(device, name)) {
            controller(reader, &real, disk);
            disk.state = reader.text(&format!("{real}/state"));
            // The disk itself may be asked through any of them.
            let number = first.and_then(|name| reader.quiet_number(&format!("/sys/class/nvme/{name}/cntlid")));
            disk.nvme.iter_mut().for_each(|nvme| nvme.controller_id = number.or(nvme.controller_id));
        }
        disk.paths = nvme_paths(reader, &disk.name, &controllers);
    }
}

/// The hidden devices `nvmeScCnN` below the namespace `nvmeSnN`: one for each controller that leads to it.
fn nvme_paths(reader: &Reader, name: &str, controllers: &[String]) -> Vec<DiskPath> {
    let Some((subsystem, namespace)) = name.rsplit_once('n') else { return Vec::new() };
    // The number behind the `c` is the controller's own.
    let numbers = controllers.iter().filter_map(|controller| controller.strip_prefix("nvme"));
    let own = numbers.map(|number| format!("{subsystem}c{number}n{namespace}"));
    let paths = own.filter_map(|path| {
        let real = reader.follow(super::BLOCK, &path)?;
        let (controller, _) = real.rsplit_once('/')?;
        let text = |file: String| reader.quiet_text(&file);
        Some(DiskPath {
            name: path,
            through: controller.rsplit('/').next().map(str::to_owned),
            address: text(format!("{controller}/address")).or_else(|| place::pci(&real).map(|(a, _)| a.to_owned())),
            state: text(format!("{controller}/state")),
            access_state: text(format!("{real}/ana_state")),
        })
    });
    paths.collect()
}

/// virtio-blk, MMC, Xen: a handful of attributes each.
fn simple_buses(reader: &Reader, real: &str, device: &str, disk: &mut Disk) {
    let text = |path: String| reader.quiet_text(&path);
    if disk.name.starts_with("mmcblk") {
        disk.model = text(format!("{device}/name"));
        disk.serial = text(format!("{device}/serial")).map(|s| s.trim_start_matches("0x").to_owned());
        disk.firmware = text(format!("{device}/fwrev"));
    } else if disk.name.starts_with("dasd") {
        disk.vendor = text(format!("{device}/vendor"));
        disk.model = text(format!("{device}/devtype"));
        disk.serial = text(format!("{device}/uid"));
    } else if disk.name.starts_with("vd") {
        disk.serial = text(format!("{real}/serial"));
    }
    if let Some(serial) = &disk.serial
        && serial.trim().is_empty()
    {
        disk.serial = None;
    }
}

/// USB sticks tell their serial number as a USB device, not as a disk.
fn usb(reader: &Reader, device: &str, disk: &mut Disk) {
    let parts: Vec<&str> = device.split('/').collect();
    let Some(interface) = parts.iter().rposition(|p| p.contains('-') && p.contains(':')) else { return };
    if disk.serial.is_none()
        && let Some(directory) = parts.get(..interface).map(|p| p.join("/"))
        && parts.iter().any(|p| p.starts_with("usb"))
    {
        disk.serial = reader.quiet_text(&format!("{directory}/serial"));
    }
}

fn volume(reader: &Reader, real: &str, disk: &mut Disk) {
    disk.dm_name = reader.quiet_text(&format!("{real}/dm/name"));
    disk.dm_uuid = reader.quiet_text(&format!("{real}/dm/uuid"));
    disk.backing_file = reader.quiet_text(&format!("{real}/loop/backing_file"));
    if reader.has_directory(&format!("{real}/md")) {
        disk.md = Some(md::array(reader, real));
    }
}
