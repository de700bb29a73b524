//! NVDIMMs, CXL memory and DAX devices.

record! {
    /// Memory that is not on the memory bus alone: NVDIMMs, CXL, and what the kernel makes of them.
    MemoryDevices {
        nvdimms: Vec<Nvdimm>,
        nvdimm_regions: Vec<NvdimmRegion>,
        nvdimm_namespaces: Vec<NvdimmNamespace>,
        cxl_memories: Vec<CxlMemory>,
        cxl_regions: Vec<CxlRegion>,
        dax: Vec<DaxDevice>,
    }
}

record! {
    Nvdimm {
        /// e.g. `nmem0`.
        name: String,
        /// Vendor, date and serial number, as the firmware's table joins them.
        unique_id: Option<String>,
        serial: Option<String>,
        vendor_id: Option<String>,
        device_id: Option<String>,
        /// The firmware's handle: node, socket, controller, channel, slot.
        handle: Option<String>,
        /// SMBIOS handle of the module.
        physical_id: Option<u64>,
        /// What is wrong with it, in the kernel's words (`save_fail`, `not_armed`, ...).
        flags: Vec<String>,
        /// `disabled`, `unlocked`, `locked`, `frozen`, `overwrite`.
        security: Option<String>,
        unsafe_shutdowns: Option<u64>,
    }
}

record! {
    NvdimmRegion {
        name: String,
        /// `pmem`, `blk`, `volatile`.
        kind: Option<String>,
        size: Option<u64>,
        available: Option<u64>,
        read_only: Option<bool>,
        numa_node: Option<u64>,
        persistence_domain: Option<String>,
        /// Modules that it is interleaved over.
        nvdimms: Vec<String>,
    }
}

record! {
    NvdimmNamespace {
        name: String,
        /// `raw`, `sector`, `fsdax`, `devdax`.
        mode: Option<String>,
        size: Option<u64>,
        uuid: Option<String>,
        label: Option<String>,
        region: Option<String>,
        /// Kernel names of the block or DAX device on it.
        devices: Vec<String>,
    }
}

record! {
    CxlMemory {
        /// e.g. `mem0`.
        name: String,
        pci_address: Option<String>,
        serial: Option<String>,
        firmware: Option<String>,
        numa_node: Option<u64>,
        volatile_size: Option<u64>,
        persistent_size: Option<u64>,
        security: Option<String>,
    }
}

record! {
    CxlRegion {
        name: String,
        /// `ram` or `pmem`.
        mode: Option<String>,
        size: Option<u64>,
        uuid: Option<String>,
        interleave_ways: Option<u64>,
        /// Bytes.
        interleave_granularity: Option<u64>,
        targets: Vec<String>,
    }
}

record! {
    DaxDevice {
        name: String,
        size: Option<u64>,
        align: Option<u64>,
        /// The node that the memory would be, or is.
        target_node: Option<u64>,
        numa_node: Option<u64>,
        driver: Option<String>,
    }
}
