//! Fibre Channel ports and what they see (`/sys/class/fc_host`, `/sys/class/fc_remote_ports`).

use super::place;
use crate::model::{FcPort, FcRemotePort};
use crate::parse::names::natural;
use crate::source::Reader;

const HOSTS: &str = "/sys/class/fc_host";
const REMOTE: &str = "/sys/class/fc_remote_ports";

pub fn collect(reader: &Reader) -> Option<Vec<FcPort>> {
    let mut names = reader.try_list(HOSTS)?;
    names.sort_by(|a, b| natural(a, b));
    let mut remotes = reader.source().list(REMOTE).unwrap_or_default();
    remotes.sort_by(|a, b| natural(a, b));
    let mut ports: Vec<FcPort> = names.iter().filter_map(|name| port(reader, name, &remotes)).collect();
    ports.sort_by(|a, b| {
        let address = |p: &FcPort| p.pci_address.clone().unwrap_or_default();
        place::pci_order(&address(a), &address(b)).then_with(|| natural(&a.host, &b.host))
    });
    (!ports.is_empty()).then_some(ports)
}

fn port(reader: &Reader, host: &str, remotes: &[String]) -> Option<FcPort> {
    let real = reader.follow(HOSTS, host)?;
    let text = |name: &str| reader.quiet_text(&format!("{real}/{name}"));
    // Model, serial number and firmware: the transport's attributes of newer kernels, then those of lpfc, qla2xxx, bfa.
    let scsi_host = |name: &str| reader.quiet_text(&format!("/sys/class/scsi_host/{host}/{name}"));
    let any = |own: &str, names: &[&str]| known(text(own)).or_else(|| names.iter().find_map(|n| known(scsi_host(n))));
    let number = host.strip_prefix("host").unwrap_or_default();
    let below = remotes.iter().filter(|r| r.strip_prefix("rport-").and_then(|r| r.split(':').next()) == Some(number));
    Some(FcPort {
        host: host.to_owned(),
        pci_address: place::pci(&real).map(|(address, _)| address.to_owned()),
        driver: place::driver(reader, &real),
        node_name: name(text("node_name")),
        port_name: name(text("port_name")),
        port_id: text("port_id"),
        port_type: known(text("port_type")),
        state: known(text("port_state")),
        speed: text("speed").and_then(|t| speed(&t)),
        supported_speeds: text("supported_speeds").iter().flat_map(|t| t.split(',')).filter_map(speed).collect(),
        fabric_name: name(text("fabric_name")),
        symbolic_name: known(text("symbolic_name")),
        model: any("model", &["modelname", "model_name"]),
        serial: any("serial_number", &["serialnum", "serial_num"]),
        firmware: any("firmware_version", &["fwrev", "fw_version"]),
        virtual_port: real.contains("/vport-"),
        remote_ports: below.map(|r| remote(reader, r)).collect(),
    })
}

fn remote(reader: &Reader, port: &str) -> FcRemotePort {
    let text = |name: &str| reader.quiet_text(&format!("{REMOTE}/{port}/{name}"));
    let roles = text("roles").filter(|r| r != "unknown").unwrap_or_default();
    FcRemotePort {
        node_name: name(text("node_name")),
        port_name: name(text("port_name")),
        port_id: text("port_id"),
        state: known(text("port_state")),
        roles: roles.split(',').map(str::trim).filter(|r| !r.is_empty()).map(str::to_owned).collect(),
    }
}

fn known(text: Option<String>) -> Option<String> {
    text.filter(|t| !matches!(t.to_ascii_lowercase().as_str(), "unknown" | "not present" | "unspecified"))
}

/// Names of which all bits are alike stand for none.
fn name(text: Option<String>) -> Option<String> {
    text.filter(|t| {
        let digits = t.trim_start_matches("0x");
        !digits.bytes().all(|b| b == b'0') && !digits.bytes().all(|b| b == b'f')
    })
}

/// `16 Gbit`
fn speed(text: &str) -> Option<u64> {
    let number: u64 = text.trim().strip_suffix("Gbit")?.trim().parse().ok()?;
    number.checked_mul(1_000_000_000)
}
