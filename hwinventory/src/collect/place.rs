//! Where in the machine a device sits, from its path in sysfs (which must be free of links).

use crate::parse::names::natural;
use crate::source::Reader;
use std::cmp::Ordering;

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

/// By bus, in the order of addresses, then by port; what is not placed comes last. PCI addresses are hexadecimal of a
/// fixed width: device 02 comes before 1f, which the natural order of decimal numbers does not know.
pub fn order(a: Option<&str>, b: Option<&str>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else { return b.is_some().cmp(&a.is_some()) };
    let ((bus_a, rest_a), (bus_b, rest_b)) = (split_bus(a), split_bus(b));
    let below = || match (rest_a.starts_with(PCI), rest_b.starts_with(PCI)) {
        // Behind Intel's VMD: a second domain below the first.
        (true, true) => order(Some(rest_a), Some(rest_b)),
        _ => natural(rest_a, rest_b),
    };
    pci_order(bus_a, bus_b).then_with(below)
}

const PCI: &str = "pci-";

/// PCI addresses, the shorter domain first.
pub fn pci_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// `0000:00:1f.2` and the rest of `pci-0000:00:1f.2-ata-1.0`; other buses have no address to tell apart.
fn split_bus(by_path: &str) -> (&str, &str) {
    let Some(rest) = by_path.strip_prefix(PCI) else { return ("", by_path) };
    rest.split_once('-').unwrap_or((rest, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_pci_function() {
        let path = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/nvme0n1";
        assert_eq!(pci(path), Some(("0000:01:00.0", "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0")));
        assert_eq!(pci("/sys/devices/virtual/block/loop0"), None);
    }

    #[test]
    fn places_in_order() {
        let sorted = [
            "pci-0000:00:02.0-nvme-1",
            "pci-0000:00:02.0-nvme-10",
            "pci-0000:00:1f.2-ata-1.0",
            "pci-0000:00:1f.2-ata-2.0",
            "pci-0000:0a:00.0",
            "pci-0000:b2:05.5-pci-10000:09:00.0-nvme-1",
            "pci-0000:b2:05.5-pci-10000:0a:00.0-nvme-1",
            "pci-10000:e1:00.0-nvme-1",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(order(Some(pair[0]), Some(pair[1])), Ordering::Less, "{pair:?}");
        }
        assert_eq!(order(None, Some("pci-0000:00:02.0")), Ordering::Greater);
    }

    #[test]
    fn pci_addresses() {
        assert!(is_pci_address("0000:00:1f.2"));
        assert!(is_pci_address("10000:e1:00.0"));
        assert!(!is_pci_address("0:0:0:0"));
        assert!(!is_pci_address("pci0000:00"));
    }
}
