//! The command line: arguments, progress and errors on the terminal, exit code.

mod iso_command;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};

use burin_initramfs::options::{
    CA_BUNDLE, ExtraFile, KernelSource, LEVEL, Stub, parse_cmdline, parse_controller, parse_extra_file,
};
use burin_initramfs::tools::Tool;
use burin_initramfs::{Manifest, Options};

const EXAMPLES: &str = "\
Examples:
  Debian's standard kernel, and a controller of one's own with its CA:
    burin-initramfs build --agent burin --output out \\
        --controller https://10.0.0.1:8443 --ca ca.pem

  Another kernel package, by name or as a file:
    burin-initramfs build --agent burin --output out \\
        --kernel-package linux-image-cloud-amd64

  Any other distribution's kernel:
    burin-initramfs build --agent burin --output out \\
        --kernel /boot/vmlinuz-6.9.1 --modules /lib/modules/6.9.1

  An order inside instead of a controller, and firmware for the drivers:
    burin-initramfs build --agent burin --output out \\
        --order order.json --firmware /usr/lib/firmware

  Signed for UEFI Secure Boot, with what the agent demands of others inside:
    burin-initramfs build --agent burin --output out \\
        --sign db.key --cert db.pem --policy policy.json \\
        --controller https://10.0.0.1:8443 --ca ca.pem

Into out come vmlinuz, initramfs.cpio.zst, boot.ipxe, grub.cfg, burin.efi, NOTICE
and manifest.json. Serve out over HTTP and let iPXE `chain` boot.ipxe, or copy
burin.efi to an ESP as EFI/BOOT/BOOTX64.EFI.";

#[derive(Parser)]
#[command(version, about = "Builds burin's netboot artefacts: kernel, ramdisk, iPXE script, unified kernel image")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything from a kernel and an agent.
    #[command(after_help = EXAMPLES)]
    Build(Box<BuildArgs>),
    /// Make a bootable image for CD drives, virtual media and USB sticks from the results of `build`.
    #[command(after_help = iso_command::ISO_EXAMPLES)]
    Iso(iso_command::IsoArgs),
    /// Replace the parameters in such an image, in place.
    IsoConf(iso_command::IsoConfArgs),
    /// Print the standard module rules, as a starting point for --module-list.
    ModuleList,
}

#[derive(Args)]
struct BuildArgs {
    /// The burin program; it must be statically linked, and becomes /init.
    #[arg(long, value_name = "PATH")]
    agent: PathBuf,
    /// Directory for the results; created if necessary.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Debian kernel package: a name for apt, or a .deb file. [default: linux-image-ARCH, for the agent's architecture]
    #[arg(long, value_name = "NAME|DEB", help_heading = "Kernel", conflicts_with_all = ["kernel", "modules"])]
    kernel_package: Option<String>,
    /// A kernel image, instead of a package.
    #[arg(long, value_name = "VMLINUZ", help_heading = "Kernel", requires = "modules")]
    kernel: Option<PathBuf>,
    /// Its modules: /lib/modules/RELEASE, or a directory that contains it.
    #[arg(long, value_name = "DIR", help_heading = "Kernel", requires = "kernel")]
    modules: Option<PathBuf>,
    /// Module rules instead of the standard ones (see `module-list`).
    #[arg(long, value_name = "FILE", help_heading = "Modules")]
    module_list: Option<PathBuf>,
    /// An additional module; the build fails if the kernel does not have it.
    #[arg(long = "module", value_name = "NAME", help_heading = "Modules")]
    more_modules: Vec<String>,
    /// Leave out modules by name or pattern (`drivers/scsi/**`), unless others depend on them.
    #[arg(long = "without-module", value_name = "PATTERN", help_heading = "Modules")]
    without_modules: Vec<String>,
    /// Include drivers for these machines only: their inventories (`hwinventory collect`). May be repeated.
    #[arg(long, value_name = "INVENTORY", help_heading = "Modules")]
    drivers: Vec<PathBuf>,
    /// Firmware directory from which the files that chosen modules name are included.
    #[arg(long, value_name = "DIR", help_heading = "Ramdisk")]
    firmware: Vec<PathBuf>,
    /// Include everything in the firmware directory.
    #[arg(long, requires = "firmware", help_heading = "Ramdisk")]
    firmware_all: bool,
    /// Programs for layouts with fresh partition tables: ext4, xfs, btrfs, vfat, swap, raid, lvm, luks. Their Debian
    /// packages are fetched.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Ramdisk")]
    tools: Vec<Tool>,
    /// Take them from the system in this directory instead, such as / for this host's own.
    #[arg(long, value_name = "DIR", requires = "tools", help_heading = "Ramdisk")]
    tools_root: Option<PathBuf>,
    /// An additional file, or a directory with everything below it.
    #[arg(long = "file", value_name = "SRC:DEST", value_parser = parse_extra_file, help_heading = "Ramdisk")]
    files: Vec<ExtraFile>,
    /// Public CA certificates, PEM.
    #[arg(long, value_name = "FILE", default_value = CA_BUNDLE, help_heading = "Ramdisk")]
    ca_bundle: PathBuf,
    /// Include no public CA certificates.
    #[arg(long, conflicts_with = "ca_bundle", help_heading = "Ramdisk")]
    no_ca_bundle: bool,
    /// The controller's own CA, PEM.
    #[arg(long, value_name = "FILE", help_heading = "Ramdisk")]
    ca: Option<PathBuf>,
    /// An order to run without a controller.
    #[arg(long, value_name = "FILE", help_heading = "Ramdisk")]
    order: Option<PathBuf>,
    /// What the agent requires of orders: docs/security.md.
    #[arg(long, value_name = "FILE", help_heading = "Ramdisk")]
    policy: Option<PathBuf>,
    /// Words that the agent treats like those on the kernel command line, however the ramdisk is booted.
    #[arg(long, value_name = "WORDS", value_parser = parse_cmdline, help_heading = "Ramdisk")]
    embed_cmdline: Vec<Vec<String>>,
    /// The controller's URL, for boot.ipxe, grub.cfg and burin.efi.
    #[arg(long, value_name = "URL", value_parser = parse_controller, help_heading = "Booting")]
    controller: Option<String>,
    /// Additional words for the kernel command line.
    #[arg(long, value_name = "WORDS", value_parser = parse_cmdline, allow_hyphen_values = true, help_heading = "Booting")]
    cmdline: Vec<Vec<String>>,
    /// A console, as in the kernel's `console=`; replaces tty0 and ttyS0,115200n8. The last one is /dev/console.
    #[arg(long = "console", value_name = "NAME", help_heading = "Booting")]
    consoles: Vec<String>,
    /// EFI stub for burin.efi. [default: the one in the package systemd-boot-efi]
    #[arg(long, value_name = "PATH", help_heading = "Booting")]
    stub: Option<PathBuf>,
    /// Make no burin.efi.
    #[arg(long, conflicts_with = "stub", help_heading = "Booting")]
    no_uki: bool,
    /// Sign burin.efi for UEFI Secure Boot with this RSA key (PEM, without a password).
    #[arg(long, value_name = "KEY", requires = "cert", conflicts_with = "no_uki", help_heading = "Booting")]
    sign: Option<PathBuf>,
    /// The key's certificate (PEM), which the machines' firmware has in db.
    #[arg(long, value_name = "CERT", requires = "sign", help_heading = "Booting")]
    cert: Option<PathBuf>,
    /// Text about the agent's crates for the notice, for an agent that was not built with this builder.
    #[arg(long, value_name = "FILE", help_heading = "Building")]
    crate_notice: Option<PathBuf>,
    /// zstd level of the ramdisk; 6 takes a tenth of the time and is 3 % larger.
    #[arg(long, value_name = "N", default_value_t = LEVEL, value_parser = clap::value_parser!(i32).range(1..=22), help_heading = "Building")]
    level: i32,
    /// Directory for downloads and compressed modules. [default: $XDG_CACHE_HOME/burin or ~/.cache/burin]
    #[arg(long, value_name = "DIR", help_heading = "Building")]
    cache: Option<PathBuf>,
    /// Timestamp of every file in the ramdisk, seconds since 1970. [default: SOURCE_DATE_EPOCH, or 0]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32), help_heading = "Building")]
    mtime: Option<u32>,
    /// Print the manifest to standard output.
    #[arg(long, help_heading = "Building")]
    json: bool,
    /// Print nothing but errors.
    #[arg(long, short, help_heading = "Building")]
    quiet: bool,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::ModuleList => {
            print!("{}", burin_initramfs::modules::STANDARD_RULES);
            Ok(())
        }
        Command::Build(args) => run(*args),
        Command::Iso(args) => iso_command::make(args),
        Command::IsoConf(args) => iso_command::change(args),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    eprintln!("{text}");
    ExitCode::FAILURE
}

fn run(args: BuildArgs) -> Result<(), Box<dyn Error>> {
    let (json, quiet) = (args.json, args.quiet);
    let options = options(args)?;
    let started = Instant::now();
    let mut say = |line: &str| {
        if !quiet {
            eprintln!("{:6.1} s  {line}", started.elapsed().as_secs_f64());
        }
    };
    let manifest = burin_initramfs::build(&options, &mut say)?;
    if !quiet {
        report(&manifest, &options);
    }
    if json {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &manifest)?;
        writeln!(out)?;
    }
    Ok(())
}

fn report(manifest: &Manifest, options: &Options) {
    eprintln!("\n{}:", options.output.display());
    for file in &manifest.files {
        eprintln!("  {:>11}  {}", file.size, file.name);
    }
    let without = manifest.drivers_without_firmware();
    if !without.is_empty() {
        eprintln!(
            "warning: {} drivers may request firmware that is not in the ramdisk; their cards may not work without it:",
            without.len()
        );
        for (driver, files) in &without {
            let more = if files.len() > 1 { format!(" and {} more", files.len() - 1) } else { String::new() };
            eprintln!("  {driver}: {}{more}", files.first().copied().unwrap_or_default());
        }
        eprintln!(
            "--firmware /usr/lib/firmware includes just these files, if they are there (Debian: the firmware-... packages);"
        );
        eprintln!(
            "--without-module NAME leaves a driver out. All of them: firmware_wanted in {}.",
            burin_initramfs::MANIFEST
        );
    }
}

fn options(args: BuildArgs) -> Result<Options, String> {
    let kernel = match (args.kernel, args.modules, args.kernel_package) {
        (Some(kernel), Some(modules), _) => KernelSource::Files { kernel, modules },
        (_, _, Some(deb)) if deb.ends_with(".deb") => KernelSource::Deb(deb.into()),
        (_, _, package) => KernelSource::Package(package),
    };
    let mut cmdline: Vec<String> = args.controller.iter().map(|url| format!("burin.controller={url}")).collect();
    cmdline.extend(args.cmdline.into_iter().flatten());
    let consoles: Vec<String> = args.consoles.iter().map(|c| format!("console={c}")).collect();
    let cache = args.cache.or_else(default_cache).ok_or("neither XDG_CACHE_HOME nor HOME is set; give --cache DIR")?;
    Ok(Options {
        kernel,
        module_list: args.module_list,
        modules: args.more_modules,
        without_modules: args.without_modules,
        drivers: args.drivers,
        firmware: args.firmware,
        firmware_all: args.firmware_all,
        tools: args.tools,
        tools_root: args.tools_root,
        files: args.files,
        ca_bundle: (!args.no_ca_bundle).then_some(args.ca_bundle),
        ca: args.ca,
        order: args.order,
        policy: args.policy,
        consoles: (!consoles.is_empty()).then_some(consoles),
        cmdline,
        embedded_cmdline: args.embed_cmdline.into_iter().flatten().collect(),
        sign: args.sign.zip(args.cert),
        stub: (!args.no_uki).then(|| args.stub.map_or(Stub::Standard, Stub::Path)),
        crate_notice: args.crate_notice,
        level: args.level,
        mtime: args.mtime.map_or_else(source_date_epoch, Ok)?,
        ..Options::new(args.agent, args.output, cache)
    })
}

/// https://reproducible-builds.org/specs/source-date-epoch/
fn source_date_epoch() -> Result<u32, String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().map_err(|_| format!("SOURCE_DATE_EPOCH=`{text}` is no time in seconds")),
        Err(_) => Ok(0),
    }
}

fn default_cache() -> Option<PathBuf> {
    let dir = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    dir("XDG_CACHE_HOME").or_else(|| Some(dir("HOME")?.join(".cache"))).map(|d| d.join("burin"))
}
