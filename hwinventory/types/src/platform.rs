//! TPMs, the BMC, watchdogs and the kernel.

record! {
    Tpm {
        name: String,
        /// `1.2` or `2.0`.
        version: Option<String>,
        manufacturer: Option<String>,
        firmware: Option<String>,
        driver: Option<String>,
        banks: Vec<TpmBank>,
        /// SHA-256 of the first endorsement key certificate, where the TPM holds one.
        ek_certificate_sha256: Option<String>,
        endorsement_keys: Vec<EndorsementKey>,
        /// The firmware left a log of what it measured, and the kernel shows it.
        event_log: Option<bool>,
    }
}

record! {
    /// What the TPM is known by. The same key has the same `public_sha256` wherever it was read from.
    EndorsementKey {
        /// `rsa-2048`, `ecc-p256`, ...
        algorithm: String,
        /// `certificate` (in non-volatile storage), `persistent` (a key that somebody made before) or `derived` (from
        /// the TPM's seed and the default template, by TPM2_CreatePrimary).
        source: String,
        /// SHA-256 of the public key as SubjectPublicKeyInfo in DER.
        public_sha256: Option<String>,
        /// SHA-256 of the certificate in DER.
        certificate_sha256: Option<String>,
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
        /// All LAN channels: those with an address first, then by number. What follows is the first one's.
        channels: Vec<BmcChannel>,
        channel: Option<u64>,
        address: Option<String>,
        netmask: Option<String>,
        gateway: Option<String>,
        mac: Option<String>,
        /// `static`, `dhcp`, `bios`, `other`.
        address_source: Option<String>,
        vlan: Option<u64>,
        ipv6_addresses: Vec<BmcAddress>,
        /// IPv6 is switched on.
        ipv6_enabled: Option<bool>,
        /// From SMBIOS type 42.
        host_interfaces: Vec<HostInterface>,
    }
}

record! {
    /// A network port of the BMC: a dedicated one, or one shared with the host.
    BmcChannel {
        channel: u64,
        address: Option<String>,
        netmask: Option<String>,
        gateway: Option<String>,
        mac: Option<String>,
        /// `static`, `dhcp`, `bios`, `other`.
        address_source: Option<String>,
        vlan: Option<u64>,
        ipv6_addresses: Vec<BmcAddress>,
        /// IPv6 is switched on.
        ipv6_enabled: Option<bool>,
    }
}

record! {
    BmcAddress {
        /// With prefix length.
        address: String,
        /// `static`, `slaac`, `dhcp`.
        source: Option<String>,
        /// `active`, `disabled`, `pending`, `failed`, `deprecated`, `invalid`.
        status: Option<String>,
    }
}

record! {
    /// SMBIOS type 42: a way from the host to its management controller.
    HostInterface {
        /// `network`, `KCS`, `OEM`, ...
        kind: Option<String>,
        /// `usb` or `pci`, with the ids to find the device by.
        device: Option<String>,
        vendor_id: Option<String>,
        product_id: Option<String>,
        mac: Option<String>,
        protocols: Vec<String>,
        redfish: Option<RedfishService>,
    }
}

record! {
    /// Where the Redfish service listens for the host (DSP0270).
    RedfishService {
        uuid: Option<String>,
        host_address_source: Option<String>,
        host_address: Option<String>,
        host_netmask: Option<String>,
        address_source: Option<String>,
        address: Option<String>,
        netmask: Option<String>,
        port: Option<u64>,
        vlan: Option<u64>,
        hostname: Option<String>,
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
