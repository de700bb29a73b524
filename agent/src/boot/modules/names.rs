//! Modules that no device asks for by modalias, loaded by name. A name that the ramdisk lacks is skipped in silence:
//! what a kernel calls a module differs, and which of them are built in too.

/// At once, beside coldplug: what makes disks, NICs and management controllers usable.
pub const ALWAYS: &[&str] = &[
    // Disks: upper drivers are bound by SCSI type aliases, these only make that quick and certain.
    "sd_mod",
    "sr_mod",
    "sg",
    "nvme",
    "loop",      // Raw sockets for DHCP.
    "af_packet", // The firmware's variables: boot entries.
    "efivarfs",  // Baseboard management.
    "ipmi_devintf",
    "ipmi_si",
    "ipmi_ssif", // Machines without ACPI tables for them.
    "tpm_tis",
    "tpm_crb",
];

/// After the first round of coldplug: file systems and block layers that the agent mounts or assembles.
pub const LATE: &[&str] = &[
    "crc32c_intel",
    "crc32c_generic",
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "nls_iso8859_1",
    "nls_utf8",
    "dm_mod",
    "md_mod",
    "raid0",
    "raid1",
    "raid10",
    "raid456",
    "isofs",
];
