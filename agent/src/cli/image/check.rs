//! `burin image check IMAGE`: describes an image and finds what will break on other machines.

use crate::cli::transfer::{TransferArgs, TransferError, is_url};
use crate::error::Coded;
use crate::image::{self, Cancel, ImageError, OpenedDisk, Source, oci};
use crate::protocol::{Problem, order};
use crate::tree;
use burin_inspect::{CheckOptions, InspectError, Report};
use hwinventory::model::harmless;
use indicatif::{HumanBytes, ProgressBar};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Describe an image, and find what would break on other machines than the one that made it.
///
/// Reads only, needs no root and mounts nothing: burin itself reads partition tables, LVM, ext4, FAT, xfs, btrfs and
/// tar. Exit status 0: nothing would break. 1: something would, or a step of --order cannot be done. 2: wrong usage.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  burin image check debian.qcow2
  burin image check --json https://images/debian.raw.zst | jq '.findings[].code'
  burin image check --order order.json debian.raw
  burin image check --accept check.swap_behind_root debian.raw

Every refusal and finding has a code, listed in docs/errors.md; docs/images.md explains how to make good images.")]
pub struct CheckArgs {
    /// http(s) URL, oci://HOST/REPOSITORY:TAG (a disk image in a registry), path, or - for standard input: raw, qcow2 or a root
    /// filesystem as tar, compressed or not
    image: String,
    /// Report for each step of this order whether it can be done on the image
    #[arg(long, value_name = "FILE")]
    order: Option<PathBuf>,
    /// Which of the order's images this is, if there are several
    #[arg(long, value_name = "NAME", requires = "order")]
    order_image: Option<String>,
    /// Try the order on this machine, as printed by `burin inventory`, instead of a simulated one
    #[arg(long, value_name = "FILE", requires = "order")]
    inventory: Option<PathBuf>,
    /// Accept this finding: it does not count. May be repeated
    #[arg(long, value_name = "CODE")]
    accept: Vec<String>,
    /// Print one JSON object (docs/schemas/image-report.json) instead of a page
    #[arg(long)]
    json: bool,
    /// Folder for images that must be fully decoded; nothing stays there
    #[arg(long, value_name = "FOLDER", default_value = "/var/tmp", env = "TMPDIR")]
    spool: PathBuf,
    #[command(flatten)]
    transfer: TransferArgs,
}

/// Runs the command. `cancel` is set by the caller's signal handler.
pub fn run(args: CheckArgs, cancel: &Cancel) -> ExitCode {
    let wanted = match wanted(&args) {
        Ok(wanted) => wanted,
        Err(Refused::Usage(message)) => {
            eprintln!("burin image check: {message}");
            return ExitCode::from(2);
        }
        Err(Refused::Order(problem)) => return refused(&problem, args.json),
    };
    let report = open(&args, cancel).and_then(|opened| match burin_inspect::check(opened, &wanted) {
        Ok(report) => Ok(report),
        Err(InspectError::Image(error)) => Err(error.problem()),
        Err(InspectError::Order(error)) => Err(error.problem()),
    });
    match report {
        Ok(report) => print(&report, args.json),
        Err(problem) => refused(&problem, args.json),
    }
}

enum Refused {
    Usage(String),
    Order(Problem),
}

fn wanted(args: &CheckArgs) -> Result<CheckOptions, Refused> {
    let known: Vec<&str> = burin_inspect::faults::all().map(|fault| fault.code).collect();
    if let Some(code) = args.accept.iter().find(|code| !known.contains(&code.as_str())) {
        let nearest = order::nearest(code, known.iter().copied());
        let hint = nearest.map(|nearest| format!(", perhaps {nearest}")).unwrap_or_default();
        return Err(Refused::Usage(format!("{code} is no code of a finding{hint}")));
    }
    let Some(path) = &args.order else { return Ok(CheckOptions { accepted: args.accept.clone(), order: None }) };
    let text = crate::cli::plan::read(path).map_err(Refused::Usage)?;
    let order = order::parse(&text).map_err(|error| Refused::Order(error.problem()))?;
    let machine = args.inventory.as_deref().map(crate::cli::plan::inventory).transpose().map_err(Refused::Usage)?;
    Ok(CheckOptions { accepted: args.accept.clone(), order: Some((order, args.order_image.clone(), machine)) })
}

/// Opens the image, with a progress bar if it must be decoded to a file first.
fn open(args: &CheckArgs, cancel: &Cancel) -> Result<OpenedDisk, Problem> {
    let source = source(&args.image, &args.transfer, cancel).map_err(|error| error.problem())?;
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let progress = |done: u64, _: Option<u64>| {
        bar.set_message(format!("decoding {}: {}", args.image, HumanBytes(done)));
        bar.tick();
    };
    let opened = image::open_disk(source, Path::new(&args.spool), &progress, cancel);
    bar.finish_and_clear();
    opened.map_err(|error: ImageError| error.problem())
}

/// The location of an image from the command line.
pub(super) fn source(at: &str, transfer: &TransferArgs, cancel: &Cancel) -> Result<Source, TransferError> {
    Ok(match at {
        "-" => Source::Reader(Box::new(std::io::stdin()), "standard input".into()),
        url if is_url(url) => Source::Http(transfer.http(vec![url.to_owned()])?),
        name if oci::is_reference(name) => {
            let resolved = oci::resolve(transfer.http(vec![name.to_owned()])?, None, cancel)?;
            tree::disk(resolved.disk()?, cancel)?.0
        }
        path => Source::File(path.into()),
    })
}

fn print(report: &Report, json: bool) -> ExitCode {
    if json {
        println!("{}", serde_json::to_string_pretty(report).unwrap_or_default());
    } else {
        // Names and labels come from the image and may contain anything.
        burin_inspect::page(report).lines().for_each(|line| println!("{}", harmless::line(line)));
    }
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(super) fn refused(problem: &Problem, json: bool) -> ExitCode {
    if json {
        println!("{:#}", serde_json::json!({ "problem": problem }));
        return ExitCode::FAILURE;
    }
    eprintln!("burin: {} [{}]", problem.message, problem.code);
    problem.causes.iter().for_each(|cause| eprintln!("  because: {cause}"));
    problem.hint.iter().for_each(|hint| eprintln!("  what to do: {hint}"));
    ExitCode::FAILURE
}
