//! RDMA devices (`/sys/class/infiniband`): InfiniBand, RoCE, iWARP.

use super::place;
use crate::model::{RdmaDevice, RdmaPort};
use crate::parse::names::natural;
use crate::source::Reader;

const CLASS: &str = "/sys/class/infiniband";

pub fn collect(reader: &Reader) -> Option<Vec<RdmaDevice>> {
    let names = reader.try_list(CLASS)?;
    let mut devices: Vec<RdmaDevice> = names.into_iter().filter_map(|name| device(reader, name)).collect();
    devices.sort_by(|a, b| {
        let address = |d: &RdmaDevice| d.pci_address.clone().unwrap_or_default();
        place::pci_order(&address(a), &address(b)).then_with(|| a.node_guid.cmp(&b.node_guid))
    });
    (!devices.is_empty()).then_some(devices)
}

fn device(reader: &Reader, name: String) -> Option<RdmaDevice> {
    let real = reader.follow(CLASS, &name)?;
    let text = |name: &str| reader.quiet_text(&format!("{real}/{name}"));
    let mut ports: Vec<RdmaPort> = reader
        .list(&format!("{real}/ports"))
        .into_iter()
        .filter_map(|port| Some(self::port(reader, &format!("{real}/ports/{port}"), port.parse().ok()?)))
        .collect();
    ports.sort_by_key(|p| p.port);
    // `device/net` of the PCI function; drivers without PCI hang their interfaces on the same parent.
    let mut interfaces = reader.source().list(&format!("{real}/device/net")).unwrap_or_default();
    if interfaces.is_empty()
        && let Some(device) = reader.follow(&real, "device")
    {
        interfaces = reader.source().list(&format!("{device}/net")).unwrap_or_default();
    }
    interfaces.sort_by(|a, b| natural(a, b));
    Some(RdmaDevice {
        pci_address: place::pci(&real).map(|(address, _)| address.to_owned()),
        driver: place::driver(reader, &real),
        kind: text("node_type").map(|t| kind(&t)),
        node_guid: text("node_guid").filter(|g| not_zero(g)),
        sys_image_guid: text("sys_image_guid").filter(|g| not_zero(g)),
        node_description: text("node_desc"),
        firmware: text("fw_ver"),
        board_id: text("board_id"),
        hardware_type: text("hca_type"),
        hardware_revision: text("hw_rev"),
        numa_node: place::numa_node(reader, &real),
        ports,
        interfaces,
        name,
    })
}

fn port(reader: &Reader, directory: &str, port: u64) -> RdmaPort {
    let text = |name: &str| reader.quiet_text(&format!("{directory}/{name}"));
    let lid = |name: &str| {
        text(name).and_then(|t| u64::from_str_radix(t.trim_start_matches("0x"), 16).ok()).filter(|&l| l != 0)
    };
    let (rate, width) = text("rate").map(|t| rate(&t)).unwrap_or_default();
    RdmaPort {
        port,
        state: text("state").map(|t| word(&t)),
        physical_state: text("phys_state").map(|t| word(&t)),
        link_layer: text("link_layer").filter(|l| l != "Unknown"),
        rate,
        width,
        lid: lid("lid"),
        sm_lid: lid("sm_lid"),
        gid: text("gids/0").filter(|g| not_zero(g)),
    }
}

/// `4: ACTIVE`
fn word(text: &str) -> String {
    text.split_once(": ").map_or(text, |(_, word)| word).to_owned()
}

/// `1: CA`
fn kind(text: &str) -> String {
    match text.split(':').next() {
        Some("1") => "channel-adapter",
        Some("2") => "switch",
        Some("3") => "router",
        Some("4") => "rnic",
        Some("5") => "usnic",
        Some("6") => "usnic-udp",
        _ => return word(text),
    }
    .to_owned()
}

/// `100 Gb/sec (4X EDR)`, `2.5 Gb/sec (1X SDR)`: bit/s and lanes.
fn rate(text: &str) -> (Option<u64>, Option<u64>) {
    let Some((number, rest)) = text.split_once(" Gb/sec") else { return (None, None) };
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let gigabits = whole.parse::<u64>().ok().and_then(|w| w.checked_mul(1_000_000_000));
    let tenths = tenths.get(..1).and_then(|t| t.parse::<u64>().ok());
    let lanes = rest.trim().strip_prefix('(').and_then(|r| r.split_once('X')).and_then(|(n, _)| n.parse().ok());
    (gigabits.zip(tenths).and_then(|(w, t)| w.checked_add(t * 100_000_000)), lanes)
}

fn not_zero(text: &str) -> bool {
    !text.bytes().all(|b| matches!(b, b'0' | b':'))
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates() {
        assert_eq!(rate("100 Gb/sec (4X EDR)"), (Some(100_000_000_000), Some(4)));
        assert_eq!(rate("2.5 Gb/sec (1X SDR)"), (Some(2_500_000_000), Some(1)));
        assert_eq!(rate("400 Gb/sec (4X NDR)"), (Some(400_000_000_000), Some(4)));
        assert_eq!(rate("99999999999999999999 Gb/sec (é"), (None, None));
    }
}
