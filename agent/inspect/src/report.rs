//! The report in machine-readable form: `burin image check --json`.

use burin_protocol::image::ImageFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: &str = "image-report/v1";

/// The properties of an image, and what will break on other machines. Sizes and positions are in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Always `image-report/v1`.
    pub version: String,
    pub image: ImageFacts,
    pub table: TableFacts,
    pub boot: BootFacts,
    /// Absent if no root filesystem was found, or if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemFacts>,
    pub findings: Vec<Finding>,
    /// What an order requires of the image, step by step. Absent if no order was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderReport>,
    /// What could not be inspected, and why. Faults may be hidden there.
    pub not_looked_at: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageFacts {
    /// The first URL without credentials, or the path.
    pub name: String,
    pub format: ImageFormat,
    /// none, gzip, xz, zstd, lz4 or bzip2.
    pub compression: String,
    /// Size of the file as published, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire_bytes: Option<u64>,
    /// Size on the disk.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableFacts {
    /// `gpt`, `mbr`, or `none`.
    pub kind: String,
    /// Sector size of the disks for which the table was made, if it can be determined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector_size: Option<u32>,
    /// Ordered by position; logical volumes last.
    pub volumes: Vec<VolumeReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeReport {
    /// Number of the partition; absent for logical volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The partition's type as orders name it, or its GUID.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    pub start: u64,
    pub size: u64,
    /// libblkid's name of the filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Mount points in the system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
}

/// How firmware starts the image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BootFacts {
    /// The program that a BIOS starts: `GRUB`, `syslinux`, or `a boot sector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios: Option<String>,
    /// EFI programs on the EFI system partition that firmware or a boot entry could start.
    pub uefi: Vec<LoaderFacts>,
    /// Words of the kernel command lines, each with the place where it was found.
    pub command_lines: Vec<CommandLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoaderFacts {
    pub path: String,
    /// `x86_64`, `aarch64`, ...
    pub architecture: String,
    /// shim, GRUB, systemd-boot or a unified kernel image, if it can be determined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
    /// Whether firmware starts it without a boot entry.
    pub fallback: bool,
    /// Whether it has a signature for Secure Boot. The signer is not checked.
    pub signed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandLine {
    pub from: String,
    pub words: String,
}

/// The installed system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemFacts {
    /// `partition 3`, `logical volume vg/root`, or `the image`, with the subvolume or deployment in it.
    pub root: String,
    pub filesystem: String,
    /// PRETTY_NAME of os-release.
    pub name: String,
    pub kernels: Vec<KernelFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<CloudInit>,
    /// `console=` words, in order.
    pub consoles: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KernelFacts {
    pub version: String,
    /// Its ramdisk; absent if none was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramdisk: Option<RamdiskReport>,
    /// Drivers by the kind of hardware.
    pub drivers: BTreeMap<String, Drivers>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RamdiskReport {
    pub path: String,
    pub bytes: u64,
    /// Compressions of its archives, in order; `none` for early microcode.
    pub compressions: Vec<String>,
    pub modules: usize,
}

/// Drivers for one kind of hardware, as names of modules, by location.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drivers {
    pub built_in: Vec<String>,
    pub ramdisk: Vec<String>,
    /// Drivers in the root filesystem only: too late for the disk that contains it.
    pub root: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudInit {
    pub version: Option<String>,
    /// `datasource_list`; empty if it is not limited.
    pub datasources: Vec<String>,
    pub enabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It will break, or it must not be published.
    Error,
    /// It may cause surprises.
    Warning,
}

/// A fault that shows on other machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable; docs/errors.md lists all of them.
    pub code: String,
    pub severity: Severity,
    /// What was found, with its path or partition.
    pub what: String,
    /// The consequence.
    pub why: String,
    pub remedy: String,
    /// The caller accepts this finding, so it does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

/// What an order requires of the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderReport {
    pub id: String,
    /// The order's name for the image.
    pub image: String,
    pub layout: String,
    pub steps: Vec<StepReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepReport {
    pub step: String,
    pub possible: bool,
    /// Why it cannot be done, or what to know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Report {
    /// Whether nothing prevents its publication.
    pub fn is_good(&self) -> bool {
        let bad = |finding: &Finding| finding.severity == Severity::Error && !finding.accepted;
        let mut order = self.order.iter().flat_map(|order| &order.steps);
        !self.findings.iter().any(bad) && order.all(|step| step.possible)
    }
}
