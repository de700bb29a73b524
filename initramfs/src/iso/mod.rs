//! A bootable image for CD drives, Redfish virtual media and USB sticks, for BIOS and UEFI.
//!
//! One volume, ISO 9660, contains kernel and ramdisk. GRUB starts them: from El Torito's boot image (BIOS, CD), from
//! the first sector (BIOS, stick), or from a FAT volume that is both El Torito's second image and a partition (UEFI, CD
//! and stick). Parameters (`burin.conf`) are in both volumes: the partition's can be edited on a stick, the other is
//! what a CD drive shows.
//!
//! The volumes are made by xorriso and mtools. The BIOS boot loader, GRUB, must come from a package anyway, and only
//! xorriso knows how GRUB finds its core image in a hybrid image. Distributions make their installation media with it;
//! a writer of our own would only duplicate it.

mod conf;
mod grub;
mod run;

pub use conf::{ConfError, RESERVED, set_conf};

use crate::arch::Arch;
use crate::assemble::{INITRAMFS, KERNEL, MANIFEST, NOTICE};
use crate::options::ExtraFile;
use run::HostProgram;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// FAT cannot store times before 1980.
const FAT_EPOCH: u32 = 315_532_800;
/// Space in a FAT volume besides files: boot sector, two tables, directories.
const FAT_SLACK: u64 = 1 << 20;

/// The input for an image.
#[derive(Debug, Clone)]
pub struct IsoOptions {
    /// Directory with the results of `build`.
    pub from: PathBuf,
    /// The image to be made.
    pub output: PathBuf,
    /// Volume label; the agent looks for it.
    pub label: String,
    /// Parameters; `None` adds an empty file, to be filled later.
    pub conf: Option<PathBuf>,
    /// Further files for both volumes, such as orders named by the parameters.
    pub files: Vec<ExtraFile>,
    /// Additional words for the kernel command line.
    pub cmdline: Vec<String>,
    /// Timestamp of everything, seconds since 1970.
    pub mtime: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum IsoError {
    #[error("{} was not made by `burin-initramfs build`", path.display())]
    NoBuild { path: PathBuf, source: io::Error },
    #[error("{} lacks the architecture or the command line", path.display())]
    Manifest { path: PathBuf },
    #[error("the label `{0}` is not 1 to 11 of A-Z, 0-9 and _")]
    Label(String),
    #[error("{program}: install the Debian package {package}")]
    Missing { program: String, package: &'static str },
    #[error("cannot start {program}")]
    Start { program: &'static str, source: io::Error },
    #[error("{program} failed: {output}")]
    Failed { program: &'static str, output: String },
    #[error(transparent)]
    Conf(#[from] ConfError),
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: io::Error },
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> IsoError {
    let path = path.to_owned();
    move |source| IsoError::File { path, source }
}

/// Architecture and command line of a build.
struct Built {
    arch: Arch,
    cmdline: String,
}

impl Built {
    fn read(from: &Path) -> Result<Self, IsoError> {
        let path = from.join(MANIFEST);
        let text = fs::read(&path).map_err(|source| IsoError::NoBuild { path: from.to_owned(), source })?;
        let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let word = |key: &str| manifest.get(key).and_then(serde_json::Value::as_str);
        let arch = word("arch").and_then(|name| Arch::ALL.into_iter().find(|arch| arch.to_string() == name));
        match (arch, word("cmdline")) {
            (Some(arch), Some(cmdline)) => Ok(Self { arch, cmdline: cmdline.to_owned() }),
            _ => Err(IsoError::Manifest { path }),
        }
    }
}

/// Makes the image, under a temporary name that is then renamed.
pub fn iso(options: &IsoOptions, say: &mut dyn FnMut(&str)) -> Result<(), IsoError> {
    let label = &options.label;
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if label.is_empty() || label.len() > 11 || !label.chars().all(fits) {
        return Err(IsoError::Label(label.clone()));
    }
    let built = Built::read(&options.from)?;
    let conf = match &options.conf {
        Some(path) => fs::read(path).map_err(file(path))?,
        None => conf::EMPTY.to_vec(),
    };
    let work = tempfile::tempdir().map_err(file(&options.output))?;
    let (tree, fat) = (work.path().join("tree"), work.path().join("fat"));
    copy(&options.from.join(KERNEL), &tree.join(grub::KERNEL))?;
    copy(&options.from.join(INITRAMFS), &tree.join(grub::INITRAMFS))?;
    copy(&options.from.join(NOTICE), &tree.join("burin/NOTICE"))?;
    put(&tree.join(conf::FILE), &conf::reserve(&conf)?)?;
    put(&fat.join(conf::FILE), &conf)?;
    for extra in &options.files {
        let to = extra.destination.trim_start_matches('/');
        copy(&extra.source, &tree.join(to))?;
        copy(&extra.source, &fat.join(to))?;
    }
    let mut words = vec![built.cmdline.clone(), format!("burin.medium={label}")];
    words.extend(options.cmdline.iter().cloned());
    put(&tree.join(grub::CONFIG), grub::menu(&words.join(" ")).as_bytes())?;

    let efi = fat.join("EFI/BOOT").join(format!("BOOT{}.EFI", built.arch.efi().to_ascii_uppercase()));
    grub::core(grub::efi(built.arch), &efi, work.path())?;
    let bios = grub::bios(built.arch);
    if let Some(platform) = bios {
        grub::core(platform, &tree.join(grub::BIOS_IMAGE), work.path())?;
    }
    let partition = work.path().join("esp.img");
    volume(&fat, &partition, label, options.mtime)?;
    say(&format!("UEFI partition: {} bytes", fs::metadata(&partition).map_err(file(&partition))?.len()));

    date(&tree, options.mtime)?;
    let image = work.path().join("image.iso");
    master(&tree, &partition, &image, bios, options)?;
    place(&image, &options.output)?;
    say(&format!(
        "{}: {} bytes",
        options.output.display(),
        fs::metadata(&options.output).map_err(file(&options.output))?.len()
    ));
    Ok(())
}

/// The hybrid image: El Torito for both kinds of firmware, a GPT with the partition, and GRUB in the first sector.
fn master(
    tree: &Path,
    partition: &Path,
    image: &Path,
    bios: Option<&str>,
    options: &IsoOptions,
) -> Result<(), IsoError> {
    let mut xorriso = HostProgram::new("xorriso", "xorriso", options.mtime);
    xorriso.args(["-as", "mkisofs", "-quiet", "-r", "-J", "-V", &options.label, "-o"]).arg(image);
    if let Some(platform) = bios {
        let first = grub::directory(platform)?.join("boot_hybrid.img");
        xorriso.arg("--grub2-mbr").arg(&first);
        xorriso.args(["-c", "boot/boot.cat", "-b", grub::BIOS_IMAGE, "-no-emul-boot", "-boot-load-size", "4"]);
        xorriso.args(["-boot-info-table", "--grub2-boot-info"]);
    }
    xorriso.args(["-partition_offset", "16", "-appended_part_as_gpt", "-append_partition", "2", "0xef"]).arg(partition);
    if bios.is_some() {
        xorriso.arg("-eltorito-alt-boot");
    }
    xorriso.args(["-e", "--interval:appended_partition_2:all::", "-no-emul-boot"]).arg(tree);
    xorriso.run()
}

/// A FAT volume with everything below `tree`.
fn volume(tree: &Path, image: &Path, label: &str, mtime: u32) -> Result<(), IsoError> {
    let mtime = mtime.max(FAT_EPOCH);
    let files = walk(tree)?;
    let size: u64 =
        files.iter().map(|(_, path)| fs::metadata(path).map_or(0, |m| m.len().next_multiple_of(4096))).sum();
    // Room for another burin.conf and for orders.
    let size = (size + conf::RESERVED as u64 + FAT_SLACK + (4 << 20)).next_multiple_of(1 << 20);
    fs::File::create(image).and_then(|file| file.set_len(size)).map_err(file(image))?;
    date(tree, mtime)?;
    let mut format = HostProgram::new("mformat", "mtools", mtime);
    format.arg("-i").arg(image).args(["-v", label, "-N", "42555249", "-T", &(size / 512).to_string()]);
    format.args(["-h", "64", "-s", "32", "::"]).run()?;
    let mut directories: Vec<String> = Vec::new();
    for (relative, path) in &files {
        let parents: Vec<&str> = Path::new(relative).ancestors().skip(1).filter_map(Path::to_str).collect();
        for parent in parents.into_iter().rev().filter(|parent| !parent.is_empty()) {
            if !directories.iter().any(|known| known == parent) {
                HostProgram::new("mmd", "mtools", mtime).arg("-i").arg(image).arg(format!("::/{parent}")).run()?;
                directories.push(parent.to_owned());
            }
        }
        let mut copy = HostProgram::new("mcopy", "mtools", mtime);
        copy.args(["-m", "-i"]).arg(image).arg(path).arg(format!("::/{relative}")).run()?;
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), IsoError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).and_then(|()| fs::write(path, bytes)).map_err(file(path))
}

fn copy(from: &Path, to: &Path) -> Result<(), IsoError> {
    let bytes = fs::read(from).map_err(file(from))?;
    put(to, &bytes)
}

/// Sets the same time for everything, so that the same input gives the same bytes.
fn date(tree: &Path, mtime: u32) -> Result<(), IsoError> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(mtime.into());
    let set = |path: &Path| fs::File::open(path).and_then(|open| open.set_modified(time)).map_err(file(path));
    let mut directories = vec![tree.to_owned()];
    for (_, path) in walk(tree)? {
        set(&path)?;
        directories.extend(path.ancestors().skip(1).take_while(|parent| *parent != tree).map(Path::to_owned));
    }
    directories.iter().try_for_each(|directory| set(directory))
}

/// Files below `tree`, with their relative paths, sorted.
fn walk(tree: &Path) -> Result<Vec<(String, PathBuf)>, IsoError> {
    let (mut found, mut pending) = (Vec::new(), vec![tree.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).map_err(file(&directory))? {
            let path = entry.map_err(file(&directory))?.path();
            match path.is_dir() {
                true => pending.push(path),
                false => {
                    let relative = path.strip_prefix(tree).unwrap_or(&path).to_string_lossy().into_owned();
                    found.push((relative, path));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

fn place(image: &Path, output: &Path) -> Result<(), IsoError> {
    let part = output.with_extension("part");
    fs::copy(image, &part).and_then(|_| fs::rename(&part, output)).map_err(file(output))
}

#[cfg(test)]
mod tests;
