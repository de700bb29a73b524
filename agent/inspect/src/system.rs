//! The installed system: which volume has its root, what is mounted where, its kernels.

use crate::drivers::Modules;
use crate::files::{Files, Mount, variable};
use crate::fstab::{self, FstabLine};
use crate::loader::Unified;
use crate::ramdisk::{self, Ramdisk};
use crate::report::{CloudInit, KernelFacts, RamdiskReport};
use crate::tree::{self, FsError, Tree};
use crate::volumes::Volume;
use burin_table::head::Purpose;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Limit for ramdisks.
const LARGEST_RAMDISK: u64 = 512 << 20;
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// A volume whose files can be read.
#[allow(missing_debug_implementations, reason = "trees have nothing to print")]
pub struct Readable {
    /// Its place in the list of volumes.
    pub volume: usize,
    /// The whole volume first, then its subvolumes: path from the top, and whether it is the default.
    pub trees: Vec<(String, bool, Rc<dyn Tree>)>,
}

/// Opens all volumes that can be opened; the reasons for the others go to `unread`.
pub fn open(volumes: &[Volume], unread: &mut Vec<String>) -> Vec<Readable> {
    let mut found = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let Some(filesystem) = volume.filesystem else { continue };
        if !holds_files(filesystem) {
            continue;
        }
        match tree::open(filesystem, &volume.disk) {
            Ok(opened) => {
                let mut trees = vec![(String::new(), false, Rc::from(opened.tree))];
                let subvolumes = opened.subvolumes.into_iter();
                trees.extend(subvolumes.map(|(subvolume, tree)| (subvolume.path, subvolume.default, Rc::from(tree))));
                found.push(Readable { volume: index, trees });
            }
            Err(FsError::Unsupported { what }) => unread.push(format!("{}: {what}", volume.called())),
            Err(error) => unread.push(format!("{} ({filesystem}): {error}", volume.called())),
        }
    }
    for volume in volumes.iter().filter(|volume| volume.filesystem == Some("crypto_LUKS")) {
        unread.push(format!("{}: it is encrypted", volume.called()));
    }
    found
}

fn holds_files(filesystem: &str) -> bool {
    !matches!(filesystem, "swap" | "crypto_LUKS" | "LVM2_member" | "linux_raid_member" | "bcache")
}

/// The root filesystem.
#[allow(missing_debug_implementations, reason = "trees have nothing to print")]
pub struct Root {
    pub volume: Option<usize>,
    /// `partition 3, subvolume @`.
    pub called: String,
    pub files: Files,
    pub fstab: Vec<FstabLine>,
    /// Volumes by mount point.
    pub mounts: BTreeMap<String, usize>,
}

/// Finds the root filesystem among the readable volumes.
pub fn root(volumes: &[Volume], readable: &[Readable]) -> Option<Root> {
    let mut best: Option<(u32, usize, String, Files)> = None;
    for one in readable {
        for (path, default, tree) in &one.trees {
            for below in folders(tree) {
                let files = Files::of(tree.clone(), &below);
                if !OS_RELEASE.iter().any(|path| files.metadata(path).is_some()) {
                    continue;
                }
                let typed = volumes.get(one.volume).is_some_and(|volume| volume.purpose == Purpose::Root);
                let score = u32::from(*default) * 8
                    + u32::from(typed) * 4
                    + u32::from(files.is_file("/etc/passwd")) * 2
                    + u32::from(!path.contains(".snapshots"));
                let place = if path.is_empty() { below.clone() } else { format!("{path}{below}") };
                if best.as_ref().is_none_or(|(known, ..)| score > *known) {
                    best = Some((score, one.volume, place, files));
                }
            }
        }
    }
    let (_, index, place, files) = best?;
    let volume = volumes.get(index)?;
    let called = if place.is_empty() { volume.called() } else { format!("{}, {place}", volume.called()) };
    let fstab = files.text("/etc/fstab").map(|text| fstab::parse(&text)).unwrap_or_default();
    let mut root = Root { volume: Some(index), called, files, fstab, mounts: BTreeMap::new() };
    root.mounts.insert("/".to_owned(), index);
    mount_all(&mut root, volumes, readable);
    Some(root)
}

/// Where a system may be in a tree: at the top, or in an ostree deployment.
fn folders(tree: &Rc<dyn Tree>) -> Vec<String> {
    let mut found = vec![String::new()];
    let files = Files::of(tree.clone(), "");
    for system in files.list("/ostree/deploy") {
        let folder = format!("/ostree/deploy/{}/deploy", system.name);
        let deployments = files.list(&folder).into_iter().filter(|entry| !entry.name.ends_with(".origin"));
        found.extend(deployments.map(|entry| format!("{folder}/{}", entry.name)));
    }
    found
}

/// Mounts what is in fstab, and what is mounted automatically by the type of its partition.
fn mount_all(root: &mut Root, volumes: &[Volume], readable: &[Readable]) {
    let mut wanted: Vec<(String, usize, Option<String>)> = Vec::new();
    for line in root.fstab.iter().filter(|line| line.at.starts_with('/') && line.at != "/") {
        let named = fstab::named(&line.what);
        let found = volumes.iter().position(|one| fstab::volume(std::slice::from_ref(one), &named).is_some());
        let subvolume = line.option("subvol").map(|path| path.trim_start_matches('/').to_owned());
        wanted.extend(found.map(|index| (line.at.trim_end_matches('/').to_owned(), index, subvolume)));
    }
    for (index, volume) in volumes.iter().enumerate() {
        let at = match volume.type_name.as_deref() {
            _ if volume.purpose == Purpose::Esp && root.files.is_folder("/boot/efi") => "/boot/efi",
            _ if volume.purpose == Purpose::Esp => "/efi",
            Some("xbootldr") => "/boot",
            Some("var") => "/var",
            Some("usr") => "/usr",
            Some("home") => "/home",
            Some("srv") => "/srv",
            _ => continue,
        };
        if !wanted.iter().any(|(known, used, _)| known == at || *used == index) {
            wanted.push((at.to_owned(), index, None));
        }
    }
    // Parents are mounted before what is mounted on them.
    wanted.sort_by_key(|(at, ..)| at.len());
    for (at, index, subvolume) in wanted {
        root.mounts.insert(at.clone(), index);
        let Some(one) = readable.iter().find(|one| one.volume == index) else { continue };
        let named = subvolume.as_ref().and_then(|path| one.trees.iter().find(|(known, ..)| known == path));
        let default = one.trees.iter().find(|(_, default, _)| *default);
        if let Some((_, _, tree)) = named.or(default).or(one.trees.first()) {
            root.files.mount(Mount { at, tree: tree.clone(), below: String::new() });
        }
    }
}

/// PRETTY_NAME.
pub fn name(files: &Files) -> String {
    let text = OS_RELEASE.iter().find_map(|path| files.text(path)).unwrap_or_default();
    let name = variable(&text, "PRETTY_NAME").or_else(|| variable(&text, "NAME"));
    name.unwrap_or_else(|| "an unknown system".to_owned())
}

/// A kernel, and its unpacked ramdisk.
#[allow(missing_debug_implementations, reason = "trees have nothing to print")]
pub struct KernelFound {
    pub kernel: KernelFacts,
    pub ramdisk: Option<Ramdisk>,
}

/// Kernels, found by the folders of their modules, and unified kernel images.
pub fn kernels(files: &Files, unified: Vec<Unified>) -> Vec<KernelFound> {
    let mut versions: Vec<String> = Vec::new();
    for folder in ["/usr/lib/modules", "/lib/modules"] {
        for entry in files.list(folder) {
            let has = |name: &str| files.metadata(&format!("{folder}/{}/{name}", entry.name)).is_some();
            let kernel = has("kernel") || has("modules.dep") || has("modules.builtin") || has("vmlinuz");
            if kernel && !versions.contains(&entry.name) {
                versions.push(entry.name);
            }
        }
    }
    let mut found: Vec<KernelFound> = Vec::new();
    for one in unified {
        let version = one.release.clone().unwrap_or_else(|| one.path.clone());
        versions.retain(|known| *known != version);
        found.push(kernel(files, version, Some((one.path, one.ramdisk))));
    }
    for version in versions {
        let ramdisk = ramdisk_of(files, &version);
        found.push(kernel(files, version, ramdisk));
    }
    found
}

fn kernel(files: &Files, version: String, ramdisk: Option<(String, Vec<u8>)>) -> KernelFound {
    let ramdisk = ramdisk.filter(|(_, bytes)| !bytes.is_empty());
    let unpacked = ramdisk.as_ref().map(|(_, bytes)| ramdisk::read(bytes));
    let mut modules = Modules::read(files, &version);
    unpacked.iter().for_each(|ramdisk| modules.add_built_in(ramdisk));
    let report = ramdisk.zip(unpacked.as_ref()).map(|((path, bytes), unpacked)| RamdiskReport {
        path,
        bytes: bytes.len() as u64,
        compressions: unpacked.compressions.iter().map(|name| (*name).to_owned()).collect(),
        modules: unpacked.modules.len(),
    });
    let drivers = modules.drivers(unpacked.as_ref());
    KernelFound { kernel: KernelFacts { version, ramdisk: report, drivers }, ramdisk: unpacked }
}

/// The ramdisk, found by the names that distributions use.
fn ramdisk_of(files: &Files, version: &str) -> Option<(String, Vec<u8>)> {
    let mut paths: Vec<String> = [
        format!("/boot/initrd.img-{version}"),
        format!("/boot/initramfs-{version}.img"),
        format!("/boot/initrd-{version}"),
        format!("/boot/initramfs-{version}"),
        format!("/usr/lib/modules/{version}/initrd"),
        format!("/usr/lib/modules/{version}/initramfs.img"),
        format!("/lib/modules/{version}/initrd"),
    ]
    .to_vec();
    let flavour = version.rsplit('-').next().unwrap_or_default();
    paths.extend(["linux", flavour].map(|name| format!("/boot/initramfs-{name}.img")));
    paths.push(format!("/boot/initramfs-{flavour}"));
    // kernel-install: one folder per machine or token, with one per version in it.
    for boot in ["/boot", "/efi", "/boot/efi"] {
        for token in files.list(boot) {
            let folder = format!("{boot}/{}/{version}", token.name);
            let entries = files.list(&folder).into_iter().filter(|entry| entry.name.starts_with("init"));
            paths.extend(entries.map(|entry| format!("{folder}/{}", entry.name)));
        }
    }
    for deployment in files.list("/boot/ostree") {
        paths.push(format!("/boot/ostree/{}/initramfs-{version}.img", deployment.name));
    }
    let path = paths.into_iter().find(|path| files.has(path))?;
    files.bytes(&path, LARGEST_RAMDISK).map(|bytes| (path, bytes))
}

/// cloud-init, by its configuration.
pub fn cloud_init(files: &Files) -> Option<CloudInit> {
    let program = ["/usr/bin/cloud-init", "/bin/cloud-init", "/usr/local/bin/cloud-init"];
    if !files.is_file("/etc/cloud/cloud.cfg") && !program.iter().any(|path| files.is_file(path)) {
        return None;
    }
    let mut datasources = Vec::new();
    let mut configurations = vec!["/etc/cloud/cloud.cfg".to_owned()];
    configurations.extend(files.ending("/etc/cloud/cloud.cfg.d", ".cfg"));
    for path in configurations {
        // Later files win.
        if let Some(list) = files.text(&path).and_then(|text| datasource_list(&text)) {
            datasources = list;
        }
    }
    let version = ["/usr/lib/python3/dist-packages", "/usr/lib/python3/site-packages"].iter().find_map(|folder| {
        let entries = files.list(folder).into_iter();
        let names = entries.filter_map(|entry| entry.name.strip_prefix("cloud_init-").map(str::to_owned));
        names.map(|name| name.split(['-', '_']).next().unwrap_or_default().trim_end_matches(".egg").to_owned()).next()
    });
    let enabled = !files.is_file("/etc/cloud/cloud-init.disabled");
    Some(CloudInit { version, datasources, enabled })
}

/// `datasource_list: [ NoCloud, None ]`, or as a list of lines.
fn datasource_list(text: &str) -> Option<Vec<String>> {
    let mut lines = text.lines();
    let first = lines.find_map(|line| line.strip_prefix("datasource_list:"))?;
    let clean = |word: &str| word.trim().trim_matches(['"', '\'', '[', ']', ' ']).to_owned();
    let first = first.split('#').next().unwrap_or_default().trim();
    let words: Vec<String> = match first.is_empty() {
        false => first.split(',').map(clean).collect(),
        true => lines.map_while(|line| line.trim().strip_prefix("- ")).map(clean).collect(),
    };
    Some(words.into_iter().filter(|word| !word.is_empty()).collect())
}
