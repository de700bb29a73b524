//! `scripts/bench` after its set-up: writes every form of the image with every contestant, and reports the times.

use burin_tests::bench::{
    BenchDevice, BenchError, BenchMachine, Ceiling, Measurement, Nginx, Prior, Results, Row, Shell, Sizes, ceiling,
    hello, pack, replace_measured, report, rows,
};
use clap::{Args, Parser};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measure burin and what people use instead of it.
#[derive(Debug, Parser)]
enum Arguments {
    /// Measure, and write the table
    Run(Box<RunArgs>),
    /// Boot virtual machines from these directories of the builder's in turns, and tell how long each takes from PID 1 to hello
    Hello {
        /// Directory on a disk, for the machines
        #[arg(long)]
        work: PathBuf,
        #[arg(long, default_value_t = 5)]
        runs: usize,
        #[arg(required = true)]
        netboot: Vec<PathBuf>,
    },
    /// Compress an image in the zstd seekable format
    Pack { image: PathBuf, packed: PathBuf },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Directory of the images in all their forms
    #[arg(long)]
    images: PathBuf,
    /// Directory of what was built to compete
    #[arg(long)]
    peers: PathBuf,
    /// The agent
    #[arg(long)]
    agent: PathBuf,
    /// Directory of ipa-stream.py
    #[arg(long)]
    lib: PathBuf,
    /// Directory on a disk, for the file behind the loop device
    #[arg(long)]
    work: PathBuf,
    /// Directory where results are kept
    #[arg(long)]
    results: PathBuf,
    /// Runs of each row, 0 to only tell what was kept; at most three of those that take longer than 10 s, one where it is more than 30 s
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only rows whose "form: row" contains this; may be repeated
    #[arg(long)]
    filter: Vec<String>,
    /// No ceilings
    #[arg(long)]
    no_ceiling: bool,
    /// Keep what was measured of other rows; otherwise all starts over
    #[arg(long)]
    keep: bool,
    /// The document whose table is replaced
    #[arg(long)]
    document: Option<PathBuf>,
}

/// Runs that a row deserves whose first one took so many seconds.
fn deserved(first: f64) -> usize {
    match first {
        ..=10.0 => usize::MAX,
        ..=30.0 => 3,
        _ => 1,
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse() {
        Arguments::Run(arguments) => run(&arguments),
        Arguments::Hello { work, runs, netboot } => {
            let netboots: Vec<&Path> = netboot.iter().map(PathBuf::as_path).collect();
            hello(&work, &netboots, runs).map(|table| print!("{table}"))
        }
        Arguments::Pack { image, packed } => {
            pack(&image, &packed, std::thread::available_parallelism().map_or(1, usize::from))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                eprintln!("  because: {next}");
                cause = next.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// All that a measurement needs.
struct Bench<'a> {
    arguments: &'a RunArgs,
    device: BenchDevice,
    server: Nginx,
    watch: Shell,
}

fn run(arguments: &RunArgs) -> Result<(), BenchError> {
    let RunArgs { work, images, results, .. } = arguments;
    for directory in [work, results] {
        std::fs::create_dir_all(directory).map_err(BenchError::file("make", directory))?;
    }
    let (lines, limits) = (results.join("runs.jsonl"), results.join("ceilings.json"));
    if !arguments.keep {
        let _ = std::fs::remove_file(&lines);
        let _ = std::fs::remove_file(&limits);
    }
    let image = images.join("debian.raw");
    let size = std::fs::metadata(&image).map_err(BenchError::file("open", &image))?.len();
    let (device, server) = (BenchDevice::attach(work, size)?, Nginx::start(work, images)?);
    let text = |path: &Path| path.display().to_string();
    let spool = tempfile::tempdir_in("/dev/shm").map_err(BenchError::file("make a directory in", "/dev/shm"))?;
    let variables = [
        ("FAST", server.fast.clone()),
        ("SLOW", server.slow.clone()),
        ("DEV", text(device.path())),
        ("BURIN", text(&arguments.agent)),
        ("PEERS", text(&arguments.peers)),
        ("IMAGES", text(images)),
        ("LIB", text(&arguments.lib)),
        ("SPOOL", text(spool.path())),
    ];
    let variables = variables.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let watch = Shell { variables, log: results.join("last.log") };
    let bench = Bench { arguments, device, server, watch };
    let all = rows();
    let chosen = |row: &&Row| {
        let id = row.id();
        arguments.filter.is_empty() || arguments.filter.iter().any(|part| id.contains(part))
    };
    let rows: Vec<&Row> = all.iter().filter(chosen).collect();
    warm(images, &rows)?;
    if !arguments.no_ceiling {
        let ceilings = bench.ceilings(&image, size)?;
        let json = serde_json::to_string_pretty(&ceilings).unwrap_or_default();
        std::fs::write(&limits, json).map_err(BenchError::file("write", &limits))?;
    }
    let mut kept = Results::load(&lines)?;
    for row in rows.iter().filter(|_| arguments.runs > 0) {
        kept.forget(&row.id())?;
    }
    for round in 0..arguments.runs {
        for row in &rows {
            bench.measure(row, round, &mut kept)?;
        }
    }
    let ceilings: Vec<Ceiling> =
        std::fs::read_to_string(&limits).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let machine = BenchMachine::here(&text(&arguments.agent), &text(work))?;
    let report = report(&machine, &all, &kept, &ceilings);
    println!("{report}");
    if let Some(path) = &arguments.document {
        let document = std::fs::read_to_string(path).map_err(BenchError::file("read", path))?;
        let new =
            replace_measured(&document, &report).ok_or_else(|| BenchError::odd(text(path), "no place for a table"))?;
        std::fs::write(path, new).map_err(BenchError::file("write", path))?;
    }
    Ok(())
}

/// What the server reads lies in memory: its disk is not what is measured.
fn warm(images: &Path, rows: &[&Row]) -> Result<(), BenchError> {
    let entries = std::fs::read_dir(images).map_err(BenchError::file("list", images))?;
    let asked_for = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        path.is_file() && rows.iter().any(|row| row.command.contains(&format!("/{name} ")))
    };
    for path in entries.flatten().map(|entry| entry.path()).filter(asked_for) {
        let mut file = std::fs::File::open(&path).map_err(BenchError::file("open", &path))?;
        std::io::copy(&mut file, &mut std::io::sink()).map_err(BenchError::file("read", &path))?;
    }
    Ok(())
}

/// Bytes of an image in blocks of 4 KiB that are not all zeros.
fn data(image: &Path, size: u64) -> Result<u64, BenchError> {
    let file = std::fs::File::open(image).map_err(BenchError::file("open", image))?;
    let (mut buffer, zeros) = (vec![0; 4 << 20], [0; 4096]);
    let mut data = 0;
    for offset in (0..size).step_by(buffer.len()) {
        let len = (size - offset).min(buffer.len() as u64) as usize;
        file.read_exact_at(&mut buffer[..len], offset).map_err(BenchError::file("read", image))?;
        data += buffer[..len].chunks(4096).filter(|block| **block != zeros[..block.len()]).count() as u64 * 4096;
    }
    Ok(data)
}

impl Bench<'_> {
    fn ceilings(&self, image: &Path, size: u64) -> Result<Vec<Ceiling>, BenchError> {
        let sizes = Sizes { data: data(image, size)?, size };
        eprintln!("{} MiB of the image's {} MiB are not zeros", sizes.data >> 20, size >> 20);
        let forms = [
            ("zstd, one frame", "debian.raw.zst", "FAST", "zstd -tq $IMAGES/debian.raw.zst"),
            ("zstd, many frames", "debian.frames.zst", "FAST", "pzstd -tq $IMAGES/debian.frames.zst"),
            ("1 Gbit/s", "debian.raw.zst", "SLOW", "zstd -tq $IMAGES/debian.raw.zst"),
        ];
        let mut ceilings = Vec::new();
        for (group, file, from, decode) in forms {
            eprintln!("ceiling of {group}");
            self.device.fill_with_noise()?;
            ceilings.push(ceiling(&self.watch, group, file, from, decode, sizes)?);
        }
        Ok(ceilings)
    }

    /// One run of one row, unless it had its share.
    fn measure(&self, row: &Row, round: usize, results: &mut Results) -> Result<(), BenchError> {
        let id = row.id();
        if let Some(why) = self.missing(row) {
            if round == 0 {
                eprintln!("{id}: {why}");
                results.add(Measurement::missing(id, &why))?;
            }
            return Ok(());
        }
        let first = results.of(&id).next();
        if first.is_some_and(|first| !first.ok) || first.is_some_and(|first| round >= deserved(first.wall)) {
            return Ok(());
        }
        self.prepare(row.prior)?;
        let (sent, before, holes) = (self.server.sent()?, self.device.traffic()?, self.device.unwritten()?);
        let sample = self.watch.run(row.command)?;
        let (traffic, sent) = (self.device.traffic()?.since(before), self.server.sent()? - sent);
        let zeroed = self.device.unwritten()?.saturating_sub(holes);
        let image = self.arguments.images.join(format!("{}.raw", row.image));
        let same = self.device.holds(&image)?;
        let note = if sample.ok { String::new() } else { self.watch.last_words() };
        let verdict = match (sample.ok, same) {
            (true, true) => "",
            (true, false) => ", the device DIFFERS",
            (false, _) => ", FAILED",
        };
        eprintln!("{id}: {:.2} s, {:.2} CPU s, {} MiB{verdict} {note}", sample.wall, sample.cpu, sample.rss >> 20);
        results.add(Measurement {
            id,
            ok: sample.ok,
            same,
            wall: sample.wall,
            cpu: sample.cpu,
            machine: sample.machine,
            rss: sample.rss,
            read: traffic.read,
            written: traffic.written,
            zeroed,
            discarded: traffic.discarded,
            sent,
            note,
        })
    }

    fn prepare(&self, prior: Prior) -> Result<(), BenchError> {
        if prior == Prior::Noise {
            return self.device.fill_with_noise();
        }
        let sample = self.watch.run("$BURIN write --json $FAST/debian.frames.zst $DEV")?;
        if !sample.ok {
            return Err(BenchError::Tool { program: "burin write".into(), output: self.watch.last_words() });
        }
        if prior == Prior::Dirtied {
            self.device.dirty()?;
        }
        self.device.settle()
    }

    /// Why a row cannot be run here: its tool could not be installed, or its image could not be made.
    fn missing(&self, row: &Row) -> Option<String> {
        let notes = std::fs::read_dir(self.arguments.peers.join("missing")).ok()?;
        let note = notes.flatten().find(|note| row.command.contains(&*note.file_name().to_string_lossy()))?;
        Some(std::fs::read_to_string(note.path()).unwrap_or_default().trim().replace('\n', " "))
    }
}
