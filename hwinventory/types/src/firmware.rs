//! Firmware and boot configuration.

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
        /// Firmware that capsules can update (UEFI's ESRT).
        resources: Vec<EsrtEntry>,
        /// The console that firmware uses (ACPI's SPCR).
        console: Option<SerialConsole>,
    }
}

record! {
    /// An entry of the EFI System Resource Table (UEFI 2.10, 23.4).
    EsrtEntry {
        /// GUID that tells what firmware this is.
        class: String,
        /// `system`, `device`, `uefi-driver`, `unknown`.
        kind: Option<String>,
        version: Option<u64>,
        lowest_supported_version: Option<u64>,
        last_attempt_version: Option<u64>,
        /// `success`, or why the last update failed.
        last_attempt: Option<String>,
    }
}

record! {
    /// Serial Port Console Redirection table.
    SerialConsole {
        /// `16550`, `pl011`, `sbsa`, ...
        interface: Option<String>,
        /// `memory` or `io`, and the address in hexadecimal, e.g. `io 0x3f8`.
        address: Option<String>,
        /// bit/s; absent where the firmware leaves it as it is.
        baud_rate: Option<u64>,
        /// `vt100`, `vt100+`, `vt-utf8`, `ansi`.
        terminal: Option<String>,
        flow_control: Vec<String>,
        pci_address: Option<String>,
        pci_id: Option<String>,
        interrupt: Option<u64>,
        /// What to write on the kernel command line, where the interface is one of a PC's four ports.
        console: Option<String>,
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
