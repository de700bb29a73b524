//! PCI and USB devices.

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
        /// On the board: the number and the name that firmware gives it (SMBIOS type 41 or ACPI `_DSM`).
        onboard_index: Option<u64>,
        onboard_label: Option<String>,
        /// The firmware's number, by ACPI `_DSM` alone.
        acpi_index: Option<u64>,
        vpd: Option<VitalProductData>,
        /// What Advanced Error Reporting counted since boot.
        errors: Option<PciErrors>,
        /// The link's port has noted that the link was retrained to keep it reliable (Link Bandwidth Management Status).
        link_retrained: Option<bool>,
    }
}

record! {
    /// PCI Local Bus Specification 3.0, appendix I.
    VitalProductData {
        product: Option<String>,
        part_number: Option<String>,
        serial_number: Option<String>,
        manufacture_id: Option<String>,
        engineering_level: Option<String>,
        asset_tag: Option<String>,
        /// What makers add: keyword and text.
        other: std::collections::BTreeMap<String, String>,
    }
}

record! {
    PciErrors {
        correctable: u64,
        non_fatal: u64,
        fatal: u64,
        /// By the kernel's names (`RxErr`, `BadTLP`, `Rollover`, ...), those that are not zero.
        kinds: std::collections::BTreeMap<String, u64>,
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
