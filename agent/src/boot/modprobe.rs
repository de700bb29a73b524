//! Module requests by the kernel: mounting XFS requests `fs-xfs`, a checksum `crypto-crc32c`. The kernel runs `MODPROBE
//! -q -- NAME`; PID 1 makes that a link to this binary.

use super::modules::{Kernel, ModuleIndex, ModuleLoader, ModuleOptions};
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

/// True when the program was started under the name `modprobe`.
pub fn is_modprobe(argv0: Option<&OsStr>) -> bool {
    argv0.and_then(|name| Path::new(name).file_name()).is_some_and(|name| name == "modprobe")
}

/// Loads every module named after the options. Fails if one of them is unavailable.
pub fn modprobe(arguments: impl Iterator<Item = String>) -> ExitCode {
    let names = arguments.filter(|argument| !argument.starts_with('-'));
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let Ok(index) = ModuleIndex::load(&Path::new("/lib/modules").join(release.unwrap_or_default())) else {
        return ExitCode::FAILURE;
    };
    let cmdline = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let loader = ModuleLoader::new(index, ModuleOptions::parse(&cmdline), Kernel, Box::new(|_| {}));
    // Tries all of them, even if the first fails.
    match names.filter(|name| !loader.load_now(name)).count() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
