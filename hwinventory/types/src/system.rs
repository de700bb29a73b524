//! The machine's identity, from SMBIOS or a device tree.

record! {
    /// Who made the machine and what it is called (SMBIOS types 0, 1, 2, 3, 9, 11, 39, 41). Placeholders that firmware
    /// ships unfilled ("To Be Filled By O.E.M.", "Default string") are left out.
    System {
        manufacturer: Option<String>,
        product_name: Option<String>,
        version: Option<String>,
        serial_number: Option<String>,
        /// In the byte order dmidecode and the kernel print.
        uuid: Option<String>,
        sku_number: Option<String>,
        family: Option<String>,
        wake_up_type: Option<String>,
        bios: Option<Bios>,
        baseboards: Vec<Baseboard>,
        chassis: Vec<Chassis>,
        slots: Vec<SystemSlot>,
        oem_strings: Vec<String>,
        power_supplies: Vec<PowerSupply>,
        onboard_devices: Vec<OnboardDevice>,
        /// Version of the SMBIOS specification the tables claim, `major.minor`.
        smbios_version: Option<String>,
        /// DMI says that it is a guest, or the CPU has a hypervisor bit: its name where known.
        hypervisor: Option<String>,
    }
}

record! {
    /// SMBIOS type 0.
    Bios {
        vendor: Option<String>,
        version: Option<String>,
        /// As the firmware writes it, usually MM/DD/YYYY.
        date: Option<String>,
        release: Option<String>,
        embedded_controller_release: Option<String>,
        rom_size: Option<u64>,
        /// The firmware says that it supports UEFI.
        uefi: Option<bool>,
        /// The firmware says that this is a virtual machine.
        virtual_machine: Option<bool>,
    }
}

record! {
    /// SMBIOS type 2.
    Baseboard {
        manufacturer: Option<String>,
        product_name: Option<String>,
        version: Option<String>,
        serial_number: Option<String>,
        asset_tag: Option<String>,
        location: Option<String>,
        kind: Option<String>,
    }
}

record! {
    /// SMBIOS type 3.
    Chassis {
        manufacturer: Option<String>,
        kind: Option<String>,
        version: Option<String>,
        serial_number: Option<String>,
        asset_tag: Option<String>,
        sku_number: Option<String>,
        /// Rack units.
        height: Option<u64>,
    }
}

record! {
    /// SMBIOS type 9.
    SystemSlot {
        designation: Option<String>,
        kind: Option<String>,
        /// Data lanes, e.g. `x8`.
        width: Option<String>,
        usage: Option<String>,
        length: Option<String>,
        id: Option<u64>,
        pci_address: Option<String>,
    }
}

record! {
    /// SMBIOS type 39.
    PowerSupply {
        location: Option<String>,
        name: Option<String>,
        manufacturer: Option<String>,
        serial_number: Option<String>,
        part_number: Option<String>,
        asset_tag: Option<String>,
        /// Milliwatts.
        max_power: Option<u64>,
        present: Option<bool>,
    }
}

record! {
    /// SMBIOS type 41 (or 10, which it replaced).
    OnboardDevice {
        designation: Option<String>,
        kind: Option<String>,
        enabled: Option<bool>,
        /// Counts the devices of one kind.
        instance: Option<u64>,
        pci_address: Option<String>,
    }
}
