//! The VLANs that a switch port names by LLDP, for `burin.vlan=lldp`.

use super::made::Heard;
use super::netlink::Link;
use crate::sys::frames::FrameSocket;
use hwinventory::model::LldpNeighbour;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

const ETHERTYPE: u16 = 0x88cc;
const GROUPS: [[u8; 6]; 3] =
    [[0x01, 0x80, 0xc2, 0, 0, 0x0e], [0x01, 0x80, 0xc2, 0, 0, 0x03], [0x01, 0x80, 0xc2, 0, 0, 0x00]];
/// Switches send every 30 seconds.
const PATIENCE: Duration = Duration::from_secs(32);
/// At most this many VLANs of a trunk are tried.
const MOST: usize = 8;

/// Listens once and stores what was heard; an empty list if nothing was.
pub fn listen(link: &Link, heard: &Heard) {
    let found = match hear(link) {
        Ok(found) => found,
        Err(error) => {
            log::warn!("{}: LLDP: {error}", link.name);
            None
        }
    };
    let ids = found.as_ref().map(tagged).unwrap_or_default();
    match (&found, ids.is_empty()) {
        (None, _) => log::warn!("{}: no LLDP from a switch: trying the network without a VLAN", link.name),
        (Some(_), true) => log::info!("{}: the switch announces no tagged VLAN", link.name),
        (Some(_), false) => log::info!("{}: the switch announces VLANs {ids:?}", link.name),
    }
    heard.lock().unwrap_or_else(PoisonError::into_inner).insert(link.index, ids);
}

fn hear(link: &Link) -> std::io::Result<Option<LldpNeighbour>> {
    let socket = FrameSocket::open(link.index, ETHERTYPE, &GROUPS)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let mut buffer = [0; 2048];
        if let Some(payload) = socket.receive(&mut buffer, left)?
            && let Some(neighbour) =
                hwinventory::lldp_neighbour(&[[0; 12].as_slice(), &ETHERTYPE.to_be_bytes(), payload].concat())
        {
            return Ok(Some(neighbour));
        }
    }
}

/// The announced VLANs without the port's own, which is untagged.
fn tagged(neighbour: &LldpNeighbour) -> Vec<u16> {
    let ids = neighbour.vlans.iter().map(|vlan| vlan.id).filter(|&id| Some(id) != neighbour.port_vlan);
    let ids = ids.filter_map(|id| u16::try_from(id).ok()).filter(|id| (1..=4094).contains(id));
    super::state::distinct(ids).into_iter().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hwinventory::model::LldpVlan;

    #[test]
    fn the_ports_own_vlan_has_no_tag() {
        let vlan = |id| LldpVlan { id, name: format!("v{id}") };
        let mut neighbour =
            LldpNeighbour { vlans: vec![vlan(1), vlan(100), vlan(100), vlan(4095)], ..LldpNeighbour::default() };
        neighbour.port_vlan = Some(1);
        assert_eq!(tagged(&neighbour), [100]);
    }
}
