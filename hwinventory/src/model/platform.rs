record! {
    Tpm {
        name: String,
        /// `1.2` or `2.0`.
        version: Option<String>,
        manufacturer: Option<String>,
        firmware: Option<String>,
        driver: Option<String>,
        banks: Vec<TpmBank>,
        /// SHA-256 of the endorsement key certificate, where the TPM holds one.
        ek_certificate_sha256: Option<String>,
    }
}

record! {
    /// A PCR bank; the values identify the measured boot.
    TpmBank {
        algorithm: String,
        /// In register order, hexadecimal.
        pcrs: Vec<String>,
    }
}

record! {
    Bmc {
        device: Option<String>,
        /// From SMBIOS type 38.
        interface: Option<String>,
        ipmi_version: Option<String>,
        device_id: Option<u64>,
        firmware: Option<String>,
        manufacturer_id: Option<u64>,
        manufacturer: Option<String>,
        product_id: Option<u64>,
        guid: Option<String>,
        channel: Option<u64>,
        address: Option<String>,
        netmask: Option<String>,
        gateway: Option<String>,
        mac: Option<String>,
        /// `static`, `dhcp`, `bios`, `other`.
        address_source: Option<String>,
        vlan: Option<u64>,
        ipv6_addresses: Vec<String>,
    }
}

record! {
    Watchdog {
        name: String,
        identity: Option<String>,
        /// Seconds.
        timeout: Option<u64>,
        max_timeout: Option<u64>,
        state: Option<String>,
        nowayout: Option<bool>,
    }
}

record! {
    Kernel {
        release: Option<String>,
        version: Option<String>,
        architecture: Option<String>,
        hostname: Option<String>,
        tainted: Option<u64>,
        modules: Vec<String>,
        iommu: Option<bool>,
        lockdown: Option<String>,
    }
}
