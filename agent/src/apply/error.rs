//! Errors of steps. Codes and hints come from the parts that failed.

use super::boot_area::AreaError;
use super::tree::Tree;
use crate::error::Coded;
use crate::finalize::bootloader::BootError;
use crate::finalize::files::FileError;
use crate::finalize::filesystem::FilesystemError;
use crate::finalize::grow::GrowError;
use crate::finalize::kernel::KernelError;
use crate::finalize::look::NoLoader;
use crate::finalize::luks::LuksError;
use crate::finalize::lvm::LvmError;
use crate::finalize::md::MdError;
use crate::finalize::mount::MountError;
use crate::finalize::rootfs::RootError;
use crate::finalize::seed_write::SeedError;
use crate::finalize::system::SystemError;
use crate::finalize::table::TableError;
use crate::finalize::tpm::SealingError;
use crate::finalize::uefi::loader::LoaderError;
use crate::finalize::uefi::variables::VariableError;
use crate::image::ImageError;
use crate::isolate::IsolateError;
use crate::protocol::plan::{TreeNeed, words};
use crate::tree::TreeError;
use burin_sign::AgeError;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("the machine is not as it was planned: the plan was {agreed}, now it would be {now}")]
    Changed { agreed: String, now: String },
    #[error("{device}: is another disk than the one that was planned for: its {what} is {found}, it was to be {planned}", device = device.display())]
    OtherDisk { device: PathBuf, what: String, planned: String, found: String },
    #[error("{device}: the disk is gone", device = device.display())]
    Gone { device: PathBuf },
    #[error("{device}: the path {path} has failed; {left} of its paths are left", device = device.display(), path = path.display())]
    PathFailed { device: PathBuf, path: PathBuf, left: usize },
    #[error("{device}: its paths cannot be used as one disk", device = device.display())]
    Paths { device: PathBuf, source: io::Error },
    #[error("the tree has no multipath-tools: it will use its disk by one path, whichever it finds")]
    NoMultipath,
    #[error("{device}: nothing was answered for {seconds} s while at the step {step}", device = device.display())]
    Hung { device: PathBuf, step: &'static str, seconds: u64 },
    #[error("{device}: is left alone: it gave no answer, or work on it could not be called back", device = device.display())]
    KeptOff { device: PathBuf },
    #[error("the step {step} has made no progress for {seconds} s, and no disk is waited for")]
    Stalled { step: &'static str, seconds: u64 },
    #[error("the step {step} cannot be begun")]
    Thread { step: &'static str, source: io::Error },
    #[error("the step {step} broke down; its message is on the console")]
    Broken { step: &'static str },
    #[error("{path}: a device node cannot be made", path = path.display())]
    Node { path: PathBuf, source: io::Error },
    #[error("the ramdisk's kernel has no {module}")]
    NoModule { module: &'static str },
    #[error("the plan uses the array {name:?}, which no step has created")]
    NoArray { name: String },
    #[error("the step {step} is not supported by this agent")]
    Unsupported { step: String },
    #[error("the plan refers to disk {index}, which it does not list")]
    NoDisk { index: usize },
    #[error("the order has no image {name:?}")]
    NoImage { name: String },
    #[error("the plan writes a seed, the order has none")]
    NoSeed,
    #[error("{device}: not a GUID: {text}")]
    Guid { device: String, text: String },
    #[error("{device}: cannot be opened")]
    Open { device: PathBuf, source: io::Error },
    #[error("{device}: no partition of the image matches {wanted}")]
    NoPartition { device: PathBuf, wanted: String },
    #[error("{device}: partition {number} is swap, which is never grown", device = device.display())]
    GrowSwap { device: PathBuf, number: u32 },
    #[error("{device}: the partition has grown, but {found} in it has not", device = device.display())]
    NotGrown { device: PathBuf, found: String },
    #[error("{device}: partition {number} cannot grow: partition {by} follows it, and the {free} free bytes are after that", device = device.display())]
    GrowBlocked { device: PathBuf, number: u32, by: u32, free: u64 },
    #[error("{device}: the image has no EFI system partition")]
    NoEsp { device: PathBuf },
    #[error(
        "{device}: partition {number} of the image is a seed itself (\"{label}\"), which would compete with the order's"
    )]
    SecondSeed { device: PathBuf, number: u32, label: String },
    #[error("{device}: {} of the image is one where Ignition looks for its configuration", if *several { "more than one partition" } else { "no partition" })]
    NoIgnition { device: PathBuf, several: bool },
    #[error("{device}: the plan does not say where the partition {name:?} goes, or not in whole sectors")]
    NoPlace { device: String, name: String },
    #[error("{device}: cannot be erased at byte {offset}", device = device.display())]
    Erase { device: PathBuf, offset: u64, source: io::Error },
    #[error("{device}: was erased, but still has something at byte {offset}", device = device.display())]
    NotErased { device: PathBuf, offset: u64 },
    #[error("{device}: was erased, but still has the signature of {found}", device = device.display())]
    Signature { device: PathBuf, found: String },
    #[error("{device}: had to be preserved, but has changed ({what})", device = device.display())]
    NotPreserved { device: PathBuf, what: &'static str },
    #[error("{device}: partition {number} had to be kept, but has changed", device = device.display())]
    NotKept { device: PathBuf, number: u32 },
    #[error("{device}: {count} kept partitions are too many for the record on the disk", device = device.display())]
    KeepMany { device: PathBuf, count: usize },
    #[error("the ramdisk has no {tool}")]
    NoTool { tool: &'static str, package: &'static str },
    #[error("{tool}: cannot be run")]
    Tool { tool: &'static str, source: io::Error },
    #[error("{tool} on {device}: {status}: {said}", device = device.display())]
    ToolFailed { tool: &'static str, device: PathBuf, status: String, said: String },
    #[error("{device}: {wanted} was made, but {found} was found", device = device.display())]
    Made { device: PathBuf, wanted: String, found: String },
    #[error("{array}: the array differs from what was created: {what}", array = array.display())]
    Array { array: PathBuf, what: String },
    #[error("{array}: the array cannot be stopped", array = array.display())]
    StopArray { array: PathBuf, source: io::Error },
    #[error("{device}: the namespace cannot be formatted: {what}", device = device.display())]
    Format { device: PathBuf, what: String },
    #[error("{device}: was formatted, but has {found} instead of {wanted}", device = device.display())]
    Formatted { device: PathBuf, wanted: String, found: String },
    #[error("{volume}: cannot be taken down", volume = volume.display())]
    StopVolume { volume: PathBuf, source: io::Error },
    #[error("the tree has no mdadm, but its filesystems are on an array")]
    NoMdadm,
    #[error("the plan uses {device}, which no step has created")]
    NoVolume { device: String },
    #[error("{device}: the volume differs from what was created: {what}", device = device.display())]
    Mapping { device: PathBuf, what: String },
    #[error("the order has no passphrase for the LUKS volume {volume:?}")]
    NoPassphrase { volume: String },
    #[error("the machine has no TPM 2.0 with a kernel driver ({device})", device = device.display())]
    NoTpm { device: PathBuf },
    #[error("a generated key cannot be encrypted for its recipient")]
    Escrow { source: AgeError },
    #[error("the tree cannot start from its devices: it has no {package} ({})", words::word(need))]
    TreeLacks { need: TreeNeed, package: &'static str },
    #[error("the tree cannot start from its devices: its kernel {release} has no module {module}")]
    TreeModule { release: String, module: &'static str },
    #[error("the image's system cannot run on a mirror: {what}")]
    NotMirrored { what: String },
    #[error("the tree's GRUB cannot read /boot on {on}")]
    BootEncrypted { on: String },
    #[error("{device}: identifiers of the image are also on other disks: {found}", device = device.display())]
    Collision { device: PathBuf, found: String },
    #[error("{} of {of} disks failed: {}", failed.len(), failed.join(", "))]
    Disks { failed: Vec<String>, of: usize, source: Box<ApplyError> },
    #[error("{device}: the contents of the image cannot be inspected", device = device.display())]
    Look { device: PathBuf, source: IsolateError },
    #[error("stopped by the controller")]
    Cancelled,
    #[error("{at}: cannot be mounted before the root, or twice")]
    NoRoot { at: String },
    #[error(transparent)]
    Area(#[from] AreaError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Filesystem(#[from] FilesystemError),
    #[error(transparent)]
    Grow(#[from] GrowError),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Md(#[from] MdError),
    #[error(transparent)]
    Lvm(#[from] LvmError),
    #[error(transparent)]
    Luks(#[from] LuksError),
    #[error(transparent)]
    Sealing(#[from] SealingError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Loader(#[from] LoaderError),
    #[error(transparent)]
    Variable(#[from] VariableError),
}

impl ApplyError {
    /// Adds the device that contains the file: a path in the tree does not say which disk to replace.
    pub(super) fn on(mut self, tree: &Tree) -> Self {
        if let Self::Boot(BootError::Io { path, .. } | BootError::Differs { path })
        | Self::Tree(TreeError::Io { path, .. } | TreeError::Differs { path, .. }) = &mut self
            && let Some(device) = tree.holding(path)
        {
            *path = format!("{}: {path}", device.display());
        }
        self
    }

    fn part(&self) -> Option<&dyn Coded> {
        Some(match self {
            Self::Disks { source, .. } => source.as_ref(),
            Self::Look { source, .. } => source,
            Self::Image(error) => error,
            Self::Area(error) => error,
            Self::Boot(error) => error,
            Self::Tree(error) => error,
            Self::Table(error) => error,
            Self::Kernel(error) => error,
            Self::Filesystem(error) => error,
            Self::Grow(error) => error,
            Self::Root(error) => error,
            Self::Md(error) => error,
            Self::Lvm(error) => error,
            Self::Luks(error) => error,
            Self::Sealing(error) => error,
            Self::Mount(error) => error,
            Self::Seed(error) => error,
            Self::File(error) => error,
            Self::System(error) => error,
            Self::Loader(error) => error,
            Self::Variable(error) => error,
            _ => return None,
        })
    }
}

impl Coded for ApplyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "apply.changed",
            Self::OtherDisk { .. } => "apply.other_disk",
            Self::Gone { .. } => "disk.gone",
            Self::PathFailed { .. } => "disk.path_failed",
            Self::Paths { .. } => "apply.paths",
            Self::NoMultipath => "apply.no_multipath",
            Self::Hung { .. } | Self::KeptOff { .. } => "disk.hung",
            Self::Stalled { .. } => "apply.stalled",
            Self::Thread { .. } => "apply.thread",
            Self::Broken { .. } => "apply.broken",
            Self::Node { .. } => "apply.node",
            Self::NoModule { .. } => "apply.no_module",
            Self::NoArray { .. } => "apply.no_array",
            Self::Unsupported { .. } => "apply.unsupported",
            Self::NoDisk { .. } => "apply.no_disk",
            Self::NoImage { .. } => "apply.no_image",
            Self::NoSeed => "apply.no_seed",
            Self::Guid { .. } => "apply.guid",
            Self::Open { .. } => "apply.open",
            Self::NoPartition { .. } => "apply.no_partition",
            Self::NoEsp { .. } => "apply.no_esp",
            // The planner's codes, since it finds most of them before anything is written.
            Self::GrowSwap { .. } => "image.not_growable",
            Self::GrowBlocked { .. } => "image.grow_blocked",
            Self::NotGrown { .. } => "finalize.not_grown",
            Self::SecondSeed { .. } => "image.second_seed",
            Self::NoIgnition { .. } => "image.seed_place",
            Self::NoRoot { .. } => "apply.no_root",
            Self::NoPlace { .. } => "apply.no_place",
            Self::Erase { .. } => "apply.erase",
            Self::NotErased { .. } => "apply.not_erased",
            Self::Signature { .. } => "apply.signature",
            Self::NotPreserved { .. } => "apply.not_preserved",
            Self::NotKept { .. } => "apply.not_kept",
            Self::KeepMany { .. } => "apply.keep_many",
            Self::NoTool { .. } => "apply.no_tool",
            Self::Tool { .. } => "apply.tool",
            Self::ToolFailed { .. } => "apply.tool_failed",
            Self::Made { .. } => "apply.made",
            Self::Array { .. } => "apply.array",
            Self::StopArray { .. } => "apply.stop_array",
            Self::StopVolume { .. } => "apply.stop_volume",
            Self::Format { .. } => "apply.format",
            Self::Formatted { .. } => "apply.formatted",
            Self::NoMdadm => "apply.no_mdadm",
            Self::NoVolume { .. } => "apply.no_volume",
            Self::Mapping { .. } => "apply.mapping",
            Self::NoPassphrase { .. } => "apply.no_passphrase",
            Self::NoTpm { .. } => "apply.no_tpm",
            Self::Escrow { .. } => "apply.escrow",
            Self::TreeLacks { .. } => "apply.tree_lacks",
            Self::TreeModule { .. } => "apply.tree_module",
            Self::NotMirrored { .. } => "apply.not_mirrored",
            Self::BootEncrypted { .. } => "apply.boot_encrypted",
            Self::Collision { .. } => "apply.collision",
            Self::Cancelled => "cancelled",
            _ => self.part().map_or("apply.failed", Coded::code),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Changed { .. } => Some(
                "plan again and look at the difference: something changed a disk since the plan was made".to_owned(),
            ),
            Self::OtherDisk { .. } => Some(
                "run the order again: a disk was swapped or came back under another name, and was not written to"
                    .to_owned(),
            ),
            Self::Gone { .. } => Some("look at the kernel log: the disk was removed, or its link failed".to_owned()),
            Self::PathFailed { .. } => {
                Some("check the cable, the port and the switch behind that path: the order goes on over the others".to_owned())
            }
            Self::Paths { .. } => Some("look at the kernel log: something may be using one of the paths".to_owned()),
            Self::NoMultipath => Some(
                "add the packages multipath-tools and multipath-tools-boot to the tree, or accept a single path".to_owned(),
            ),
            Self::Hung { .. } | Self::KeptOff { .. } => Some(
                "look at the kernel log and power-cycle the machine: the disk or its controller hangs"
                    .to_owned(),
            ),
            Self::Stalled { .. } | Self::Broken { .. } => {
                Some("run the order again, and report this with the log; until then the disks do not boot".to_owned())
            }
            Self::NoModule { .. } => Some("build the ramdisk with this module".to_owned()),
            Self::Unsupported { .. } => Some("take it out of the layout".to_owned()),
            Self::NoTool { package, .. } => {
                Some(format!("build the ramdisk with --tools; the program is in the Debian package {package}"))
            }
            Self::StopArray { .. } | Self::StopVolume { .. } => Some("release whatever uses it: a mount, swap, or a device on top of it".to_owned()),
            Self::NoMdadm => {
                Some("put the package mdadm into the tree: nothing else assembles the array at boot".to_owned())
            }
            Self::Formatted { .. } => Some("run the order again: it will be planned for the disk as it is now".to_owned()),
            Self::NoTpm { .. } => Some("enable it in the firmware, or leave `tpm2` out of `unlock`".to_owned()),
            Self::TreeLacks { package, .. } => Some(format!("put the package {package} into the tree or image")),
            Self::TreeModule { .. } => Some("put a kernel with this module into the tree, and rebuild its ramdisk".to_owned()),
            Self::NotMirrored { .. } => Some("change the image, or leave `mirror` out (docs/layouts.md)".to_owned()),
            Self::BootEncrypted { .. } => {
                Some("give /boot a partition or volume outside of LUKS, or put systemd-boot into the tree".to_owned())
            }
            Self::NotPreserved { .. } => {
                Some("examine the disk before trusting it: something else writes to it, or it was replaced".to_owned())
            }
            Self::NotKept { .. } => Some(
                "examine the disk before trusting it: it loses data, or something other than burin writes to it"
                    .to_owned(),
            ),
            Self::NotErased { .. } => {
                Some("replace the disk and destroy it: it does not do what it was told".to_owned())
            }
            Self::KeepMany { .. } => Some("keep fewer than a hundred partitions".to_owned()),
            Self::Collision { .. } => Some(
                "remove the other disk, give the copy new GUIDs (`guids`), or set `policies.collisions` to `warn`"
                    .to_owned(),
            ),
            Self::GrowSwap { .. } => Some("name the partition to grow by its number".to_owned()),
            Self::NotGrown { .. } => Some(
                "grow it in the installed system: cloud-init or LVM's own tools for a volume group, cloudbase-init on Windows"
                    .to_owned(),
            ),
            Self::GrowBlocked { .. } => Some(
                "leave `grow` out, or use an image whose root is last; `add` makes a partition in the free space"
                    .to_owned(),
            ),
            Self::NoIgnition { .. } => Some(
                "use an image of Fedora CoreOS or RHEL CoreOS (a filesystem `boot` with ignition.firstboot) or of Flatcar (one \
                 labelled `OEM`); for systems with cloud-init set the seed's `format` to `cidata`"
                    .to_owned(),
            ),
            Self::SecondSeed { .. } => {
                Some("remove it from the image, or set the seed's `format` to the one that belongs there".to_owned())
            }
            Self::NoEsp { .. } => Some("add one, which UEFI firmware needs, or set `boot_order: keep` to make no boot entry".to_owned()),
            _ => self.part().and_then(Coded::hint),
        }
    }
}

impl From<NoLoader> for ApplyError {
    fn from(error: NoLoader) -> Self {
        match error {
            NoLoader::Mount(error) => error.into(),
            NoLoader::Loader(error) => error.into(),
        }
    }
}
