//! `hwinventory`: what this machine is.

use clap::{Args, Parser, Subcommand};
use hwinventory::fleet::{Member, Unreadable};
use hwinventory::format::IpaOptions;
use hwinventory::model::harmless;
use hwinventory::source::{self, Recorder};
use hwinventory::{Inventory, Options};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[derive(Parser)]
#[command(name = "hwinventory", version, about = "Hardware inventory without external programs", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hwinventory collect                          this machine, as a page
  hwinventory collect --json --lldp 31         as a document, with the switch ports it is plugged into
  hwinventory collect --format ipa             the body of Ironic's inspection
  hwinventory snapshot machine.tar.zst         everything that was read, redacted, for somebody else to replay
  hwinventory collect --root machine.tar.zst   that machine, anywhere
  hwinventory diff expected.json /             drift of this machine from a document
  hwinventory diff inventories/                which of many machines are odd ones, and in what

Exit status: 0, and 1 of `diff` for drift; 2 for wrong usage and for what could not be read or written.";

#[derive(Subcommand)]
enum Command {
    /// Collect the inventory and print it
    Collect(Collect),
    /// Record everything that is read into one file, for replay with `collect --root FILE`
    Snapshot(Snapshot),
    /// Compare two inventories, or all those of a folder; exit 1 when they differ, 2 when one cannot be read
    Diff(Diff),
    /// Print the JSON Schema of the inventory
    Schema,
}

#[derive(Args)]
struct Collect {
    /// Machine to describe: `/`, a directory with copies of /proc and /sys, or a snapshot
    #[arg(long, default_value = "/", value_name = "PATH")]
    root: PathBuf,
    /// Print JSON instead of a page: short for `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Page, value_name = "FORMAT")]
    format: Format,
    /// For `--format ipa`: collectors to add, as in `ipa-inspection-collectors`
    #[arg(long, value_delimiter = ',', default_value = "default", value_name = "NAMES")]
    ipa_collectors: Vec<String>,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Page,
    /// The inventory's own document
    Json,
    /// What ironic-python-agent posts to Ironic's inspection
    Ipa,
    /// The tree that `lshw -json` prints
    LshwJson,
}

#[derive(Args)]
struct Limits {
    /// Listen this long for LLDP neighbours (switches speak every 30 seconds)
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    lldp: u64,
    /// While listening, switch off the LLDP agents of cards that swallow the frames (i40e, ice); they are switched on
    /// again afterwards. May reset the link for a moment
    #[arg(long, requires = "lldp")]
    lldp_agent_off: bool,
    /// Read the BMC's event log, FRUs and sensors for at most this long; 0 does not ask
    #[arg(long, default_value_t = 3, value_name = "SECONDS")]
    bmc: u64,
    /// Give up a device after this time
    #[arg(long, default_value_t = 1500, value_name = "MILLISECONDS")]
    deadline: u64,
    /// List bound loop devices among the disks
    #[arg(long = "loop")]
    include_loop: bool,
    /// Do not read sectors to recognise filesystems and partition tables
    #[arg(long)]
    no_signatures: bool,
}

#[derive(Args)]
struct Snapshot {
    /// File to write (tar.zst)
    file: PathBuf,
    /// Machine to record
    #[arg(long, default_value = "/", value_name = "PATH")]
    root: PathBuf,
    /// Keep serial numbers, hardware addresses and UUIDs as they are
    #[arg(long)]
    no_redaction: bool,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Args)]
struct Diff {
    /// Inventory (JSON), snapshot or directory that says how the machine should be; alone, a folder of many machines
    expected: PathBuf,
    /// The same of how it is; `/` is this machine
    actual: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        // A reader that closes the pipe early has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hwinventory: {}", harmless::line(&error.to_string()));
            // 1 is drift: as with diff(1), trouble is something else.
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match command {
        Command::Collect(arguments) => {
            let inventory = hwinventory::collect(&options(&arguments.root, &arguments.limits)?);
            print_inventory(&mut out, &inventory, &arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Snapshot(arguments) => snapshot(&arguments),
        Command::Diff(arguments) => {
            let Some(actual) = &arguments.actual else {
                return fleet(&mut out, &arguments.expected, arguments.json);
            };
            let (expected, actual) = (load(&arguments.expected)?, load(actual)?);
            let drift = hwinventory::diff::diff(&expected, &actual);
            if arguments.json {
                print_json(&mut out, &drift)?;
            } else {
                out.write_all(hwinventory::diff::render(&drift, colour()).as_bytes())?;
            }
            Ok(if drift.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Schema => {
            out.write_all(hwinventory::schema().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print_inventory(out: &mut impl Write, inventory: &Inventory, arguments: &Collect) -> io::Result<()> {
    match arguments.format {
        Format::Json => print_json(out, inventory),
        Format::Page if arguments.json => print_json(out, inventory),
        Format::Page => out.write_all(hwinventory::page::render(inventory, colour()).as_bytes()),
        Format::Ipa => {
            let managers = vec![("hwinventory".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
            let options =
                IpaOptions { collectors: arguments.ipa_collectors.clone(), managers, ..IpaOptions::default() };
            print_json(out, &hwinventory::format::ipa(inventory, &options))
        }
        Format::LshwJson => print_json(out, &hwinventory::format::lshw(inventory)),
    }
}

fn options(root: &Path, limits: &Limits) -> io::Result<Options> {
    let source = source::open(root).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", root.display())))?;
    Ok(Options {
        source,
        device_deadline: Duration::from_millis(limits.deadline),
        lldp_wait: Duration::from_secs(limits.lldp),
        bmc_time: Duration::from_secs(limits.bmc),
        lldp_agent_off: limits.lldp_agent_off,
        include_loop: limits.include_loop,
        probe_signatures: !limits.no_signatures,
        ..Options::default()
    })
}

fn snapshot(arguments: &Snapshot) -> io::Result<ExitCode> {
    let mut options = options(&arguments.root, &arguments.limits)?;
    let recorder = Arc::new(Recorder::new(options.source.clone(), &options.agent_version));
    options.source = recorder.clone();
    let inventory = hwinventory::collect(&options);
    let mut recording = recorder.recording();
    if !arguments.no_redaction {
        source::redact(&mut recording, &inventory, uuid::Uuid::new_v4().as_bytes());
    }
    let name = arguments.file.display();
    let in_file = |e: io::Error| io::Error::new(e.kind(), format!("{name}: {e}"));
    let file = std::fs::File::create(&arguments.file).map_err(in_file)?;
    recording.save(io::BufWriter::new(file)).map_err(in_file)?;
    eprintln!(
        "{name}: {} files, {} answers{}",
        recording.files.len(),
        recording.queries.len(),
        if recording.manifest.redacted { ", redacted" } else { "" }
    );
    Ok(ExitCode::SUCCESS)
}

/// An inventory in JSON, or anything that one can be collected from.
fn load(path: &Path) -> io::Result<Inventory> {
    let in_file = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    if path.is_file() {
        let bytes = std::fs::read(path).map_err(in_file)?;
        if bytes.is_empty() {
            return Err(in_file(io::Error::new(io::ErrorKind::InvalidData, "it is empty")));
        }
        if bytes.trim_ascii_start().starts_with(b"{") {
            return serde_json::from_slice(&bytes).map_err(|e| in_file(e.into()));
        }
    }
    if path.is_dir() && !is_machine(path) {
        return Err(in_file(io::Error::new(io::ErrorKind::InvalidInput, "holds no copy of /proc or /sys")));
    }
    let source = source::open(path).map_err(in_file)?;
    let bmc_time = Duration::from_secs(3);
    Ok(hwinventory::collect(&Options { source, bmc_time, ..Options::default() }))
}

/// A directory with copies of /proc and /sys.
fn is_machine(directory: &Path) -> bool {
    directory.join("proc").is_dir() || directory.join("sys").is_dir()
}

/// Compares all the machines in a folder: inventories (JSON), snapshots, directories with copies of /proc and /sys.
fn fleet(out: &mut impl Write, folder: &Path, json: bool) -> io::Result<ExitCode> {
    let in_folder = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).map_err(in_folder)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let (mut members, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || (path.is_dir() && !is_machine(&path)) {
            continue;
        }
        let short = [".json", ".tar.zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        match load(&path) {
            Ok(inventory) if inventory.schema_version == hwinventory::model::SCHEMA_VERSION => {
                members.push(Member::new(short, &inventory));
            }
            Ok(_) => unreadable.push(Unreadable { file: name, error: "not an inventory".to_owned() }),
            Err(error) => unreadable.push(Unreadable { file: name, error: error.to_string() }),
        }
    }
    if members.is_empty() && unreadable.is_empty() {
        return Err(in_folder(io::Error::new(io::ErrorKind::NotFound, "no inventories are in it")));
    }
    let found = hwinventory::fleet::compare(members, unreadable);
    if json {
        print_json(out, &found)?;
    } else {
        out.write_all(hwinventory::fleet::render(&found, colour()).as_bytes())?;
    }
    Ok(match (found.unreadable.is_empty(), found.is_uniform()) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::FAILURE,
    })
}

fn print_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(out, "{}", harmless::json(&text))
}

fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
