//! `burin image pack IMAGE -o FOLDER`: packs an image and makes the files that burin can use beside it.

use super::check::{refused, source};
use super::sign::{self, MinisignError};
use crate::cli::transfer::{TransferArgs, TransferError};
use crate::error::Coded;
use crate::image::{self, Cancel, ImageError, OpenedDisk, Packed};
use crate::protocol::hex;
use crate::protocol::image::ImageFormat;
use crate::protocol::manifest::{Content, ImageManifest, PublishedFile, VERSION, is_plain};
use burin_inspect::report::Severity;
use burin_inspect::{CheckOptions, Disk, InspectError, Report};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Pack an image for publishing: zstd in frames with a seek table, index, sums, and a manifest; one signature covers
/// them all.
///
/// Writes NAME-VERSION.raw.zst (for a root filesystem: .tar.zst), NAME-VERSION.caibx, NAME-VERSION.SHA256SUMS and the
/// manifest NAME-VERSION.json to FOLDER; with --sign, also NAME-VERSION.json.minisig. Except for the signature, the
/// same image gives the same bytes on any machine. Orders name the manifest: "images": {"x": {"manifest":
/// "https://.../NAME-VERSION.json"}}.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  burin image pack debian.qcow2 --name debian --version 13.1 -o /srv/images
  burin image pack --sign minisign.key --name debian --version 13.1 -o /srv/images https://build/debian.raw.xz
  burin write --minisign minisign.pub --name debian --manifest https://images/debian-13.1.json /dev/nvme0n1")]
pub struct PackArgs {
    /// http(s) URL, path, or - for standard input: raw, qcow2 or a root filesystem as tar, compressed or not
    image: String,
    /// The image's name, without a version: letters, digits, and . _ + ~ -
    #[arg(long)]
    name: String,
    /// Its version, compared with others as Debian compares versions
    #[arg(long)]
    version: String,
    /// Output folder
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// zstd level, 1 to 19: affects the size, not the reading speed
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(i32).range(1..=19))]
    level: i32,
    /// Sign the manifest with this minisign secret key. The password is asked for on the terminal, unless it is in
    /// --key-password-file or BURIN_KEY_PASSWORD
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// File with the key's password
    #[arg(long, value_name = "FILE", requires = "sign")]
    key_password_file: Option<PathBuf>,
    /// Print the manifest to standard output as well
    #[arg(long)]
    json: bool,
    /// Folder for images that must be fully decoded; nothing stays there
    #[arg(long, value_name = "FOLDER", default_value = "/var/tmp", env = "TMPDIR")]
    spool: PathBuf,
    #[command(flatten)]
    transfer: TransferArgs,
}

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error("{0:?} cannot be part of a file name and a URL")]
    Name(String),
    #[error("this is {0}, not an image that burin can write")]
    Foreign(&'static str),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Sign(#[from] MinisignError),
}

impl Coded for PackError {
    fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "pack.name",
            Self::Foreign(_) => "image.unsupported",
            Self::Transfer(error) => error.code(),
            Self::Image(error) => error.code(),
            Self::Sign(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Name(_) => Some("use letters, digits, and . _ + ~ -, beginning with a letter or a digit".into()),
            Self::Foreign(_) => Some("convert it first: qemu-img convert -O qcow2 IN OUT".into()),
            Self::Transfer(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::Sign(error) => error.hint(),
        }
    }
}

/// Runs the command. `cancel` is set by the caller's signal handler.
pub fn run(args: PackArgs, cancel: &Cancel) -> ExitCode {
    match pack(&args, cancel) {
        Ok((manifest, report)) => {
            let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
            if errors > 0 {
                eprintln!(
                    "burin: {errors} things in it will break elsewhere: burin image check {} tells which",
                    args.image
                );
            }
            if args.json {
                print!("{}", String::from_utf8_lossy(&manifest.bytes()));
            } else {
                let (wire, content) = (HumanBytes(manifest.image.bytes), HumanBytes(manifest.content.bytes));
                let file = args.output.join(format!("{}-{}.json", manifest.name, manifest.version));
                println!("{}: {content} in {wire}, {}", file.display(), manifest.image.digest);
            }
            ExitCode::SUCCESS
        }
        Err(error) => refused(&error.problem(), args.json),
    }
}

fn pack(args: &PackArgs, cancel: &Cancel) -> Result<(ImageManifest, Report), PackError> {
    for part in [&args.name, &args.version] {
        if !is_plain(part) {
            return Err(PackError::Name(part.clone()));
        }
    }
    // A wrong password is reported before an hour's work.
    let key = match &args.sign {
        Some(path) => Some(sign::Key::open(path, args.key_password_file.as_deref())?),
        None => None,
    };
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let decoding = |done: u64, _: Option<u64>| {
        bar.set_message(format!("decoding {}: {}", args.image, HumanBytes(done)));
        bar.tick();
    };
    let opened = image::open_disk(source(&args.image, &args.transfer, cancel)?, &args.spool, &decoding, cancel)?;
    if let Some(what) = opened.foreign {
        return Err(PackError::Foreign(what));
    }
    let format = opened.format;
    let mut disk = Disk::new(opened.bytes);
    let opened = OpenedDisk { bytes: Box::new(disk.clone()), ..opened };
    let report = burin_inspect::check(opened, &CheckOptions::default()).map_err(|error| match error {
        InspectError::Image(error) => PackError::Image(error),
        InspectError::Order(_) => PackError::Image(ImageError::NoSource),
    })?;
    let style = ProgressStyle::with_template("{spinner} packing {wide_bar} {percent:>3}% {eta} to go");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_length(disk.len());
    fs::create_dir_all(&args.output).map_err(|source| unwritable(&args.output, source))?;
    let manifest = files(args, format, &mut disk, &report, key.as_ref(), &|done| bar.set_position(done), cancel)?;
    bar.finish_and_clear();
    Ok((manifest, report))
}

fn unwritable(path: &Path, source: std::io::Error) -> PackError {
    PackError::Image(ImageError::WriteFile { path: path.to_owned(), source })
}

/// All files get temporary names first: a file with its final name is complete, and the manifest comes last.
fn files(
    args: &PackArgs,
    format: ImageFormat,
    disk: &mut Disk,
    report: &Report,
    key: Option<&sign::Key>,
    progress: &dyn Fn(u64),
    cancel: &Cancel,
) -> Result<ImageManifest, PackError> {
    let stem = format!("{}-{}", args.name, args.version);
    let tree = format == ImageFormat::Tar;
    let names = [if tree { "tar.zst" } else { "raw.zst" }, "caibx", "SHA256SUMS", "json", "json.minisig"];
    let [image, index, sums, manifest, signature] = names.map(|end| format!("{stem}.{end}"));
    let mut staged = Staged { folder: args.output.clone(), names: Vec::new() };
    let packed = staged.image(&image, disk, args.level, progress, cancel)?;
    let mut published = vec![PublishedFile { file: image, bytes: packed.wire_bytes, digest: packed.wire.clone() }];
    if !tree {
        published.push(staged.write(&index, &packed.index.bytes())?);
    }
    let lines: String = published.iter().map(|one| format!("{}  {}\n", bare(&one.digest), one.file)).collect();
    staged.write(&sums, lines.as_bytes())?;
    let made = describe(args, report, tree, &packed, published);
    let bytes = made.bytes();
    staged.write(&manifest, &bytes)?;
    match key {
        Some(key) => {
            let comment = format!("timestamp:{} manifest={} version={}", sign::now(), made.name, made.version);
            staged.write(&signature, key.sign(&bytes, &comment)?.as_bytes())?;
        }
        // A signature from an earlier run would be refused, so remove it.
        None => drop(fs::remove_file(args.output.join(&signature))),
    }
    staged.publish()?;
    Ok(made)
}

fn bare(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

fn describe(
    args: &PackArgs,
    report: &Report,
    tree: bool,
    packed: &Packed,
    published: Vec<PublishedFile>,
) -> ImageManifest {
    let mut published = published.into_iter();
    let image = published.next().unwrap_or(PublishedFile { file: String::new(), bytes: 0, digest: String::new() });
    let bios = report.boot.bios.is_some().then(|| "bios".to_owned());
    let uefi = (!report.boot.uefi.is_empty()).then(|| "uefi".to_owned());
    ImageManifest {
        manifest: VERSION.to_owned(),
        name: args.name.clone(),
        version: args.version.clone(),
        format: if tree { ImageFormat::Tar } else { ImageFormat::Raw },
        compression: "zstd".to_owned(),
        image,
        content: Content { bytes: packed.content_bytes, digest: packed.content.clone() },
        index: published.next(),
        sector_size: report.table.sector_size,
        firmware: bios.into_iter().chain(uefi).collect(),
        least_disk: packed.content_bytes,
        least_memory: packed.memory,
    }
}

/// Files that do not have their final names yet.
struct Staged {
    folder: PathBuf,
    names: Vec<String>,
}

impl Staged {
    fn part(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".{name}.part"))
    }

    fn image(
        &mut self,
        name: &str,
        disk: &mut Disk,
        level: i32,
        progress: &dyn Fn(u64),
        cancel: &Cancel,
    ) -> Result<Packed, PackError> {
        let path = self.part(name);
        self.names.push(name.to_owned());
        let file = File::create(&path).map_err(|source| unwritable(&path, source))?;
        let mut out = BufWriter::new(&file);
        let packed = image::pack(disk, &mut out, &path, level, progress, cancel)?;
        out.flush().and_then(|()| file.sync_all()).map_err(|source| unwritable(&path, source))?;
        Ok(packed)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<PublishedFile, PackError> {
        let path = self.part(name);
        self.names.push(name.to_owned());
        let written = File::create(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.map_err(|source| unwritable(&path, source))?;
        let digest = format!("sha256:{}", hex(Sha256::digest(bytes)));
        Ok(PublishedFile { file: name.to_owned(), bytes: bytes.len() as u64, digest })
    }

    fn publish(mut self) -> Result<(), PackError> {
        for name in std::mem::take(&mut self.names) {
            let path = self.folder.join(&name);
            fs::rename(self.part(&name), &path).map_err(|source| unwritable(&path, source))?;
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = fs::remove_file(self.part(name));
        }
    }
}
