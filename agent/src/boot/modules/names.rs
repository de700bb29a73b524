//! Modules that no modalias requests, loaded by name. A name that the ramdisk lacks is skipped silently: module names
//! differ between kernels, and some modules are built in.

/// Before any device: DHCP needs raw sockets.
pub const FIRST: &[&str] = &["af_packet"];

/// After the devices that are there at the start: what makes them usable.
pub const ALWAYS: &[&str] = &[
    // Bound by SCSI type aliases too; by name it is certain.
    "sd_mod",
    "sr_mod",
    "sg",
    "nvme",
    "loop",
    // The firmware's variables: boot entries.
    "efivarfs",
    // Baseboard management, and machines without ACPI tables for their TPM.
    "ipmi_si",
    "ipmi_ssif",
    "ipmi_devintf",
    "tpm_tis",
    "tpm_crb",
    // Where firmware has booted from over iSCSI: without ACPI tables it is found in memory only.
    "iscsi_ibft",
];

/// Drivers that bring neither a disk nor a NIC: nobody waits for them, and a BMC that never answers holds up its own
/// driver for minutes.
pub const ASIDE: &[&str] = &[
    "kernel/drivers/char",
    "kernel/drivers/edac",
    "kernel/drivers/gpu",
    "kernel/drivers/hid",
    "kernel/drivers/hwmon",
    "kernel/drivers/i2c",
    "kernel/drivers/input",
    "kernel/drivers/watchdog",
];

/// After the first round of coldplug: file systems and block layers that the agent mounts or assembles. Btrfs and RAID with
/// parity are not among them: what they compute parity with measures itself while it is loaded, which takes a second of a
/// processor, and the kernel asks for them when they are used.
pub const LATE: &[&str] = &[
    "crc32c_intel",
    "crc32c_generic",
    "ext4",
    "xfs",
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
    "isofs",
];
