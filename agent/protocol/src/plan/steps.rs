//! The table of steps. Each kind is one row here and one folder in the agent's `apply/steps/`, with its wire type
//! (which this crate compiles from there), its implementation and its tests. All code that must know every kind is
//! generated from this table, without wildcards: a kind that is forgotten somewhere does not compile.

use super::identifier::Identifier;
use super::node::Node;
use super::parts::{
    ArrayEntry, CrypttabEntry, Device, FstabEntry, PlannedFile, PlannedFilesystem, PlannedKey, PlannedPartition,
    PlannedPbkdf, PlannedPhysical, SeedTarget, TreeNeed, VolumeShape,
};
use super::{Kept, Plan, raid, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::image::Verify;
use super::super::order::{
    BootOrder, Bootloader, Consistency, Erase, FsType, PartitionPick, RaidLevel, SeedFormat, Size,
};

#[path = "../../../src/apply/steps/add_partition/wire.rs"]
mod add_partition;
#[path = "../../../src/apply/steps/boot_entry/wire.rs"]
mod boot_entry;
#[path = "../../../src/apply/steps/check_tree/wire.rs"]
mod check_tree;
#[path = "../../../src/apply/steps/create_group/wire.rs"]
mod create_group;
#[path = "../../../src/apply/steps/create_luks/wire.rs"]
mod create_luks;
#[path = "../../../src/apply/steps/create_raid/wire.rs"]
mod create_raid;
#[path = "../../../src/apply/steps/create_table/wire.rs"]
mod create_table;
#[path = "../../../src/apply/steps/create_volume/wire.rs"]
mod create_volume;
#[path = "../../../src/apply/steps/erase_disk/wire.rs"]
mod erase_disk;
#[path = "../../../src/apply/steps/format_namespace/wire.rs"]
mod format_namespace;
#[path = "../../../src/apply/steps/grow_filesystem/wire.rs"]
mod grow_filesystem;
#[path = "../../../src/apply/steps/grow_partition/wire.rs"]
mod grow_partition;
#[path = "../../../src/apply/steps/install_boot/wire.rs"]
mod install_boot;
#[path = "../../../src/apply/steps/keep_partitions/wire.rs"]
mod keep_partitions;
#[path = "../../../src/apply/steps/make_filesystem/wire.rs"]
mod make_filesystem;
#[path = "../../../src/apply/steps/mount/wire.rs"]
mod mount;
#[path = "../../../src/apply/steps/preserve/wire.rs"]
mod preserve;
#[path = "../../../src/apply/steps/relocate_backup_gpt/wire.rs"]
mod relocate_backup_gpt;
#[path = "../../../src/apply/steps/set_guids/wire.rs"]
mod set_guids;
#[path = "../../../src/apply/steps/stop_arrays/wire.rs"]
mod stop_arrays;
#[path = "../../../src/apply/steps/stop_volumes/wire.rs"]
mod stop_volumes;
#[path = "../../../src/apply/steps/unpack_tree/wire.rs"]
mod unpack_tree;
#[path = "../../../src/apply/steps/wipe/wire.rs"]
mod wipe;
#[path = "../../../src/apply/steps/write_crypttab/wire.rs"]
mod write_crypttab;
#[path = "../../../src/apply/steps/write_files/wire.rs"]
mod write_files;
#[path = "../../../src/apply/steps/write_fstab/wire.rs"]
mod write_fstab;
#[path = "../../../src/apply/steps/write_image/wire.rs"]
mod write_image;
#[path = "../../../src/apply/steps/write_mdadm_conf/wire.rs"]
mod write_mdadm_conf;
#[path = "../../../src/apply/steps/write_partition/wire.rs"]
mod write_partition;
#[path = "../../../src/apply/steps/write_seed/wire.rs"]
mod write_seed;

pub use stop_volumes::{MappedVolume, VolumeKind};

/// Calls the macro `$each` with all rows: module, type, name on the wire.
#[macro_export]
macro_rules! for_each_step {
    ($each:ident) => {
        $each! {
            preserve Preserve "preserve",
            stop_arrays StopArrays "stop-arrays",
            keep_partitions KeepPartitions "keep-partitions",
            stop_volumes StopVolumes "stop-volumes",
            format_namespace FormatNamespace "format-namespace",
            erase_disk EraseDisk "erase-disk",
            write_image WriteImage "write-image",
            relocate_backup_gpt RelocateBackupGpt "relocate-backup-gpt",
            set_guids SetGuids "set-guids",
            grow_partition GrowPartition "grow-partition",
            grow_filesystem GrowFilesystem "grow-filesystem",
            add_partition AddPartition "add-partition",
            wipe Wipe "wipe",
            create_table CreateTable "create-table",
            create_raid CreateRaid "create-raid",
            create_luks CreateLuks "create-luks",
            create_group CreateGroup "create-group",
            create_volume CreateVolume "create-volume",
            make_filesystem MakeFilesystem "make-filesystem",
            write_partition WritePartition "write-partition",
            mount Mount "mount",
            unpack_tree UnpackTree "unpack-tree",
            check_tree CheckTree "check-tree",
            write_fstab WriteFstab "write-fstab",
            write_mdadm_conf WriteMdadmConf "write-mdadm-conf",
            write_crypttab WriteCrypttab "write-crypttab",
            install_boot InstallBoot "install-boot",
            write_files WriteFiles "write-files",
            write_seed WriteSeed "write-seed",
            boot_entry BootEntry "boot-entry",
        }
    };
}

/// What every kind of step reports about itself.
pub trait Wire {
    /// The disks that it writes to, by their index in the plan, if it names any.
    fn disks(&self) -> Vec<usize>;
    /// The disks that it only reads.
    fn reads(&self) -> Vec<usize>;
    /// A one-line description.
    fn words(&self, plan: &Plan) -> String;
    /// The identifiers it writes that are looked up at boot.
    fn identifiers(&self) -> Vec<Identifier>;
    /// What it leaves on the disks, for display; most kinds leave nothing to show in a tree of devices.
    fn nodes(&self, _plan: &Plan) -> Vec<Node> {
        Vec::new()
    }
}

macro_rules! steps {
    ($($module:ident $kind:ident $name:literal,)*) => {
        $(pub use $module::$kind;)*

        /// One step of the plan. `disk` is an index into the plan's `disks`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "step")]
        pub enum Step {
            $(#[serde(rename = $name)] $kind($kind),)*
        }

        impl Step {
            /// The names of all kinds, as in JSON.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The name, as in JSON.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)*
                }
            }

            fn wire(&self) -> &dyn Wire {
                match self {
                    $(Self::$kind(step) => step,)*
                }
            }
        }

        $(impl From<$kind> for Step {
            fn from(step: $kind) -> Self {
                Self::$kind(step)
            }
        })*
    };
}

crate::for_each_step!(steps);

impl Step {
    /// The disks that this step writes to, if it names any.
    pub fn disks(&self) -> Vec<usize> {
        self.wire().disks()
    }

    /// The disks that it only reads.
    pub fn reads(&self) -> Vec<usize> {
        self.wire().reads()
    }

    /// A one-line description.
    pub fn words(&self, plan: &Plan) -> String {
        self.wire().words(plan)
    }

    /// The identifiers it writes that are looked up at boot.
    pub fn identifiers(&self) -> Vec<Identifier> {
        self.wire().identifiers()
    }

    /// What it leaves on the disks.
    pub fn nodes(&self, plan: &Plan) -> Vec<Node> {
        self.wire().nodes(plan)
    }
}
