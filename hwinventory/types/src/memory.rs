//! Memory and its modules.

record! {
    Memory {
        /// Installed, as the sum of what modules have as main memory (SMBIOS) or of the kernel's memory blocks.
        physical: Option<u64>,
        /// Persistent memory in modules, as far as it is not used as main memory.
        persistent: Option<u64>,
        /// What the kernel can use (`MemTotal`).
        usable: Option<u64>,
        available: Option<u64>,
        swap: Option<u64>,
        /// Size of one default huge page.
        huge_page_size: Option<u64>,
        arrays: Vec<MemoryArray>,
        /// Every slot, empty ones too, in the order of the firmware's table.
        dimms: Vec<Dimm>,
        ecc: Vec<EccCounter>,
    }
}

record! {
    /// SMBIOS type 16.
    MemoryArray {
        location: Option<String>,
        usage: Option<String>,
        error_correction: Option<String>,
        max_capacity: Option<u64>,
        slots: Option<u64>,
    }
}

record! {
    /// SMBIOS type 17.
    Dimm {
        locator: Option<String>,
        bank: Option<String>,
        populated: bool,
        size: Option<u64>,
        /// How much of it is main memory: 0 of flash chips, of video memory, and of persistent memory that is used as such.
        volatile_size: Option<u64>,
        /// How much of it keeps its content.
        non_volatile_size: Option<u64>,
        /// What the array is for that it belongs to, e.g. `System Memory`, `Flash Memory`.
        usage: Option<String>,
        kind: Option<String>,
        form_factor: Option<String>,
        /// Type detail bits: `registered`, `synchronous`, ...
        detail: Vec<String>,
        /// Transfers per second.
        rated_speed: Option<u64>,
        configured_speed: Option<u64>,
        ranks: Option<u64>,
        manufacturer: Option<String>,
        part_number: Option<String>,
        serial_number: Option<String>,
        asset_tag: Option<String>,
        data_width: Option<u64>,
        total_width: Option<u64>,
        /// Wider in total than in data.
        ecc: Option<bool>,
        /// Millivolts.
        configured_voltage: Option<u64>,
        technology: Option<String>,
        /// Error counts of the EDAC driver, where it names this slot.
        corrected_errors: Option<u64>,
        uncorrected_errors: Option<u64>,
    }
}

record! {
    /// A memory controller of the EDAC driver.
    EccCounter {
        controller: String,
        name: Option<String>,
        corrected: u64,
        uncorrected: u64,
    }
}
