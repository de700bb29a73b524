//! Asks the device itself. Each question may hang, so what is known so far is published before each.

use super::{Settings, attributes, classify, scsi as scsi_pages, smart};
use crate::model::{Conflict, Disk, DiskClass, Media, Samples, Transport};
use crate::parse::{ata, nvme, probed, scsi};
use crate::source::{Query, Reader};

pub fn device(reader: &Reader, real: &str, settings: Settings, disk: &mut Disk, publish: &dyn Fn(&Disk)) {
    disk.erase.get_or_insert_default().discard = disk.discard_max_bytes.is_some_and(|n| n > 0);
    if disk.nvme.is_some() {
        nvme_identify(reader, disk);
    } else if disk.hctl.is_some() && disk.transport != Transport::Usb {
        scsi_vpd(reader, disk);
        if disk.media == Media::Disk && speaks_ata(disk) {
            ata_identify(reader, disk);
        }
        disk.class = classify::class(reader, real, disk);
    }
    attributes::settle(disk);
    publish(disk);
    if settings.probe_signatures && disk.size > 0 {
        signatures(reader, disk);
        publish(disk);
    }
    if disk.media == Media::Disk {
        disk.health = smart::health(reader, disk);
        publish(disk);
    }
    // Last, because it may take a while: a disk that has to move its head, or that is asleep.
    if settings.probe_signatures && disk.size > 0 && disk.media == Media::Disk {
        disk.samples = samples(reader, disk);
        publish(disk);
    }
}

fn samples(reader: &Reader, disk: &Disk) -> Option<Samples> {
    let answer = reader.query(&Query::Samples { device: disk.path.clone() })?;
    serde_json::from_slice(&answer).ok()
}

/// Behind USB bridges and RAID controllers ATA commands do harm or reach nobody.
pub fn speaks_ata(disk: &Disk) -> bool {
    disk.transport == Transport::Sata && disk.class != DiskClass::RaidVolume
}

pub fn nvme_query(disk: &Disk, opcode: u8, namespace: u32, cdw10: u32, length: u32) -> Query {
    Query::NvmeAdmin { device: disk.path.clone(), opcode, namespace, cdw10, cdw11: 0, length }
}

fn nvme_identify(reader: &Reader, disk: &mut Disk) {
    const IDENTIFY: u8 = 0x06;
    let nsid = disk.nvme.as_ref().and_then(|n| n.namespace_id).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    let controller = reader.query(&nvme_query(disk, IDENTIFY, 0, 1, 4096)).and_then(|data| nvme::controller(&data));
    let namespace = reader.query(&nvme_query(disk, IDENTIFY, nsid, 0, 4096)).and_then(|data| nvme::namespace(&data));
    let Some(mut own) = disk.nvme.take() else { return };
    let mut erase = disk.erase.take().unwrap_or_default();
    if let Some(controller) = controller {
        own.version = controller.version;
        own.controller_id = own.controller_id.or(Some(controller.controller_id));
        own.namespaces = Some(controller.namespaces);
        own.total_capacity = controller.total_capacity;
        own.unallocated_capacity = controller.unallocated_capacity;
        own.subsystem_nqn = own.subsystem_nqn.take().or(controller.subsystem_nqn);
        let (serial, firmware) = (disk.serial.clone(), disk.firmware.clone());
        let why = "the kernel reads it when the controller starts, and knows the disk by it";
        compare(disk, "serial", (&serial, "kernel"), (&controller.serial, "NVMe Identify"), why);
        compare(
            disk,
            "firmware",
            (&firmware, "kernel"),
            (&controller.firmware, "NVMe Identify"),
            "the kernel tells what was running when the controller started",
        );
        disk.model = disk.model.take().or(controller.model);
        disk.serial = disk.serial.take().or(controller.serial);
        disk.firmware = disk.firmware.take().or(controller.firmware);
        erase.nvme_format = Some(controller.format);
        erase.nvme_crypto_erase = Some(controller.format && controller.crypto_erase);
        erase.nvme_sanitize_block = Some(controller.sanitize_block);
        erase.nvme_sanitize_overwrite = Some(controller.sanitize_overwrite);
        erase.nvme_sanitize_crypto = Some(controller.sanitize_crypto);
    }
    if let Some(namespace) = namespace {
        own.nguid = own.nguid.take().or(namespace.nguid);
        own.eui64 = own.eui64.take().or(namespace.eui64);
        own.lba_formats = namespace.formats;
        own.metadata_size = namespace.metadata_size;
        erase.discard_zeroes = namespace.deallocated_zero;
        disk.logical_block_size = disk.logical_block_size.or(namespace.block_size);
        // With metadata in the blocks the kernel counts otherwise.
        if namespace.metadata_size == Some(0)
            && let Some(size) = namespace.size.filter(|&s| s != disk.size)
        {
            disk.conflicts.push(Conflict {
                field: "size".to_owned(),
                kept: disk.size.to_string(),
                kept_source: "kernel".to_owned(),
                other: size.to_string(),
                other_source: "NVMe Identify".to_owned(),
                reason: "what is written goes through the kernel".to_owned(),
            });
        }
    }
    (disk.nvme, disk.erase) = (Some(own), Some(erase));
}

/// Notes that two sources tell a name differently; padding and case do not count.
pub fn compare(disk: &mut Disk, field: &str, kept: (&Option<String>, &str), other: (&Option<String>, &str), why: &str) {
    let bare = |text: &str| text.split_whitespace().collect::<String>().to_ascii_lowercase();
    if let (Some(a), Some(b)) = (kept.0, other.0)
        && bare(a) != bare(b)
    {
        let conflict = Conflict {
            field: field.to_owned(),
            kept: a.clone(),
            kept_source: kept.1.to_owned(),
            other: b.clone(),
            other_source: other.1.to_owned(),
            reason: why.to_owned(),
        };
        if !disk.conflicts.contains(&conflict) {
            disk.conflicts.push(conflict);
        }
    }
}

pub fn inquiry(disk: &Disk, page: u8) -> Query {
    const LENGTH: u16 = 252;
    let [high, low] = LENGTH.to_be_bytes();
    Query::Scsi { device: disk.path.clone(), cdb: vec![0x12, 1, page, high, low, 0], length: u32::from(LENGTH) }
}

/// Pages that sysfs did not have. Optional pages are missing on many devices, so failure says nothing.
fn scsi_vpd(reader: &Reader, disk: &mut Disk) {
    let page = |disk: &Disk, number: u8| reader.quiet_query(&inquiry(disk, number)).ok();
    if disk.serial.is_none() {
        disk.serial = page(disk, 0x80).and_then(|p| scsi::serial(&p));
    }
    if disk.wwn.is_none()
        && let Some(data) = page(disk, 0x83)
    {
        scsi_pages::designators(&data, disk);
    }
    if disk.media != Media::Disk {
        return;
    }
    if disk.rotation_rate.is_none()
        && let Some((rate, form_factor)) = page(disk, 0xb1).and_then(|p| scsi::characteristics(&p))
    {
        disk.rotation_rate = Some(u64::from(rate)).filter(|&r| r != 0);
        disk.form_factor = disk.form_factor.take().or(form_factor.map(str::to_owned));
    }
    if let Some(zeroes) = page(disk, 0xb2).and_then(|p| scsi::unmapped_reads_zero(&p)) {
        disk.erase.get_or_insert_default().discard_zeroes = Some(zeroes);
    }
}

pub fn ata_command(disk: &Disk, command: u8, feature: u8, data: bool) -> Query {
    let mut cdb = vec![0u8; 16];
    // ATA PASS-THROUGH(16), SAT-5 12.2.2: PIO data-in with one block by count, or no data with the registers returned.
    let (protocol, flags, count) = if data { (4 << 1, 0x0e, 1) } else { (3 << 1, 0x20, 0) };
    // SMART wants its key in LBA mid and high; other commands ignore it.
    let key = if command == 0xb0 { (0x4f, 0xc2) } else { (0, 0) };
    for (at, value) in
        [(0, 0x85), (1, protocol), (2, flags), (4, feature), (6, count), (10, key.0), (12, key.1), (14, command)]
    {
        if let Some(byte) = cdb.get_mut(at) {
            *byte = value;
        }
    }
    Query::Scsi { device: disk.path.clone(), cdb, length: if data { 512 } else { 0 } }
}

fn ata_identify(reader: &Reader, disk: &mut Disk) {
    let Some(data) = reader.query(&ata_command(disk, 0xec, 0, true)) else { return };
    let Some(identify) = ata::identify(&data) else { return };
    scsi_pages::ata_identity(identify, disk);
}

/// What stands on the disk and in its partitions.
fn signatures(reader: &Reader, disk: &mut Disk) {
    let ask = |path: &str| {
        let answer = reader.query(&Query::Signatures { device: path.to_owned() })?;
        probed::parse(&answer)
    };
    let Some(whole) = ask(&disk.path) else { return };
    disk.partition_table = whole.table;
    disk.partition_table_id = whole.table_id;
    disk.signatures = Some(whole.signatures);
    disk.edges = whole.edges;
    disk.unfinished = whole.unfinished;
    disk.remembered = whole.remembered;
    for partition in &mut disk.partitions {
        if let Some(entry) = whole.partitions.iter().find(|p| p.number == partition.number) {
            partition.uuid = entry.uuid.as_deref().map(str::to_ascii_lowercase);
            partition.kind = entry.kind.as_deref().map(str::to_ascii_lowercase);
            partition.label = entry.label.clone();
            partition.flags = Some(entry.flags);
        }
        partition.signatures = ask(&super::node(&partition.name)).map(|found| found.signatures);
    }
}
