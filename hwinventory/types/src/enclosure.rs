//! Disk enclosures and bays.

record! {
    /// A box with drives in it, or a backplane (SCSI Enclosure Services, SES-3).
    Enclosure {
        /// 16 hexadecimal digits.
        logical_id: Option<String>,
        /// SCSI `host:channel:target:lun` of its processor.
        hctl: Option<String>,
        vendor: Option<String>,
        model: Option<String>,
        firmware: Option<String>,
        /// How it is known: `ses` (the kernel's driver), `ses-pages` (asked by this program).
        source: String,
        /// Of the whole: `ok`, `non-critical`, `critical`, `unrecoverable`; absent when it was not asked.
        status: Option<String>,
        slots: Vec<EnclosureSlot>,
        /// Fans, power supplies, temperature sensors and what else it watches.
        elements: Vec<EnclosureElement>,
    }
}

record! {
    EnclosureSlot {
        /// The enclosure's name for it.
        name: Option<String>,
        /// The number on the bay.
        number: Option<u64>,
        /// `OK`, `critical`, `not installed`, ...
        status: Option<String>,
        fault: Option<bool>,
        locate: Option<bool>,
        power: Option<bool>,
        /// Of the drive's ports.
        sas_addresses: Vec<String>,
        /// Kernel name of the disk in it.
        disk: Option<String>,
    }
}

record! {
    EnclosureElement {
        /// `power-supply`, `cooling`, `temperature`, `voltage`, ...
        kind: String,
        name: Option<String>,
        status: Option<String>,
        /// Degrees Celsius, of temperature sensors.
        temperature: Option<i64>,
        /// Revolutions per minute, of fans.
        speed: Option<u64>,
        /// Millivolts, of voltage sensors.
        voltage: Option<i64>,
        /// Milliamperes, of current sensors.
        current: Option<i64>,
    }
}

record! {
    /// Where a hand finds the disk.
    Bay {
        /// Of the enclosure it is in.
        enclosure: Option<String>,
        slot: Option<u64>,
        /// What is written beside it, or the name that firmware gives the slot.
        name: Option<String>,
        /// `ses`, `ses-pages`, `sas` (the bay that the transport reports), `pci-slot`, `smbios`.
        source: String,
        /// Its lights, as SES, NPEM or Intel's VMD (VPP) drive them.
        locate: Option<bool>,
        fault: Option<bool>,
    }
}
