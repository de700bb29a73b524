//! What PID 1 does: mounts, kernel modules, consoles, child supervision, reboot.

mod console;
mod crash;
mod devices;
mod firmware;
mod forget;
mod medium;
mod modprobe;
mod modules;
mod mounts;
mod say;
mod shutdown;
mod supervise;
mod tuning;
mod volume;
mod watchdog;

pub use crash::{CrashReport, forget_last_crash, last_crash};
pub use devices::{DeviceState, Settled, idle, is_ours, settle};
pub use firmware::{MissingFirmware, missing_firmware};
pub use forget::scrub;
pub use medium::boot_medium;
pub use modprobe::{is_modprobe, modprobe};
pub use shutdown::End;

use crate::config;
use console::Consoles;
use std::path::Path;
use std::time::Duration;
use tuning::Tuning;

/// Where the kernel finds `modprobe`: a link to this binary.
const MODPROBE: &str = "/run/burin/modprobe";

/// PID 1 of the ramdisk: sets up the machine, runs `burin agent` until it requests the end of the machine, and shuts
/// down. A panic or a fatal error ends with a message on every console and a reboot (or a halt with `panic=0`), never
/// in a kernel panic.
pub fn init() -> ! {
    std::panic::set_hook(Box::new(|info| say::urgent(&format!("PID 1 has a bug: {info}"))));
    let end = match std::panic::catch_unwind(|| run(Path::new("/"))) {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => fatal(&format!("PID 1 cannot go on: {error}")),
        Err(_) => fatal("PID 1 cannot go on"),
    };
    shutdown::shutdown(end)
}

fn run(root: &Path) -> nix::Result<End> {
    // Signals first, because threads inherit the mask.
    let signals = supervise::block_signals()?;
    let mount_errors = mounts::mount_all(root);
    let cmdline = std::fs::read_to_string(root.join("proc/cmdline")).unwrap_or_default();
    let consoles = Consoles::open(root);
    say::install(consoles.clone(), level(&cmdline));
    consoles.watch();
    log::info!("burin {} on consoles {}", env!("CARGO_PKG_VERSION"), consoles.names().join(" "));
    for error in &mount_errors {
        // efivarfs becomes available with its module, further down.
        if error.kind != "efivarfs" {
            log::warn!("{error}: {}", error.source);
        }
    }
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    log::info!("Linux {}: {}", release.as_deref().unwrap_or("of unknown release"), hwinventory::mask_cmdline(&cmdline));
    tell_memory(root);
    prepare(root, &cmdline);
    firmware::watch(root);
    devices::start(root, &release.unwrap_or_default(), &cmdline);
    watchdog::start(root, &cmdline);
    let ready = medium::fetch(root, &cmdline);
    supervise::run(root, &consoles, &signals, &|| ready.is())
}

/// With less memory, images may not find buffers.
const LITTLE_MEMORY: u64 = 192 << 20;

fn tell_memory(root: &Path) {
    let table = std::fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    match mounts::available(&table) {
        Some(bytes) if bytes < LITTLE_MEMORY => {
            log::warn!("only {} MiB of memory are available: there may be no room for image buffers", bytes >> 20);
        }
        Some(bytes) => log::info!("{} MiB of memory available", bytes >> 20),
        None => {}
    }
}

/// Settings that do not depend on devices.
fn prepare(root: &Path, cmdline: &str) {
    if let Err(error) = std::fs::create_dir_all(root.join("run/burin")) {
        log::warn!("/run/burin: {error}");
    }
    let _ = std::os::unix::fs::symlink("/init", root.join(MODPROBE.trim_start_matches('/')));
    Tuning::parse(cmdline).apply(root);
    // Ctrl-Alt-Del becomes SIGINT for PID 1 instead of an immediate reboot.
    if let Err(error) = nix::sys::reboot::set_cad_enabled(false) {
        log::debug!("ctrl-alt-del: {error}");
    }
    if let Err(error) = crate::net::loopback_up() {
        log::warn!("loopback: {error}");
    }
}

fn level(cmdline: &str) -> log::LevelFilter {
    // The agent validates the command line; here wrong words are ignored.
    config::Raw::parse(&[cmdline])
        .log
        .and_then(|word| word.split(',').find_map(|part| part.parse().ok()))
        .unwrap_or(log::LevelFilter::Info)
}

/// Shows a message on every console, leaves time to read it, and then does what the kernel's `panic=` says.
fn fatal(text: &str) -> ! {
    let cmdline = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    match Tuning::parse(&cmdline).panic_seconds {
        0 => {
            say::urgent(&format!("{text}. Halted, as panic=0 asks: switch the machine off by hand."));
            shutdown::shutdown(End::Halt)
        }
        seconds => {
            let seconds = u64::try_from(seconds).unwrap_or_default();
            say::urgent(&format!("{text}. Rebooting in {seconds} s."));
            std::thread::sleep(Duration::from_secs(seconds));
            shutdown::shutdown(End::Reboot)
        }
    }
}
