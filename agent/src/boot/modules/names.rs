//! Modules that no modalias requests, loaded by name. A name that the ramdisk lacks is skipped silently: module names
//! differ between kernels, and some modules are built in.

/// Before any device: DHCP needs raw sockets.
pub const FIRST: &[&str] = &["af_packet"];

/// After the devices that are present at the start: modules that make them usable.
pub const ALWAYS: &[&str] = &[
    // Also loaded through SCSI type aliases, but by name it is certain.
    "sd_mod",
    "sr_mod",
    "sg",
    "nvme",
    "loop",
    // The firmware's variables: boot entries.
    "efivarfs",
    // Baseboard management, and TPMs on machines without ACPI tables for them.
    "ipmi_si",
    "ipmi_ssif",
    "ipmi_devintf",
    "tpm_tis",
    "tpm_crb",
    // For firmware that booted over iSCSI: without ACPI tables, the boot table is only in memory.
    "iscsi_ibft",
];

/// Drivers for neither disks nor NICs: nothing waits for them, because a BMC that never answers blocks its driver for
/// minutes.
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

/// After the first round of coldplug: file systems and block layers that the agent mounts or assembles. Btrfs and
/// parity RAID are not listed: their parity code benchmarks itself for a second of CPU time when loaded, and the kernel
/// requests them when they are used.
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
