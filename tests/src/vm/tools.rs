//! Host programs that virtual machines need.

use std::path::Path;

/// The tools that are missing for running machines, or `None`. Tests then print `skipped: ...` and pass.
pub fn missing_tools() -> Option<String> {
    let mut missing = Vec::new();
    for program in ["qemu-system-x86_64", "sgdisk", "sfdisk", "setpriv", "swtpm"] {
        if !on_path(program) {
            missing.push(program.to_owned());
        }
    }
    if !Path::new(super::args::OVMF_VARS).exists() {
        missing.push(format!("{} (ovmf)", super::args::OVMF_VARS));
    }
    if missing.is_empty() { None } else { Some(format!("missing {}; run scripts/setup", missing.join(", "))) }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An ordinary user's PATH lacks the sbin directories.
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).is_file())
}
