//! `burin write SOURCE TARGET`: the image engine for people and scripts.

use crate::disk::{Backend, DiskError, Target};
use crate::error::Coded;
use crate::image::{self, Cancel, Http, ImageError, Minisign, Phase, Progress, Snapshot, Source, Sums, WriteRequest};
use crate::protocol::image::Verify;
use crate::protocol::{ImageReceipt, Problem};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Write a disk image to a device, and prove that it is there.
///
/// Compression is found by magic: none, gzip, xz, zstd, lz4, bzip2. The first MiB is written last, after everything
/// else was read back; exit status 0 means verified success.
#[derive(Debug, clap::Args)]
pub struct WriteArgs {
    /// http(s) URL, path, or - for standard input
    source: String,
    /// Block device
    target: PathBuf,
    /// The target is an existing ordinary file
    #[arg(long)]
    file: bool,
    /// Further URL of the same bytes; may be repeated
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// SHA-256 of the bytes as downloaded
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: Option<String>,
    /// SHA-256 of the image as written, decompressed
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    content_sha256: Option<String>,
    /// URL of a SHA256SUMS file that holds the download's digest
    #[arg(long, value_name = "URL", conflicts_with = "sha256")]
    sha256sums: Option<String>,
    /// minisign public key that must have signed the SHA256SUMS file (URL.minisig)
    #[arg(long, value_name = "KEY", requires = "sha256sums")]
    minisign: Option<String>,
    /// URL or path of the image's index (burin index): what the target holds in its place already is kept. The source
    /// is a raw image, or zstd with a seek table
    #[arg(long, value_name = "INDEX", conflicts_with_all = ["sha256", "sha256sums"])]
    delta: Option<String>,
    /// How what was written is checked
    #[arg(long, value_enum, default_value_t = VerifyArg::Readback)]
    verify: VerifyArg,
    /// One JSON object a line instead of the progress bar
    #[arg(long)]
    json: bool,
    /// Largest zstd window, as a power of two of bytes
    #[arg(long, value_name = "LOG", default_value_t = 27, value_parser = clap::value_parser!(u32).range(10..=31))]
    window_log: u32,
    /// How requests go to the kernel
    #[arg(long, value_enum, default_value_t = IoArg::Auto)]
    io: IoArg,
    /// Keep the download at this rate
    #[arg(long, value_name = "BYTES_PER_SECOND", value_parser = clap::value_parser!(u64).range(1..))]
    limit_rate: Option<u64>,
    /// Give a connection up after so many seconds without a byte
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    stall: u64,
    /// Give up after so many seconds without a byte from any mirror
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum VerifyArg {
    /// Read everything back from the device and compare
    Readback,
    /// Only the digests of what came in
    Digest,
    None,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum IoArg {
    /// io_uring, and threads where the kernel refuses it
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

/// Runs the command. `agent` carries TLS trust and proxies; `cancel` is set by the caller's signal handler.
pub fn run(args: WriteArgs, agent: ureq::Agent, cancel: &Cancel) -> ExitCode {
    let json = args.json;
    let display = Display::new(json);
    match write(args, agent, &display, cancel) {
        Ok(receipt) => {
            display.receipt(&receipt);
            ExitCode::SUCCESS
        }
        Err(error) => {
            display.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn write(args: WriteArgs, agent: ureq::Agent, display: &Display, cancel: &Cancel) -> Result<ImageReceipt, ImageError> {
    let published = match args.sha256sums {
        Some(url) => {
            let minisign = args.minisign.map(|key| Minisign { key, url: None });
            Some(image::published(&agent, &Sums { url, minisign }, &args.source, cancel)?)
        }
        None => None,
    };
    let delta = match args.delta {
        Some(from) if from.starts_with("http://") || from.starts_with("https://") => {
            let mut http = Http::new(agent.clone(), vec![from]);
            http.stall = Duration::from_secs(args.stall);
            http.patience = Duration::from_secs(args.patience);
            Some(image::fetch_index(Source::Http(http), cancel)?)
        }
        Some(from) => Some(image::fetch_index(Source::File(from.into()), cancel)?),
        None => None,
    };
    let source = if args.source == "-" {
        Source::Reader(Box::new(std::io::stdin()), "standard input".into())
    } else if args.source.starts_with("http://") || args.source.starts_with("https://") {
        let mut urls = vec![args.source];
        urls.extend(args.mirror);
        let mut http = Http::new(agent, urls);
        http.rate = args.limit_rate;
        http.stall = Duration::from_secs(args.stall);
        http.patience = Duration::from_secs(args.patience);
        Source::Http(http)
    } else {
        Source::File(args.source.into())
    };
    let opened = if args.file { Target::open_file(&args.target) } else { Target::open_device(&args.target) };
    let target = opened.map_err(|error: DiskError| ImageError::Disk(error))?;
    let mut request = WriteRequest::new(source);
    request.digest.wire = args.sha256.or(published);
    request.digest.content = args.content_sha256;
    request.verify = match args.verify {
        VerifyArg::Readback => Verify::Readback,
        VerifyArg::Digest => Verify::Digest,
        VerifyArg::None => Verify::None,
    };
    request.delta = delta;
    request.options.window_log = args.window_log;
    request.options.backend = match args.io {
        IoArg::Auto => Backend::Auto,
        IoArg::IoUring => Backend::IoUring,
        IoArg::Threads => Backend::Threads,
    };
    image::write(request, &target, display, cancel)
}

/// The terminal, or lines of JSON.
struct Display {
    bar: Option<ProgressBar>,
}

impl Display {
    fn new(json: bool) -> Self {
        let style = ProgressStyle::with_template("{spinner} {prefix} {wide_bar} {percent:>3}% {msg}");
        let bar =
            (!json).then(|| ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())));
        Self { bar }
    }

    fn line(&self, kind: &str, value: impl serde::Serialize) {
        if let Ok(text) = serde_json::to_string(&serde_json::json!({ "event": kind, "data": value })) {
            // A closed pipe is no reason to stop a write.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), format!("{text}\n").as_bytes());
        }
    }

    fn receipt(&self, receipt: &ImageReceipt) {
        let Some(bar) = &self.bar else { return self.line("receipt", receipt) };
        bar.finish_and_clear();
        let seconds = receipt.duration_ms as f64 / 1000.0;
        println!(
            "{}: {} written, {} zeroed, {} verified in {seconds:.1} s ({}/s); held up by {}",
            receipt.device,
            HumanBytes(receipt.written_bytes),
            HumanBytes(receipt.zeroed_bytes),
            HumanBytes(receipt.verified_bytes),
            HumanBytes((receipt.image_bytes as f64 / seconds.max(0.001)) as u64),
            receipt.bottleneck,
        );
        if receipt.skipped_bytes > 0 {
            println!("{}: {} were there already", receipt.device, HumanBytes(receipt.skipped_bytes));
        }
        if receipt.verify != Verify::Readback {
            println!("{}: NOT read back, as asked", receipt.device);
        }
    }

    fn error(&self, error: &ImageError) {
        let problem: Problem = error.problem();
        let Some(bar) = &self.bar else { return self.line("error", problem) };
        bar.finish_and_clear();
        eprintln!("burin: {} [{}]", problem.message, problem.code);
        for cause in &problem.causes {
            eprintln!("  because {cause}");
        }
        if let Some(hint) = &problem.hint {
            eprintln!("  hint: {hint}");
        }
    }
}

impl Progress for Display {
    fn tick(&self, now: &Snapshot) {
        let Some(bar) = &self.bar else { return self.line("progress", now) };
        let (done, total) = match now.image_total {
            Some(total) => (now.image_bytes, Some(total)),
            None => (now.wire_bytes, now.wire_total),
        };
        bar.set_length(total.unwrap_or(0));
        bar.set_position(done);
        bar.set_prefix(match now.phase {
            Phase::Preparing => "preparing",
            Phase::Writing => "writing",
            Phase::Finishing => "finishing",
        });
        let rate = now.image_bytes as f64 / (now.elapsed_ms.max(1) as f64 / 1000.0);
        let eta = now.eta_ms.map(|eta| format!(", {} s to go", eta.div_ceil(1000))).unwrap_or_default();
        let (image, verified) = (HumanBytes(now.image_bytes), HumanBytes(now.verified_bytes));
        bar.set_message(format!(
            "{image}, {}/s, {verified} verified, {}{eta}",
            HumanBytes(rate as u64),
            now.bottleneck
        ));
    }

    fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("burin: {text}")),
            None => self.line("note", text),
        }
    }
}
