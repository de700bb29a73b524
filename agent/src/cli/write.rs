//! `burin write SOURCE TARGET...`: the image engine on the command line.

use super::display::{DeviceDisplay, Display};
use super::transfer::{TransferArgs, TransferError, is_url};
use crate::disk::{Backend, Target};
use crate::image::{
    self, Cancel, DeltaRequest, Destination, Http, ImageError, Minisign, Published, Source, Sums, WantedManifest,
    WriteRequest, oci,
};
use crate::protocol::ImageReceipt;
use crate::protocol::image::Verify;
use crate::tree;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a disk image to one or several devices, and verify the result.
///
/// Compression is detected by magic number: none, gzip, xz, zstd, lz4, bzip2. The first MiB is written last, after
/// everything else has been read back; exit status 0 means verified success on every target.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  burin write --sha256 HEX https://images/debian.raw.zst /dev/nvme0n1
  burin write --minisign minisign.pub https://images/debian.raw.zst /dev/sda /dev/sdb
  burin write --minisign minisign.pub --name debian --manifest https://images/debian.json /dev/nvme0n1
  burin write --delta https://images/debian.caibx https://images/debian.raw.zst /dev/nvme0n1
  burin write --cosign cosign.pub oci://registry.example/images/debian:13 /dev/nvme0n1
  BURIN_BEARER=TOKEN burin write --connections 4 https://images/debian.raw.zst /dev/nvme0n1

A target that fails does not affect the others: they are finished, and the exit status is 1.")]
pub struct WriteArgs {
    /// http(s) URL, oci://HOST/REPOSITORY:TAG or @sha256:HEX (a disk image in a registry; oci+http:// without TLS), path, or -
    /// for standard input; with --manifest the first target
    source: String,
    /// Block devices; each gets a copy, from a single download
    #[arg(value_name = "TARGET", required_unless_present = "manifest")]
    targets: Vec<PathBuf>,
    /// URL or path of a manifest (burin image pack), which says where the image is and how to verify it; with
    /// --minisign, that key must have signed it, and --name must give its name
    #[arg(long, value_name = "URL", conflicts_with_all = ["sha256", "content_sha256", "sha256sums", "delta", "mirror"])]
    manifest: Option<String>,
    /// The name that the manifest must give the image
    #[arg(long, value_name = "NAME", requires = "manifest")]
    name: Option<String>,
    /// The oldest accepted version of the manifest
    #[arg(long, value_name = "VERSION", requires = "manifest")]
    least_version: Option<String>,
    /// The targets are existing regular files
    #[arg(long)]
    file: bool,
    /// Another URL of the same bytes, or another registry with the same image; may be repeated
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// SHA-256 of the bytes as downloaded
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: Option<String>,
    /// SHA-256 of the image as written, decompressed
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    content_sha256: Option<String>,
    /// URL or path of a SHA256SUMS file with the download's digest
    #[arg(long, value_name = "URL", conflicts_with = "sha256")]
    sha256sums: Option<String>,
    /// minisign public key, or a file with it: it must have signed the image, or with --sha256sums that file
    #[arg(long, value_name = "KEY")]
    minisign: Option<String>,
    /// URL or path of the signature; default: that of the signed file, with .minisig added
    #[arg(long, value_name = "URL", requires = "minisign")]
    signature: Option<String>,
    /// Refuse image, sums and index if they were signed earlier: seconds since 1970, as in minisign's trusted comment
    #[arg(long, value_name = "SECONDS", requires = "minisign")]
    signed_since: Option<u64>,
    /// cosign public key, or a file with it: it must have signed the image in its registry
    #[arg(long, value_name = "KEY", allow_hyphen_values = true, conflicts_with_all = ["minisign", "sha256sums"])]
    cosign: Option<String>,
    /// URL or path of the image's index (burin index): matching data on the target is kept, if that is estimated to be
    /// faster. The source must be a raw image, or zstd with a seek table. With a digest of the download, the index
    /// needs --content-sha256 or --delta-sha256; with only a signature, it needs a signature (INDEX.minisig) that names
    /// the same download, and --signed-since
    #[arg(long, value_name = "INDEX")]
    delta: Option<String>,
    /// SHA-256 of the index
    #[arg(long, value_name = "HEX", requires = "delta", value_parser = sha256)]
    delta_sha256: Option<String>,
    /// Use the index even if a whole write is estimated to be faster
    #[arg(long, requires = "delta")]
    delta_always: bool,
    /// How the written data is verified
    #[arg(long, value_enum, default_value_t = VerifyArg::Readback)]
    verify: VerifyArg,
    /// Print JSON objects, one per line, instead of the progress bar
    #[arg(long)]
    json: bool,
    /// Largest zstd window, as a power of two in bytes
    #[arg(long, value_name = "LOG", default_value_t = 27, value_parser = clap::value_parser!(u32).range(10..=31))]
    window_log: u32,
    /// How requests are submitted to the kernel
    #[arg(long, value_enum, default_value_t = IoArg::Auto)]
    io: IoArg,
    #[command(flatten)]
    transfer: TransferArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum VerifyArg {
    /// Read everything back from the device and compare
    Readback,
    /// Verify only the digests of the input
    Digest,
    None,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum IoArg {
    /// io_uring, or threads if the kernel refuses it
    Auto,
    #[value(name = "io_uring")]
    IoUring,
    Threads,
}

fn sha256(text: &str) -> Result<String, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let good = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { Ok(format!("sha256:{hex}")) } else { Err("not 64 hexadecimal digits".into()) }
}

/// The result for each target.
type Ended = Vec<Result<ImageReceipt, ImageError>>;

/// Runs the command. `cancel` is set by the caller's signal handler.
pub fn run(mut args: WriteArgs, cancel: &Cancel) -> ExitCode {
    let display = Display::new(args.json);
    if args.manifest.is_some() {
        args.targets.insert(0, std::mem::take(&mut args.source).into());
        if args.minisign.is_some() && args.name.is_none() {
            eprintln!("burin: the key may have signed other images too: say which one is wanted with --name");
            return ExitCode::from(2);
        }
    }
    let targets = args.targets.clone();
    match write(args, &display, cancel) {
        Ok(ended) => {
            let all = ended.iter().all(Result::is_ok);
            for (target, ended) in targets.iter().zip(ended) {
                match ended {
                    Ok(receipt) => display.receipt(&receipt),
                    Err(error) => display.error(Some(target), &error),
                }
            }
            if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            display.error(None, &error);
            ExitCode::FAILURE
        }
    }
}

fn write(mut args: WriteArgs, display: &Display, cancel: &Cancel) -> Result<Ended, TransferError> {
    let sector_size = by_manifest(&mut args, cancel)?;
    let remote = is_url(&args.source) || oci::is_reference(&args.source);
    let mut urls: Vec<String> = if remote { vec![args.source.clone()] } else { Vec::new() };
    urls.extend(args.mirror.iter().cloned());
    // If the image is a local file, the files beside it may still have to be fetched.
    if urls.is_empty() {
        urls.extend(args.delta.iter().chain(&args.sha256sums).find(|at| is_url(at)).cloned());
    }
    let http = args.transfer.http(urls)?;
    let registry = registry(&args, &http, cancel)?;

    let minisign = args.minisign.as_deref().map(key).transpose()?;
    let not_before = args.signed_since;
    let minisign = |at| minisign.clone().map(|key| Minisign { key, at, not_before });
    let mut signature = None;
    let published = match &args.sha256sums {
        Some(url) => {
            let sums = Sums { url: url.clone(), minisign: minisign(args.signature.clone()) };
            Some(image::published(&http, &sums, &args.source, cancel)?)
        }
        None => {
            let minisign = minisign(args.signature.clone());
            signature = minisign.map(|minisign| minisign.fetch(&http, &args.source, cancel)).transpose()?;
            None
        }
    };
    let delta = match &args.delta {
        Some(at) => Some(index(&args, at, &http, minisign(None), cancel)?),
        None => None,
    };
    let opened: Vec<_> = args.targets.iter().map(|path| open(path, args.file)).collect();
    // A target that cannot be opened is only its own failure, as long as there are others.
    if opened.iter().all(Result::is_err) {
        return Ok(opened.into_iter().map(|opened| opened.and(Err(ImageError::NoSource))).collect());
    }
    let mut proven = None;
    let source = if let Some(registry) = registry {
        let (source, wire) = tree::disk(registry.disk()?, cancel)?;
        proven = wire;
        source
    } else if args.source == "-" {
        Source::Reader(Box::new(std::io::stdin()), "standard input".into())
    } else if is_url(&args.source) {
        Source::Http(http)
    } else {
        Source::File(args.source.into())
    };
    let mut request = WriteRequest::new(source);
    request.digest.wire = args.sha256.or(published).or(proven);
    request.digest.content = args.content_sha256;
    request.signature = signature;
    request.verify = match args.verify {
        VerifyArg::Readback => Verify::Readback,
        VerifyArg::Digest => Verify::Digest,
        VerifyArg::None => Verify::None,
    };
    request.delta = delta;
    request.sector_size = sector_size;
    request.options.window_log = args.window_log;
    request.options.backend = match args.io {
        IoArg::Auto => Backend::Auto,
        IoArg::IoUring => Backend::IoUring,
        IoArg::Threads => Backend::Threads,
    };
    let watches: Vec<DeviceDisplay<'_>> = args.targets.iter().map(|path| display.watch(path)).collect();
    let destinations: Vec<Destination<'_>> = opened
        .iter()
        .zip(&watches)
        .filter_map(|(opened, watch)| opened.as_ref().ok().map(|target| Destination { target, progress: watch }))
        .collect();
    let mut written = image::write_all(request, &destinations, cancel)?.into_iter();
    let broken = || Err(ImageError::Broken { stage: "writer" });
    let ended = opened.iter().map(|opened| match opened {
        Ok(_) => Some(written.next().map_or_else(broken, |ended| ended.map(|written| written.receipt))),
        Err(_) => None,
    });
    let ended: Vec<_> = ended.collect();
    Ok(ended.into_iter().zip(opened).map(|(ended, opened)| ended.unwrap_or_else(|| opened.and(broken()))).collect())
}

/// Applies the manifest as if its contents were on the command line; returns the sector size that the image was made
/// for.
fn by_manifest(args: &mut WriteArgs, cancel: &Cancel) -> Result<Option<u32>, TransferError> {
    let Some(at) = args.manifest.clone() else { return Ok(None) };
    let http = args.transfer.http(if is_url(&at) { vec![at.clone()] } else { Vec::new() })?;
    let minisign = args.minisign.take().as_deref().map(key).transpose()?;
    let wanted = WantedManifest {
        minisign: minisign.map(|key| Minisign { key, at: args.signature.take(), not_before: args.signed_since.take() }),
        name: args.name.clone(),
        least_version: args.least_version.clone(),
        least_versions: String::new(),
    };
    let Published { manifest, image, index } = Published::fetch(&http, &at, &wanted, cancel)?;
    args.source = image;
    (args.sha256, args.content_sha256) = (Some(manifest.image.digest), Some(manifest.content.digest));
    // With a single device, it may already hold most of the image.
    if args.targets.len() == 1 {
        (args.delta, args.delta_sha256) = (index, manifest.index.map(|index| index.digest));
    }
    Ok(manifest.sector_size)
}

/// The image, if it is in a registry. Files published beside an image do not exist there.
fn registry(args: &WriteArgs, http: &Http, cancel: &Cancel) -> Result<Option<oci::Resolved>, ImageError> {
    let unsupported = |what: &str| {
        let (source_name, what) = (args.source.clone(), what.to_owned());
        Err(ImageError::Unsupported { source_name, what })
    };
    if !oci::is_reference(&args.source) {
        return match (&args.cosign, args.mirror.iter().any(|mirror| oci::is_reference(mirror))) {
            (_, true) => unsupported("is no image in a registry, and its mirror is"),
            (Some(_), _) => unsupported("is no image in a registry: its signature is minisign's (--minisign)"),
            (None, false) => Ok(None),
        };
    }
    if args.minisign.is_some() || args.sha256sums.is_some() {
        return unsupported("is in a registry: it is pinned by @sha256:HEX, or signed with cosign (--cosign)");
    }
    let key = args.cosign.as_deref().map(key).transpose()?;
    let key = key.map(|key| oci::CosignKey::parse(&key)).transpose()?;
    oci::resolve(http.clone(), key.as_ref(), cancel).map(Some)
}

fn open(path: &Path, file: bool) -> Result<Target, ImageError> {
    Ok(if file { Target::open_file(path)? } else { Target::open_device(path)? })
}

/// The index, and whether it was verified.
fn index(
    args: &WriteArgs,
    at: &str,
    http: &Http,
    minisign: Option<Minisign>,
    cancel: &Cancel,
) -> Result<DeltaRequest, ImageError> {
    let signature = match minisign.map(|minisign| minisign.fetch(http, at, cancel)) {
        Some(Err(ImageError::SignatureMissing { .. })) | None => None,
        Some(signature) => Some(signature?),
    };
    let source = if is_url(at) { Source::Http(http.at(at)) } else { Source::File(at.into()) };
    let index = image::fetch_index(source, args.delta_sha256.as_deref(), signature.as_ref(), cancel)?;
    let proven = args.delta_sha256.is_some();
    Ok(DeltaRequest { proven, signed: signature, always: args.delta_always, ..DeltaRequest::new(index) })
}

/// The key itself, or the contents of a file with it.
fn key(text: &str) -> Result<String, ImageError> {
    let path = Path::new(text);
    if !path.is_file() {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(path).map_err(|source| ImageError::ReadFile { path: path.to_owned(), source })
}
