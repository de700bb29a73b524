//! Reasons to refuse an image by its first bytes.

use burin_protocol::error::Coded;
use burin_table::gpt::Fault;
use burin_table::table::TableError;
use uuid::Uuid;

/// Why an image cannot become what the order wants. Nothing has been written.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    #[error("{device}: the image was made for {table}-byte sectors; the disk has {disk}-byte sectors")]
    SectorSize { device: String, table: u32, disk: u32 },
    #[error("{device}: the image's MBR does not tell its sector size; the disk has {disk}-byte sectors")]
    SectorSizeUnknown { device: String, disk: u32 },
    #[error("{device}: the image has no partition table{}, which {wanted} needs", found.map(|name| format!(" (it is {name})")).unwrap_or_default())]
    NoTable { device: String, wanted: &'static str, found: Option<&'static str> },
    #[error("{device}: the image's partition table is damaged ({fault})")]
    Damaged { device: String, fault: Fault },
    #[error("{device}: the image has no partition {number}, which {wanted} needs")]
    NoPartition { device: String, number: u32, wanted: &'static str },
    #[error("{device}: no partition of the image can be the root filesystem, which {wanted} needs")]
    NoRoot { device: String, wanted: &'static str },
    #[error("{device}: partition {number} of the image is {is}, whose filesystem cannot be grown")]
    NotGrowable { device: String, number: u32, is: &'static str },
    #[error("{device}: partition {number} of the image cannot grow: partition {behind} lies behind it")]
    Blocked { device: String, number: u32, behind: u32 },
    #[error("{device}: the image has no EFI system partition for a boot entry")]
    NoEsp { device: String },
    #[error("{device}: partition {number} of the image is {is}, where no seed can be put")]
    SeedPlace { device: String, number: u32, is: &'static str },
    #[error(
        "{device}: no partition of the image is called `boot` or `OEM`, where Ignition looks for its configuration"
    )]
    NoIgnition { device: String },
    #[error(
        "{device}: partition {number} of the image is a seed itself (\"{name}\"), which would compete with the order's"
    )]
    SecondSeed { device: String, number: u32, name: String },
    #[error("{device}: partition {number} of the image has the GUID {guid}, which the order gives to another")]
    GuidTaken { device: String, number: u32, guid: Uuid },
    #[error("{device}: {what}")]
    Keep { device: String, what: String },
    #[error("{device}: the image cannot be mirrored: {what}")]
    Mirror { device: String, what: String },
    #[error("{device}: the image is a whole disk with a partition table, but the image of a filesystem is required")]
    WholeDisk { device: String },
    #[error("{device}: the image does not begin with a known filesystem")]
    NoFilesystem { device: String },
    #[error("{device}: the partition \"{name}\" of the plan has an invalid GUID")]
    NoGuid { device: String, name: String },
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Coded for HeadError {
    fn code(&self) -> &'static str {
        match self {
            Self::SectorSize { .. } | Self::SectorSizeUnknown { .. } => "image.sector_size",
            Self::NoTable { .. } => "image.no_table",
            Self::Damaged { .. } => "image.table_damaged",
            Self::NoPartition { .. } => "image.no_partition",
            Self::NoRoot { .. } => "image.no_root",
            Self::NotGrowable { .. } => "image.not_growable",
            Self::Blocked { .. } => "image.grow_blocked",
            Self::NoEsp { .. } => "image.no_esp",
            Self::SeedPlace { .. } | Self::NoIgnition { .. } => "image.seed_place",
            Self::SecondSeed { .. } => "image.second_seed",
            Self::GuidTaken { .. } => "image.guid_taken",
            Self::Keep { .. } => "image.keep",
            Self::Mirror { .. } => "image.mirror",
            Self::WholeDisk { .. } => "image.whole_disk",
            Self::NoFilesystem { .. } => "image.no_filesystem",
            Self::NoGuid { .. } => "plan.bad_value",
            Self::Table(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::SectorSize { table, disk, .. } => {
                return Some(format!(
                    "use an image for {disk}-byte sectors on this disk, or a disk with {table}-byte sectors"
                ));
            }
            Self::SectorSizeUnknown { disk, .. } => {
                return Some(format!("add \"sector_size\": {disk} to the image if it was made for such disks"));
            }
            Self::NoTable { .. } => {
                "use a whole-disk image with a GPT, or leave `grow`, `guids`, `add` and `seed` out (docs/images.md)"
            }
            Self::Damaged { .. } => "make the image again, and publish all of it",
            Self::NoPartition { .. } => "name another partition, or use `last` or `root`",
            Self::NoRoot { .. } => "give the number of the partition instead of `root`",
            Self::NotGrowable { is: "swap", .. } => "name the partition to grow by its number: swap is never grown",
            Self::NotGrowable { .. } => {
                "grow another partition, or only this one: {\"partition\": N, \"filesystem\": false} (docs/images.md)"
            }
            Self::Blocked { .. } => {
                "make the growing partition the last one of the image, or grow `last` (docs/images.md)"
            }
            Self::NoEsp { .. } => "set `policies.boot_order` to `keep` if it boots without an entry of its own",
            Self::SeedPlace { .. } => {
                "set the seed's `partition` to the root filesystem's, or its `format` to `cidata` (docs/images.md)"
            }
            Self::NoIgnition { .. } => {
                "use an image of Fedora CoreOS, RHEL CoreOS or Flatcar; for systems with cloud-init set `format` to `cidata`"
            }
            Self::SecondSeed { .. } => "remove that partition from the image, or the seed from the order",
            Self::GuidTaken { .. } => "give the partition another `guid`, or none",
            Self::Keep { .. } => {
                "use an image that is smaller or has other partition numbers, or do not `keep` that partition"
            }
            Self::Mirror { .. } => {
                "use an image with a GPT, boot loader partitions and one root filesystem behind them, on larger disks"
            }
            Self::WholeDisk { .. } => {
                "write it to the whole disk: give the `image` to the disk set, not to one of its partitions"
            }
            Self::NoFilesystem { .. } => "check whether it is encrypted or packed in an unknown format",
            Self::NoGuid { .. } => return None,
            Self::Table(error) => return error.hint(),
        };
        Some(hint.to_owned())
    }
}
