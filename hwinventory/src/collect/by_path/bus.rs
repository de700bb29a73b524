//! Which bus a directory of sysfs is a device of: by its `subsystem` link, and by its name where the link was not copied.

use crate::collect::place::is_pci_address;
use crate::source::Reader;

/// Directories of classes between a device and what it carries: no device of a bus is called so.
const CLASSES: &[&str] = &[
    "block",
    "infiniband",
    "input",
    "memstick_host",
    "mmc_host",
    "mtd",
    "net",
    "nvme",
    "rtc",
    "scsi_host",
    "tty",
    "usb_host",
];

/// The bus of the component `at` of a path below `/sys/devices`. Not every directory is a device of one.
pub fn name(reader: &Reader, parts: &[String], at: usize) -> Option<String> {
    let link = reader.link_name(&format!("{}/subsystem", directory(parts, at)));
    link.or_else(|| guess(parts, at).map(str::to_owned))
}

pub fn directory(parts: &[String], at: usize) -> String {
    format!("/sys/devices/{}", parts.get(..=at).unwrap_or_default().join("/"))
}

fn guess(parts: &[String], at: usize) -> Option<&'static str> {
    let name = parts.get(at)?.as_str();
    let root = parts.first().map(String::as_str).unwrap_or_default();
    let usb = || parts.get(..=at).is_some_and(|above| above.iter().any(|p| is_numbered(p, "usb")));
    if is_pci_address(name) {
        Some("pci")
    } else if is_scsi_device(name) || is_numbered(name, "host") || name.starts_with("target") {
        Some("scsi")
    } else if is_numbered(name, "usb") || (usb() && is_usb_port(name)) {
        Some("usb")
    } else if is_numbered(name, "virtio") {
        Some("virtio")
    } else if is_numbered(name, "nvme") {
        Some("nvme")
    } else if is_numbered(name, "nvme-subsys") {
        Some("nvme-subsystem")
    } else if is_numbered(name, "vbd-") || is_numbered(name, "vif-") {
        Some("xen")
    } else if is_cciss(name) {
        Some("cciss")
    } else if is_ccw(name) {
        // Channel-attached devices of s390 stand below their subchannels, which look the same.
        at.checked_sub(1).and_then(|above| parts.get(above)).filter(|above| is_ccw(above)).map(|_| "ccw")
    } else if root == "LNXSYSTM:00" && is_acpi(name) {
        Some("acpi")
    } else if is_platform(parts, at) {
        Some("platform")
    } else {
        None
    }
}

/// What stands below `platform` until another kind of thing begins, and device-tree nodes with their address.
fn is_platform(parts: &[String], at: usize) -> bool {
    let name = parts.get(at).map(String::as_str).unwrap_or_default();
    let unit = name.split_once('.').is_some_and(|(address, _)| {
        address.len() >= 4 && address.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    if unit || name.ends_with(".auto") {
        return true;
    }
    let other = |part: &String| {
        CLASSES.contains(&part.as_str())
            || is_pci_address(part)
            || is_scsi_device(part)
            || ["host", "ata", "usb", "nvme", "virtio", "session"].iter().any(|prefix| is_numbered(part, prefix))
            || part.starts_with("pci")
            || part.starts_with("target")
    };
    parts.first().is_some_and(|p| p == "platform") && at > 0 && !parts.get(1..=at).unwrap_or_default().iter().any(other)
}

fn is_numbered(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// `1-1.4`, `1-1.4:1.0`.
fn is_usb_port(text: &str) -> bool {
    let numeric = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let Some((bus, port)) = text.split_once('-') else { return false };
    let (port, interface) = port.split_once(':').map_or((port, None), |(port, i)| (port, Some(i)));
    bus.bytes().all(|b| b.is_ascii_digit()) && !bus.is_empty() && numeric(port) && interface.is_none_or(numeric)
}

/// `host:channel:target:lun`.
pub fn is_scsi_device(text: &str) -> bool {
    text.split(':').count() == 4 && text.split(':').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn is_cciss(text: &str) -> bool {
    let numbers = text.strip_prefix('c').and_then(|rest| rest.split_once('d'));
    numbers.is_some_and(|(a, b)| is_numbered(a, "") && is_numbered(b, ""))
}

/// `0.0.1234`: channel subsystem, subchannel set, device number.
fn is_ccw(text: &str) -> bool {
    let hex = |part: Option<&str>, length: usize| {
        part.is_some_and(|p| p.len() == length && p.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let mut parts = text.split('.');
    hex(parts.next(), 1) && hex(parts.next(), 1) && hex(parts.next(), 4) && parts.next().is_none()
}

/// `VMBUS:00`.
fn is_acpi(text: &str) -> bool {
    text.split_once(':').is_some_and(|(id, instance)| {
        id.len() >= 3
            && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && instance.len() == 2
            && instance.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buses_by_name() {
        let bus = |path: &str| {
            let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
            guess(&parts, parts.len() - 1)
        };
        for (path, expected) in [
            ("pci0000:00", None),
            ("pci0000:00/0000:00:1f.2", Some("pci")),
            ("pci0000:00/0000:00:14.0/usb1/1-1/1-1.4/1-1.4:1.0", Some("usb")),
            ("pci0000:00/0000:00:14.0/usb1", Some("usb")),
            ("pci0000:00/0000:00:02.0/0000:03:00.0/host0/port-0:2/end_device-0:2", None),
            ("pci0000:00/0000:00:17.0/ata1", None),
            ("pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0", Some("scsi")),
            ("platform", None),
            ("platform/soc", Some("platform")),
            ("platform/soc/fe310000.mmc", Some("platform")),
            ("platform/soc/fe310000.mmc/mmc_host", None),
            ("platform/soc/fe310000.mmc/mmc_host/mmc0", None),
            ("platform/host2", Some("scsi")),
            ("platform/host2/session1", None),
            ("platform/floppy.0", Some("platform")),
            ("soc.0/fe310000.mmc", Some("platform")),
            ("css0/0.0.0019", None),
            ("css0/0.0.0019/0.0.1234", Some("ccw")),
            ("LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00", Some("acpi")),
            ("virtual/nvme-subsystem/nvme-subsys0", Some("nvme-subsystem")),
            ("virtual/block/md0", None),
            ("vbd-51712", Some("xen")),
        ] {
            assert_eq!(bus(path), expected, "{path}");
        }
    }
}
