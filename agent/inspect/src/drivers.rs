//! Drivers by the kind of hardware that an image may meet on other machines.

use crate::files::{Files, lines};
use crate::ramdisk::{Ramdisk, module};
use crate::report::Drivers;
use std::collections::{BTreeMap, BTreeSet};

/// A kind of hardware.
#[derive(Debug)]
pub struct Hardware {
    pub name: &'static str,
    /// Names of modules, with `_` for `-`.
    pub modules: &'static [&'static str],
    pub need: Need,
}

/// Where its drivers must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nearly every machine has such disks: without the driver in the ramdisk, the image does not boot there.
    Disk,
    /// Disks of many machines: a missing driver is a warning.
    SomeDisks,
    /// Needed only after the root is mounted.
    Network,
}

pub const HARDWARE: &[Hardware] = &[
    Hardware { name: "NVMe", modules: &["nvme"], need: Need::Disk },
    Hardware { name: "SATA", modules: &["ahci"], need: Need::Disk },
    Hardware {
        name: "SAS and RAID",
        modules: &["megaraid_sas", "mpt3sas", "smartpqi", "hpsa", "aacraid", "mpi3mr", "mptsas", "arcmsr"],
        need: Need::SomeDisks,
    },
    Hardware { name: "virtio", modules: &["virtio_blk", "virtio_scsi"], need: Need::SomeDisks },
    Hardware { name: "Hyper-V", modules: &["hv_storvsc"], need: Need::SomeDisks },
    Hardware { name: "VMware", modules: &["vmw_pvscsi", "mptspi"], need: Need::SomeDisks },
    Hardware { name: "USB storage", modules: &["usb_storage", "uas"], need: Need::SomeDisks },
    Hardware {
        name: "network cards",
        modules: &[
            "e1000e",
            "igb",
            "igc",
            "ixgbe",
            "i40e",
            "ice",
            "tg3",
            "bnxt_en",
            "bnx2x",
            "mlx4_en",
            "mlx5_core",
            "r8169",
            "qede",
            "be2net",
            "sfc",
            "atlantic",
        ],
        need: Need::Network,
    },
    Hardware {
        name: "network cards of virtual machines",
        modules: &["virtio_net", "hv_netvsc", "vmxnet3", "e1000", "ena", "gve"],
        need: Need::Network,
    },
];

/// A kernel's modules, by location.
#[derive(Debug, Default)]
pub struct Modules {
    pub built_in: BTreeSet<String>,
    pub root: BTreeSet<String>,
}

impl Modules {
    /// The modules of the kernel `version`, from the lists in its folder.
    pub fn read(files: &Files, version: &str) -> Self {
        let folder = ["/usr/lib/modules", "/lib/modules"].map(|folder| format!("{folder}/{version}"));
        let list = |name: &str| folder.iter().find_map(|folder| files.text(&format!("{folder}/{name}")));
        let names = |text: &str| -> BTreeSet<String> {
            lines(text).filter_map(|line| module(line.split(':').next().unwrap_or(line))).collect()
        };
        Self {
            built_in: list("modules.builtin").map(|text| names(&text)).unwrap_or_default(),
            root: list("modules.dep").map(|text| names(&text)).unwrap_or_default(),
        }
    }

    /// Adds the built-in modules as listed in a ramdisk, if the root has no list.
    pub fn add_built_in(&mut self, ramdisk: &Ramdisk) {
        for (path, bytes) in &ramdisk.kept {
            if path.ends_with("/modules.builtin") {
                self.built_in.extend(lines(&String::from_utf8_lossy(bytes)).filter_map(module));
            }
        }
    }

    /// By kind of hardware.
    pub fn drivers(&self, ramdisk: Option<&Ramdisk>) -> BTreeMap<String, Drivers> {
        let all = HARDWARE.iter().map(|hardware| {
            let mut drivers = Drivers::default();
            for name in hardware.modules {
                if self.built_in.contains(*name) {
                    drivers.built_in.push((*name).to_owned());
                } else if ramdisk.is_some_and(|ramdisk| ramdisk.modules.contains(*name)) {
                    drivers.ramdisk.push((*name).to_owned());
                } else if self.root.contains(*name) {
                    drivers.root.push((*name).to_owned());
                }
            }
            (hardware.name.to_owned(), drivers)
        });
        all.collect()
    }
}
