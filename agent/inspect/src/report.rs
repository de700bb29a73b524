//! The report in machine-readable form: `burin image check --json`.

use burin_protocol::image::ImageFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: &str = "image-report/v1";

/// What an image is, and what will break elsewhere. Sizes and places in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Always `image-report/v1`.
    pub version: String,
    pub image: ImageFacts,
    pub table: TableFacts,
    pub boot: BootFacts,
    /// None where no root filesystem was found, or it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemFacts>,
    pub findings: Vec<Finding>,
    /// What an order wants of the image, step by step; where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderReport>,
    /// What could not be looked at, and why. Faults may hide there.
    pub not_looked_at: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageFacts {
    /// The first URL without credentials, or the path.
    pub name: String,
    pub format: ImageFormat,
    /// none, gzip, xz, zstd, lz4 or bzip2.
    pub compression: String,
    /// As published, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire_bytes: Option<u64>,
    /// As it would be on the disk.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableFacts {
    /// `gpt`, `mbr`, or `none`.
    pub kind: String,
    /// Of the disks that it was made for, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector_size: Option<u32>,
    /// In the order of their places; logical volumes behind them.
    pub volumes: Vec<VolumeReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeReport {
    /// Of the partition; none for logical volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The partition's type as orders name it, or its GUID.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    pub start: u64,
    pub size: u64,
    /// As libblkid names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where the system has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
}

/// How firmware starts it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BootFacts {
    /// What a BIOS starts: `GRUB`, `syslinux`, or `a boot sector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios: Option<String>,
    /// EFI programs on the EFI system partition that firmware or a boot entry could start.
    pub uefi: Vec<LoaderFacts>,
    /// Words of the kernel command lines, each with the place that it was read from.
    pub command_lines: Vec<CommandLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoaderFacts {
    pub path: String,
    /// `x86_64`, `aarch64`, ...
    pub architecture: String,
    /// shim, GRUB, systemd-boot, a unified kernel image, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
    /// Where firmware looks without a boot entry.
    pub fallback: bool,
    /// It carries a signature for Secure BootFacts; whose is not judged.
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
    /// Its ramdisk; none where it has none, or none was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramdisk: Option<RamdiskReport>,
    /// Drivers by the kind of hardware.
    pub drivers: BTreeMap<String, Drivers>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RamdiskReport {
    pub path: String,
    pub bytes: u64,
    /// Of its archives, in order; `none` is early microcode.
    pub compressions: Vec<String>,
    pub modules: usize,
}

/// Where the drivers of a kind of hardware are, by the names of modules.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drivers {
    pub built_in: Vec<String>,
    pub ramdisk: Vec<String>,
    /// In the root filesystem only: too late for the disk that holds it.
    pub root: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudInit {
    pub version: Option<String>,
    /// `datasource_list`; empty where nothing limits it.
    pub datasources: Vec<String>,
    pub enabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It will break, or must not leave the house.
    Error,
    /// It may surprise.
    Warning,
}

/// Something that will break elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable; docs/errors.md has them all.
    pub code: String,
    pub severity: Severity,
    /// What is there, with its path or partition.
    pub what: String,
    /// What comes of it.
    pub why: String,
    pub remedy: String,
    /// The caller said that it is meant so: it does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

/// What an order wants of the image.
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
    /// Why not, or what to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Report {
    /// Whether nothing stands against publishing it.
    pub fn is_good(&self) -> bool {
        let bad = |finding: &Finding| finding.severity == Severity::Error && !finding.accepted;
        let mut order = self.order.iter().flat_map(|order| &order.steps);
        !self.findings.iter().any(bad) && order.all(|step| step.possible)
    }
}
