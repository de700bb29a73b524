//! Ways to storage and memory that lead out of the machine.

record! {
    /// A Fibre Channel port of this machine (`/sys/class/fc_host`). Names are 16 hexadecimal digits behind `0x`.
    FcPort {
        /// SCSI host, e.g. `host7`.
        host: String,
        pci_address: Option<String>,
        driver: Option<String>,
        /// World wide names of the node and of the port.
        node_name: Option<String>,
        port_name: Option<String>,
        /// Address in the fabric, `0x` and six digits; zero while there is none.
        port_id: Option<String>,
        /// `NPort (fabric via point-to-point)`, `LPort (private loop)`, ...: the kernel's words.
        port_type: Option<String>,
        /// `Online`, `Linkdown`, ...
        state: Option<String>,
        /// bit/s, nominal.
        speed: Option<u64>,
        supported_speeds: Vec<u64>,
        fabric_name: Option<String>,
        symbolic_name: Option<String>,
        model: Option<String>,
        serial: Option<String>,
        firmware: Option<String>,
        /// A virtual port (NPIV), whose host is another port.
        virtual_port: bool,
        remote_ports: Vec<FcRemotePort>,
    }
}

record! {
    FcRemotePort {
        node_name: Option<String>,
        port_name: Option<String>,
        port_id: Option<String>,
        state: Option<String>,
        /// `FCP Target`, `FCP Initiator`, `NVMe Discovery`, ...
        roles: Vec<String>,
    }
}

record! {
    /// An RDMA device (`/sys/class/infiniband`), with or without a network interface.
    RdmaDevice {
        name: String,
        pci_address: Option<String>,
        driver: Option<String>,
        /// `channel-adapter`, `switch`, `router`, `rnic`, ...
        kind: Option<String>,
        node_guid: Option<String>,
        sys_image_guid: Option<String>,
        node_description: Option<String>,
        firmware: Option<String>,
        board_id: Option<String>,
        hardware_type: Option<String>,
        hardware_revision: Option<String>,
        numa_node: Option<u64>,
        ports: Vec<RdmaPort>,
        /// Kernel names of the network interfaces on the same device.
        interfaces: Vec<String>,
    }
}

record! {
    RdmaPort {
        port: u64,
        /// `DOWN`, `INIT`, `ARMED`, `ACTIVE`, `ACTIVE_DEFER`.
        state: Option<String>,
        /// `Polling`, `LinkUp`, `Disabled`, ...
        physical_state: Option<String>,
        /// `InfiniBand` or `Ethernet`.
        link_layer: Option<String>,
        /// bit/s of all lanes.
        rate: Option<u64>,
        /// Lanes.
        width: Option<u64>,
        /// Local identifier, and that of the subnet manager; zero while there is none.
        lid: Option<u64>,
        sm_lid: Option<u64>,
        /// The first GID.
        gid: Option<String>,
    }
}

record! {
    /// Who this machine is to storage on the network, and what it was told of it.
    StorageFabrics {
        iscsi_initiator: Option<NameAndSource>,
        /// What the firmware's iSCSI boot left (iBFT).
        ibft: Option<Ibft>,
        iscsi_sessions: Vec<IscsiSession>,
        nvme_host_nqn: Option<NameAndSource>,
        nvme_host_id: Option<NameAndSource>,
        nvme_subsystems: Vec<NvmeSubsystem>,
    }
}

record! {
    NameAndSource {
        name: String,
        /// The file or table that it is from.
        source: String,
    }
}

record! {
    /// The iSCSI Boot Firmware Table.
    Ibft {
        initiator_name: Option<String>,
        nics: Vec<IbftNic>,
        targets: Vec<IbftTarget>,
    }
}

record! {
    IbftNic {
        index: u64,
        /// The firmware booted through it.
        boot_selected: bool,
        mac: Option<String>,
        pci_address: Option<String>,
        /// With prefix length.
        address: Option<String>,
        /// `dhcp`, `static`, `router-advertisement`, ...
        origin: Option<String>,
        gateway: Option<String>,
        name_servers: Vec<String>,
        dhcp_server: Option<String>,
        vlan: Option<u64>,
        hostname: Option<String>,
    }
}

record! {
    IbftTarget {
        index: u64,
        boot_selected: bool,
        name: Option<String>,
        address: Option<String>,
        port: Option<u64>,
        /// Eight bytes, hexadecimal.
        lun: Option<String>,
        /// `none`, `chap`, `mutual-chap`. The secrets are not read.
        authentication: Option<String>,
        /// Index of the interface it is reached through.
        nic: Option<u64>,
    }
}

record! {
    /// An open session (`/sys/class/iscsi_session`).
    IscsiSession {
        name: String,
        target_name: Option<String>,
        initiator_name: Option<String>,
        state: Option<String>,
        address: Option<String>,
        port: Option<u64>,
        interface: Option<String>,
    }
}

record! {
    /// An NVMe subsystem, local or remote (`/sys/class/nvme-subsystem`).
    NvmeSubsystem {
        name: String,
        nqn: Option<String>,
        model: Option<String>,
        serial: Option<String>,
        firmware: Option<String>,
        /// `nvm` or `discovery`.
        kind: Option<String>,
        /// How paths are chosen: `numa`, `round-robin`, `queue-depth`.
        io_policy: Option<String>,
        controllers: Vec<NvmeController>,
        /// Kernel names of the namespaces.
        namespaces: Vec<String>,
    }
}

record! {
    NvmeController {
        name: String,
        /// `pcie`, `tcp`, `rdma`, `fc`, `loop`.
        transport: Option<String>,
        /// PCI address, or `traddr=...,trsvcid=...`.
        address: Option<String>,
        state: Option<String>,
        controller_id: Option<u64>,
        /// `io`, `discovery`, `admin`.
        kind: Option<String>,
        host_nqn: Option<String>,
    }
}
