//! Where in the machine a device sits, from its path in sysfs (which must be free of links).

use crate::source::Reader;

/// Address and directory of the PCI function nearest to the device.
pub fn pci(path: &str) -> Option<(&str, &str)> {
    let mut found = None;
    let mut end = 0;
    for part in path.split('/') {
        end += part.len();
        if is_pci_address(part) {
            found = path.get(..end).map(|directory| (part, directory));
        }
        end += 1;
    }
    found
}

/// `dddd:bb:dd.f`, the domain having four digits or more.
pub fn is_pci_address(text: &str) -> bool {
    let Some((address, function)) = text.rsplit_once('.') else { return false };
    let mut parts = address.split(':');
    let hex = |part: Option<&str>, least: usize, most: usize| {
        part.is_some_and(|p| (least..=most).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    hex(parts.next(), 4, 8)
        && hex(parts.next(), 2, 2)
        && hex(parts.next(), 2, 2)
        && parts.next().is_none()
        && hex(Some(function), 1, 1)
}

/// The node of the nearest ancestor that knows one.
pub fn numa_node(reader: &Reader, path: &str) -> Option<u64> {
    let (_, directory) = pci(path)?;
    // -1 on machines with one node.
    reader.quiet_text(&format!("{directory}/numa_node"))?.parse().ok()
}

/// Driver of the PCI function.
pub fn driver(reader: &Reader, path: &str) -> Option<String> {
    let (_, directory) = pci(path)?;
    reader.link_name(&format!("{directory}/driver"))
}

/// The part of `/dev/disk/by-path` names that stands for the bus, e.g. `pci-0000:00:1f.2` or `platform-fe300000.mmc`.
pub fn by_path_of_bus(path: &str) -> Option<String> {
    if let Some((address, _)) = pci(path) {
        return Some(format!("pci-{address}"));
    }
    let mut parts = path.split('/');
    let platform = parts.by_ref().find(|p| *p == "platform").and_then(|_| {
        // The device nearest to the disk that is not yet the disk's own controller class.
        parts.next()
    })?;
    Some(format!("platform-{platform}"))
}

/// What is not placed sorts last.
pub fn sort_key(by_path: &Option<String>) -> &str {
    by_path.as_deref().unwrap_or("~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_pci_function() {
        let path = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/nvme0n1";
        assert_eq!(pci(path), Some(("0000:01:00.0", "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0")));
        assert_eq!(pci("/sys/devices/virtual/block/loop0"), None);
        assert_eq!(by_path_of_bus("/sys/devices/platform/fe.mmc/mmc_host/mmc0").as_deref(), Some("platform-fe.mmc"));
    }

    #[test]
    fn pci_addresses() {
        assert!(is_pci_address("0000:00:1f.2"));
        assert!(is_pci_address("10000:e1:00.0"));
        assert!(!is_pci_address("0:0:0:0"));
        assert!(!is_pci_address("pci0000:00"));
    }
}
