//! Network interfaces.

use super::optics::Transceiver;
use super::section::{Problem, Status};

record! {
    /// One network interface with hardware (or a paravirtual device) of its own.
    Nic {
        /// Kernel name, e.g. `eth0`.
        name: String,
        status: Status,
        problems: Vec<Problem>,
        index: Option<u64>,
        /// Current address, lower-case with colons; longer than six bytes on InfiniBand.
        mac: Option<String>,
        permanent_mac: Option<String>,
        /// `ethernet`, `infiniband`, ...
        kind: Option<String>,
        driver: Option<String>,
        driver_version: Option<String>,
        firmware: Option<String>,
        pci_address: Option<String>,
        pci_id: Option<String>,
        vendor: Option<String>,
        model: Option<String>,
        numa_node: Option<u64>,
        /// Port on a device with several (`dev_port`).
        port: Option<u64>,
        physical_port_id: Option<String>,
        physical_port_name: Option<String>,
        by_path: Option<String>,
        /// Administratively up.
        up: Option<bool>,
        /// Absent while the interface is down: the kernel does not know then.
        carrier: Option<bool>,
        carrier_changes: Option<u64>,
        operstate: Option<String>,
        /// bit/s
        speed: Option<u64>,
        max_speed: Option<u64>,
        duplex: Option<String>,
        autonegotiation: Option<bool>,
        supported_modes: Vec<String>,
        /// `twisted-pair`, `fibre`, `direct-attach`, ...
        connector: Option<String>,
        mtu: Option<u64>,
        min_mtu: Option<u64>,
        max_mtu: Option<u64>,
        /// The machine network-booted from it (`BOOTIF`).
        bootif: bool,
        wake_on_lan: Option<bool>,
        sriov: Option<SrIov>,
        addresses: Vec<Address>,
        lldp: Vec<LldpNeighbour>,
        /// The card has an LLDP agent of its own, and whether it is on: then it keeps the frames from the kernel.
        lldp_agent: Option<bool>,
        /// Kernel name of the bond, bridge or team it is part of.
        master: Option<String>,
        infiniband_node_guid: Option<String>,
        infiniband_port_guid: Option<String>,
        /// As systemd would call it.
        names: Option<PredictableNames>,
        transceiver: Option<Transceiver>,
    }
}

record! {
    /// Names by systemd's naming scheme v252 (Debian 12), with what `ID_NET_NAME_*` of udev's database would be.
    PredictableNames {
        /// The one that the default link policy picks.
        name: Option<String>,
        /// `eno1`: by the index that firmware gives devices of the board.
        onboard: Option<String>,
        /// `ens3f1`: by the hot-plug slot.
        slot: Option<String>,
        /// `enp3s0f1`: by the place on the bus.
        path: Option<String>,
        /// `enx525400123456`
        mac: Option<String>,
        /// The firmware's label, as it is.
        label: Option<String>,
    }
}

record! {
    SrIov {
        total_vfs: u64,
        num_vfs: u64,
        /// This interface is itself a virtual function.
        is_vf: bool,
    }
}

record! {
    Address {
        /// With prefix length, e.g. `10.0.2.15/24`.
        address: String,
        scope: Option<String>,
    }
}

record! {
    /// IEEE 802.1AB.
    LldpNeighbour {
        chassis_id: String,
        chassis_id_kind: String,
        port_id: String,
        port_id_kind: String,
        /// Seconds.
        ttl: u64,
        port_description: Option<String>,
        system_name: Option<String>,
        system_description: Option<String>,
        capabilities: Vec<String>,
        enabled_capabilities: Vec<String>,
        management_addresses: Vec<String>,
        /// Port VLAN id (IEEE 802.1).
        port_vlan: Option<u64>,
        vlans: Vec<LldpVlan>,
        link_aggregation: Option<bool>,
        max_frame_size: Option<u64>,
        /// Everything that was heard, in order, for those who know more of it.
        tlvs: Vec<LldpTlv>,
    }
}

record! {
    LldpTlv {
        /// 0 to 127; 127 is an organisation's own.
        kind: u64,
        /// Hexadecimal.
        value: String,
    }
}

record! {
    LldpVlan {
        id: u64,
        name: String,
    }
}
