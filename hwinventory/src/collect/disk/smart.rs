//! Health, by the protocol that the disk speaks.

use super::probe::{ata_command, nvme_query, speaks_ata};
use crate::model::{Disk, DiskClass, Health, HealthState, Transport};
use crate::parse::bytes::{be32, u8_at};
use crate::parse::{ata, nvme, scsi};
use crate::source::{Query, Reader};

pub fn health(reader: &Reader, disk: &Disk) -> Option<Health> {
    if disk.nvme.is_some() {
        // Get Log Page, 512 bytes of the SMART log of the whole controller.
        let log = nvme_query(disk, 0x02, u32::MAX, 127 << 16 | 0x02, 512);
        return nvme::smart(&reader.query(&log)?);
    }
    if speaks_ata(disk) {
        return ata_smart(reader, disk);
    }
    let physical = matches!(disk.class, DiskClass::Hdd | DiskClass::Ssd);
    (physical && disk.hctl.is_some() && disk.transport != Transport::Usb).then(|| scsi_logs(reader, disk)).flatten()
}

fn ata_smart(reader: &Reader, disk: &Disk) -> Option<Health> {
    const SMART: u8 = 0xb0;
    // Drives without SMART refuse: that is no problem worth reporting.
    let data = reader.quiet_query(&ata_command(disk, SMART, 0xd0, true)).ok()?;
    let thresholds = reader.quiet_query(&ata_command(disk, SMART, 0xd1, true)).ok();
    let verdict = reader.quiet_query(&ata_command(disk, SMART, 0xda, false)).ok();
    ata::smart(&data, thresholds.as_deref(), verdict.and_then(|sense| ata::predicts_failure(&sense)))
}

/// Log pages of SPC-5 and SBC-4: informational exceptions, temperature, errors, endurance, power-on time.
fn scsi_logs(reader: &Reader, disk: &Disk) -> Option<Health> {
    let page = |number: u8| {
        // Cumulative values of the page, 252 bytes.
        let cdb = vec![0x4d, 0, 0x40 | number, 0, 0, 0, 0, 0, 252, 0];
        reader.quiet_query(&Query::Scsi { device: disk.path.clone(), cdb, length: 252 }).ok()
    };
    let exceptions = page(0x2f);
    let mut health = Health { source: Some("scsi-log".to_owned()), ..Health::default() };
    let mut read = false;
    if let Some(data) = &exceptions {
        for (code, value) in scsi::log_parameters(data, 0x2f) {
            if code == 0 {
                read = true;
                health.state = HealthState::Ok;
                // ASC 5Dh: failure prediction threshold exceeded; 0Bh: warning.
                match u8_at(value, 0) {
                    Some(0x5d) => {
                        health.state = HealthState::Failing;
                        health.reasons.push("the drive predicts its failure".to_owned());
                    }
                    Some(0x0b) => {
                        health.state = HealthState::Warning;
                        health.reasons.push("the drive warns".to_owned());
                    }
                    _ => {}
                }
                health.temperature = u8_at(value, 2).filter(|&t| t != 0 && t != 0xff).map(i64::from);
            }
        }
    }
    if let Some(data) = page(0x0d) {
        let current = scsi::log_parameters(&data, 0x0d).into_iter().find(|(code, _)| *code == 0);
        if let Some(t) = current.and_then(|(_, value)| u8_at(value, 1)).filter(|&t| t != 0xff) {
            read = true;
            health.temperature = Some(i64::from(t));
        }
    }
    if disk.class == DiskClass::Ssd
        && let Some(data) = page(0x11)
    {
        let used = scsi::log_parameters(&data, 0x11).into_iter().find(|(code, _)| *code == 1);
        health.percentage_used = used.and_then(|(_, value)| u8_at(value, 3)).map(u64::from);
    }
    if let Some(data) = page(0x15) {
        let status = scsi::log_parameters(&data, 0x15).into_iter().find(|(code, _)| *code == 0);
        health.power_on_hours = status.and_then(|(_, value)| be32(value, 0)).map(|minutes| u64::from(minutes) / 60);
    }
    let mut uncorrected = None;
    for number in [0x02, 0x03, 0x05] {
        if let Some(data) = page(number) {
            let total = scsi::log_parameters(&data, number).into_iter().find(|(code, _)| *code == 6);
            if let Some((_, value)) = total.filter(|(_, v)| v.len() <= 8) {
                let count = value.iter().fold(0u64, |n, &b| n << 8 | u64::from(b));
                uncorrected = Some(uncorrected.unwrap_or(0u64).saturating_add(count));
            }
        }
    }
    health.media_errors = uncorrected;
    (read || uncorrected.is_some()).then_some(health)
}
