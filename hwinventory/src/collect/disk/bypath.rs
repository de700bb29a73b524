//! The name udev's `path_id` gives below `/dev/disk/by-path`.

use crate::collect::place;
use crate::model::{Disk, Transport};
use crate::source::Reader;

pub fn by_path(reader: &Reader, real: &str, disk: &Disk) -> Option<String> {
    let bus = match &disk.pci_address {
        Some(address) => Some(format!("pci-{address}")),
        None => place::by_path_of_bus(real),
    };
    let parts: Vec<&str> = real.split('/').collect();
    let find = |accept: &dyn Fn(&str) -> bool| parts.iter().rposition(|p| accept(p));
    let mut names: Vec<String> = bus.into_iter().collect();
    if let Some(usb) = find(&|p| usb_interface(p).is_some()) {
        names.extend(parts.get(usb).and_then(|p| usb_interface(p)).map(|port| format!("usb-0:{port}")));
    }
    if let Some(nvme) = &disk.nvme {
        names.push(format!("nvme-{}", nvme.namespace_id?));
    } else if let Some(hctl) = &disk.hctl {
        names.push(scsi(reader, &parts, hctl, disk)?);
    }
    (!names.is_empty()).then(|| names.join("-"))
}

/// `1-1.4:1.0` is interface 1.0 of the device in port 1.4 of bus 1.
fn usb_interface(part: &str) -> Option<&str> {
    let (bus, rest) = part.split_once('-')?;
    let (port, interface) = rest.split_once(':')?;
    let numeric = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (bus.bytes().all(|b| b.is_ascii_digit()) && !bus.is_empty() && numeric(port) && numeric(interface)).then_some(rest)
}

fn scsi(reader: &Reader, parts: &[&str], hctl: &str, disk: &Disk) -> Option<String> {
    let numbers: Vec<u64> = hctl.split(':').filter_map(|n| n.parse().ok()).collect();
    let [host, channel, target, lun] = numbers.as_slice() else { return None };
    let lun_name = if *lun < 256 { format!("lun-{lun}") } else { format!("lun-0x{lun:04x}00000000") };
    let at = |prefix: &str| parts.iter().rposition(|p| p.starts_with(prefix));
    let directory = |index: usize| parts.get(..=index).map(|p| p.join("/"));
    let name = |index: usize| parts.get(index).copied().unwrap_or_default();
    let text = |path: String| reader.quiet_text(&path);

    if let Some(port) = at("rport-") {
        let port_name = text(format!("/sys/class/fc_remote_ports/{}/port_name", name(port)));
        let port_name =
            port_name.or_else(|| text(format!("{}/fc_remote_ports/{}/port_name", directory(port)?, name(port))))?;
        return Some(format!("fc-{port_name}-{lun_name}"));
    }
    if let Some(device) = at("end_device-") {
        let class = format!("{}/sas_device/{}", directory(device)?, name(device));
        let address = text(format!("{class}/sas_address"));
        let expander =
            at("expander-").and_then(|e| text(format!("{}/sas_device/{}/sas_address", directory(e)?, name(e))));
        let phy = text(format!("{class}/phy_identifier"));
        return match (phy, expander, address) {
            (Some(phy), Some(expander), _) => Some(format!("sas-exp{expander}-phy{phy}-{lun_name}")),
            (Some(phy), None, _) => Some(format!("sas-phy{phy}-{lun_name}")),
            (None, _, Some(address)) => Some(format!("sas-{address}-{lun_name}")),
            _ => None,
        };
    }
    if let Some(session) = at("session") {
        let class = format!("{}/iscsi_session/{}", directory(session)?, name(session));
        let target = text(format!("{class}/targetname"))?;
        let connection = reader.list(&directory(session)?).into_iter().find(|n| n.starts_with("connection"))?;
        let class = format!("{}/{connection}/iscsi_connection/{connection}", directory(session)?);
        let address = text(format!("{class}/persistent_address"))?;
        let port = text(format!("{class}/persistent_port"))?;
        return Some(format!("ip-{address}:{port}-iscsi-{target}-{lun_name}"));
    }
    let ata = parts.iter().rposition(|p| p.strip_prefix("ata").is_some_and(|n| n.parse::<u32>().is_ok()));
    if let Some(ata) = ata.filter(|_| disk.transport == Transport::Sata) {
        // port_no counts the ports of one controller from 1; the number in the name counts those of the machine.
        let class = format!("{}/ata_port/{}/port_no", directory(ata)?, name(ata));
        let port = text(class).or_else(|| text(format!("/sys/class/ata_port/{}/port_no", name(ata))));
        let port = port.unwrap_or_else(|| name(ata).trim_start_matches("ata").to_owned());
        // Behind a port multiplier the channel tells the disks apart, else the target (master, slave).
        return Some(if *channel != 0 { format!("ata-{port}.{channel}.0") } else { format!("ata-{port}.{target}") });
    }
    // Host numbers change: count them from the lowest of the same controller.
    let host_at = parts.iter().rposition(|p| p.strip_prefix("host").is_some_and(|n| n.parse::<u64>().is_ok()))?;
    let siblings = reader.source().list(&directory(host_at.checked_sub(1)?)?).unwrap_or_default();
    let lowest = siblings.iter().filter_map(|n| n.strip_prefix("host")?.parse::<u64>().ok()).min().unwrap_or(*host);
    Some(format!("scsi-{}:{channel}:{target}:{lun}", host.saturating_sub(lowest)))
}

#[cfg(test)]
mod tests {
    use super::usb_interface;

    #[test]
    fn usb_ports() {
        assert_eq!(usb_interface("1-1.4:1.0"), Some("1.4:1.0"));
        assert_eq!(usb_interface("1-1.4"), None);
        assert_eq!(usb_interface("target0:0:0"), None);
        assert_eq!(usb_interface("end_device-0:1"), None);
    }
}
