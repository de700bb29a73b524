record! {
    PciDevice {
        /// `domain:bus:device.function`
        address: String,
        /// Hexadecimal, four digits.
        vendor_id: String,
        device_id: String,
        subsystem_vendor_id: Option<String>,
        subsystem_device_id: Option<String>,
        /// Six hexadecimal digits: base class, subclass, programming interface.
        class_id: String,
        revision: Option<String>,
        vendor: Option<String>,
        device: Option<String>,
        subsystem: Option<String>,
        class: Option<String>,
        driver: Option<String>,
        numa_node: Option<u64>,
        iommu_group: Option<u64>,
        /// Address of the bridge it is below.
        parent: Option<String>,
        /// PCI Express: `endpoint`, `root-port`, `upstream`, `downstream`, `integrated-endpoint`, ...
        port: Option<String>,
        link: Option<PciLink>,
        /// A display controller or accelerator.
        gpu: bool,
        total_vfs: Option<u64>,
        /// Designation of the slot it sits in.
        slot: Option<String>,
        enabled: Option<bool>,
    }
}

record! {
    PciLink {
        /// bit/s per lane (raw, as the link signals).
        speed: Option<u64>,
        max_speed: Option<u64>,
        width: Option<u64>,
        max_width: Option<u64>,
    }
}

record! {
    UsbDevice {
        /// Position in the tree, e.g. `1-1.4`.
        port: String,
        vendor_id: String,
        product_id: String,
        vendor: Option<String>,
        product: Option<String>,
        manufacturer: Option<String>,
        product_name: Option<String>,
        serial: Option<String>,
        class_id: Option<String>,
        class: Option<String>,
        version: Option<String>,
        /// bit/s
        speed: Option<u64>,
        drivers: Vec<String>,
        removable: Option<String>,
    }
}
