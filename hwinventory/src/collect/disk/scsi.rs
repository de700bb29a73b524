//! What the kernel already knows of a SCSI device: INQUIRY data and VPD pages are kept in sysfs.

use crate::model::Disk;
use crate::parse::scsi;
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
    disk.wwn = text("wwid");
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
