//! The names udev's rules give below `/dev/disk/by-id`.

use crate::model::{Disk, Media, Transport};

/// Text as udev makes it part of a name.
fn words(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join("_");
    joined.chars().map(|c| if c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) { c } else { '_' }).collect()
}

pub fn by_id(disk: &Disk) -> Vec<String> {
    let mut names = Vec::new();
    let model_serial =
        disk.model.as_deref().zip(disk.serial.as_deref()).map(|(m, s)| format!("{}_{}", words(m), words(s)));
    if let Some(nvme) = &disk.nvme {
        names.extend(disk.wwn.as_deref().map(|w| format!("nvme-{}", words(w))));
        if let Some(name) = &model_serial {
            names.push(format!("nvme-{name}"));
            names.extend(nvme.namespace_id.map(|n| format!("nvme-{name}_{n}")));
        }
    } else if disk.hctl.is_some() {
        let vendor = disk.vendor.as_deref().map(words);
        if disk.transport == Transport::Usb {
            if let (Some(vendor), Some(name)) = (&vendor, &model_serial) {
                let instance = disk.hctl.as_deref().map(|h| h.split(':').skip(2).collect::<Vec<_>>().join(":"));
                names.push(format!("usb-{vendor}_{name}-{}", instance.unwrap_or_default()));
            }
        } else if vendor.as_deref() == Some("ATA") || (disk.media == Media::Cdrom && disk.transport == Transport::Sata)
        {
            names.extend(model_serial.map(|name| format!("ata-{name}")));
        }
        if let Some(naa) = disk.wwn.as_deref().and_then(|w| w.strip_prefix("naa.")) {
            names.push(format!("wwn-0x{naa}"));
            names.push(format!("scsi-3{naa}"));
        } else if let Some(eui) = disk.wwn.as_deref().and_then(|w| w.strip_prefix("eui.")) {
            names.push(format!("wwn-0x{eui}"));
            names.push(format!("scsi-2{eui}"));
        }
    } else if disk.name.starts_with("vd") {
        names.extend(disk.serial.as_deref().map(|s| format!("virtio-{}", words(s))));
    } else if disk.name.starts_with("mmcblk") {
        names.extend(model_serial.map(|_| {
            let (model, serial) =
                (disk.model.as_deref().unwrap_or_default(), disk.serial.as_deref().unwrap_or_default());
            let area = super::identity::emmc_area(&disk.name).map(|a| format!("-{a}")).unwrap_or_default();
            format!("mmc-{}_0x{}{area}", words(model), words(serial))
        }));
    }
    names.extend(disk.dm_name.as_deref().map(|n| format!("dm-name-{n}")));
    names.extend(disk.dm_uuid.as_deref().map(|n| format!("dm-uuid-{n}")));
    names.extend(disk.dm_uuid.as_deref().map(multipath).unwrap_or_default());
    let array = disk.md.as_ref().filter(|m| m.array.as_deref() == Some(disk.name.as_str()));
    names.extend(array.and_then(|m| m.uuid.as_deref()).map(|u| format!("md-uuid-{}", md_uuid(u))));
    names.extend(array.and_then(|m| m.name.as_deref()).map(|n| format!("md-name-{n}")));
    names.sort();
    names.dedup();
    names
}

/// A map has the names of the disk that its paths lead to (kpartx_id): its WWID is the kind of designator, and the
/// designator. Maps over the partitions of such a map have those of the disk's partitions: `part1-mpath-3...`.
fn multipath(dm_uuid: &str) -> Vec<String> {
    let (part, wwid) = match dm_uuid.strip_prefix("mpath-") {
        Some(wwid) => (None, wwid),
        None => match dm_uuid.strip_prefix("part").and_then(|rest| rest.split_once("-mpath-")) {
            Some((number, wwid)) if number.bytes().all(|b| b.is_ascii_digit()) => (Some(number), wwid),
            _ => return Vec::new(),
        },
    };
    let part = part.map(|number| format!("-part{number}")).unwrap_or_default();
    let Some((kind, id)) = wwid.split_at_checked(1) else { return Vec::new() };
    let is_hex = !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit());
    match kind {
        "2" | "3" if is_hex => vec![format!("scsi-{wwid}{part}"), format!("wwn-0x{id}{part}")],
        "0" | "1" | "8" | "S" if !id.is_empty() => vec![format!("scsi-{}{part}", words(wwid))],
        _ => Vec::new(),
    }
}

/// mdadm writes four words with colons between them.
fn md_uuid(uuid: &str) -> String {
    let digits: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    let words: Vec<&str> = (0..4).filter_map(|n| digits.get(n * 8..n * 8 + 8)).collect();
    if digits.len() == 32 { words.join(":") } else { uuid.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NvmeNamespace;

    #[test]
    fn nvme_and_ata() {
        let nvme = Disk {
            model: Some("Samsung SSD 970  PRO".into()),
            serial: Some("S463NF0M".into()),
            wwn: Some("eui.0025385981b12345".into()),
            nvme: Some(NvmeNamespace { namespace_id: Some(1), ..NvmeNamespace::default() }),
            ..Disk::default()
        };
        assert_eq!(
            by_id(&nvme),
            ["nvme-Samsung_SSD_970_PRO_S463NF0M", "nvme-Samsung_SSD_970_PRO_S463NF0M_1", "nvme-eui.0025385981b12345"]
        );
        let ata = Disk {
            hctl: Some("0:0:0:0".into()),
            vendor: Some("ATA".into()),
            model: Some("QEMU HARDDISK".into()),
            serial: Some("QM00005".into()),
            wwn: Some("naa.5000c500a1b2c3d4".into()),
            transport: Transport::Sata,
            ..Disk::default()
        };
        assert_eq!(by_id(&ata), ["ata-QEMU_HARDDISK_QM00005", "scsi-35000c500a1b2c3d4", "wwn-0x5000c500a1b2c3d4"]);
    }
}
