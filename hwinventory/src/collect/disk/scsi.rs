//! What the kernel already knows of a SCSI device: INQUIRY data and VPD pages are kept in sysfs.

use super::probe::compare;
use crate::model::Disk;
use crate::parse::{ata, scsi};
use crate::source::Reader;

pub fn from_sysfs(reader: &Reader, device: &str, disk: &mut Disk) {
    let hctl = device.rsplit('/').next().unwrap_or_default();
    if hctl.split(':').count() != 4 || !hctl.bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return;
    }
    disk.hctl = Some(hctl.to_owned());
    let text = |name: &str| reader.text(&format!("{device}/{name}"));
    disk.vendor = text("vendor");
    disk.model = text("model");
    disk.firmware = text("rev");
    // Devices without page 83h answer with an error here.
    disk.wwn = reader.quiet_text(&format!("{device}/wwid"));
    let page = |number: &str| reader.source().read(&format!("{device}/vpd_pg{number}")).ok();
    disk.serial = page("80").and_then(|p| scsi::serial(&p));
    if let Some((rate, form_factor)) = page("b1").and_then(|p| scsi::characteristics(&p)) {
        if rate != 0 {
            disk.rotation_rate = Some(u64::from(rate));
        }
        disk.form_factor = form_factor.map(str::to_owned);
    }
    if let Some(page) = page("83") {
        designators(&page, disk);
    }
    if let Some(identify) = page("89").and_then(|p| ata::identify(scsi::ata_information(&p)?)) {
        ata_identity(identify, disk);
    }
    disk.port_link_speed = host_link_speed(reader, hctl);
}

/// What an AHCI controller's ports can: Interface Speed Support, bits 23:20 of its capabilities (AHCI 1.3.1, 3.1.1).
fn host_link_speed(reader: &Reader, hctl: &str) -> Option<u64> {
    let host = hctl.split(':').next()?;
    let text = reader.quiet_text(&format!("/sys/class/scsi_host/host{host}/ahci_host_caps"))?;
    let capabilities = u32::from_str_radix(&text, 16).ok()?;
    ata::generation((capabilities >> 20 & 0xf) as u16)
}

/// What IDENTIFY DEVICE says is fuller: the SCSI side cuts the model to 16 characters and the revision to 4.
pub fn ata_identity(identify: ata::Identify, disk: &mut Disk) {
    let (serial, wwn) = (disk.serial.clone(), disk.wwn.clone().filter(|w| w.starts_with("naa.")));
    let ata_wwn = identify.wwn.as_ref().map(|w| format!("naa.{w}"));
    let why = "the drive's own word; the other is a translation of it";
    compare(disk, "serial", (&identify.serial, "ATA IDENTIFY"), (&serial, "SCSI page 80h"), why);
    let why = "the kernel and udev know the disk by it";
    compare(disk, "wwn", (&wwn, "SCSI page 83h"), (&ata_wwn, "ATA IDENTIFY"), why);
    disk.model = identify.model.or(disk.model.take());
    disk.firmware = identify.firmware.or(disk.firmware.take());
    disk.serial = identify.serial.or(disk.serial.take());
    if let Some(wwn) = identify.wwn
        && !disk.wwn.as_deref().is_some_and(|w| w.starts_with("naa."))
    {
        disk.wwn = Some(format!("naa.{wwn}"));
    }
    disk.rotation_rate = identify.rotation_rate.or(disk.rotation_rate);
    disk.form_factor = identify.form_factor.map(str::to_owned).or(disk.form_factor.take());
    disk.max_link_speed = identify.max_link_speed;
    disk.link_speed = identify.link_speed;
    let erase = disk.erase.get_or_insert_default();
    if identify.trim {
        erase.discard_zeroes = Some(identify.trim_zeroes);
    }
    erase.ata_security = Some(identify.security);
    erase.ata_sanitize = Some(identify.sanitize);
}

/// The NAA designator wins: it is what the world knows the disk by.
pub fn designators(page: &[u8], disk: &mut Disk) {
    let found = scsi::designators(page);
    let first = |kind: u8| found.iter().find(|d| d.kind == kind);
    if let Some(naa) = first(3) {
        disk.wwn = Some(format!("naa.{}", naa.value));
    } else if let Some(eui) = first(2) {
        disk.wwn = Some(format!("eui.{}", eui.value));
    }
}
