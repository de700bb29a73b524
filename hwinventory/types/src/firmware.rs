words! {
    /// What started the kernel.
    BootMode {
        Uefi,
        Bios,
        #[default]
        Unknown,
    }
}

record! {
    /// How the machine boots.
    Firmware {
        boot_mode: BootMode,
        /// Word size of the UEFI firmware: 32 or 64.
        bitness: Option<u64>,
        secure_boot: Option<bool>,
        setup_mode: Option<bool>,
        /// UEFI `BootCurrent`, as four hexadecimal digits.
        boot_current: Option<String>,
        boot_next: Option<String>,
        boot_order: Vec<String>,
        boot_entries: Vec<BootEntry>,
        /// MAC of the NIC that network-booted, from `BOOTIF=` on the kernel command line.
        bootif: Option<String>,
        /// The kernel command line; values of words that look like secrets are masked.
        cmdline: Option<String>,
    }
}

record! {
    /// A UEFI `Boot####` variable.
    BootEntry {
        /// Four hexadecimal digits.
        id: String,
        description: String,
        active: bool,
        /// The device path in the UEFI text form, as far as its nodes are known.
        device_path: Option<String>,
        /// GUID of the GPT partition the entry starts from.
        partition_uuid: Option<String>,
    }
}
